"""stdout and stderr that are full, closed early or ASCII alone: a line or a result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str | bytes, stdout: str | None = None, **env: str) -> tuple[int, str]:
    """Exit code and stderr of the command."""
    command = [sys.executable, "-m", "chromatrack", *arguments]
    with Path(stdout or os.devnull).open("w") as file:
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.PIPE, env={**os.environ, **env}, check=False
        )
    return done.returncode, done.stderr.decode("ascii", "replace")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stdout_is_said() -> None:
    code, said = run("doctor", stdout="/dev/full")
    assert code == 2 and said.splitlines()[-1].startswith("chromatrack: stdout is full")
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["caf\u00e9.mp4".encode(), b"caf\xe9.mp4", b"--f\xff.mp4"])
def test_names_that_cannot_be_spelled_end_in_one_line(name: bytes) -> None:
    code, said = run("events", b"./" + name, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert code == 2 and "Traceback" not in said and said.strip()
