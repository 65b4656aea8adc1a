"""Commands in processes of their own: forks of this one, which need not load torch again (3 s)."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from glob import glob
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import torch

from chromatrack.cli import main as cli

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Fork:
    """A call in a process of its own, with the names that `subprocess.Popen` has.

    call: its value is the exit code. environment: variables that are set there. limit: bytes that
    a file may have there, as on a full disk.
    """

    def __init__(
        self,
        call: Callable[..., int | None],
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> None:
        self._out, self._err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115
        given = (call, arguments, self._out, self._err, environment or {}, limit)
        self._process = get_context("fork").Process(target=_run, args=given)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, -N where signal N ended it, None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait until it has ended."""
        self._process.join(timeout)
        assert self.returncode is not None, f"did not end in {timeout} s: {self.err()}"
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it said on stdout and on stderr until it ended."""
        self.wait(timeout)
        return _all_of(self._out), self.err()

    def ended(self) -> tuple[int, list[str]]:
        """Exit code, and the lines on stderr when it has ended."""
        _, said = self.communicate(timeout=240)
        assert "Traceback" not in said
        return self.wait(0), said.splitlines()

    def err(self) -> str:
        """What it has said on stderr."""
        return _all_of(self._err)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self.returncode is None:
            self.send_signal(signal.SIGKILL)
            self._process.join(60)


def _all_of(file: BinaryIO) -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


def _run(
    call: Callable[..., int | None],
    arguments: Sequence[object],
    out: BinaryIO,
    err: BinaryIO,
    environment: Mapping[str, str],
    limit: int | None,
) -> None:
    gc.freeze()  # what the first process left, decoders with threads among it, is not cleared here
    for number, file in ((1, out), (2, err)):
        os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    os.environ.update(environment)
    torch.set_num_threads(1)  # the threads of the first process are not in this one
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        code = call(*arguments)
    except BaseException:  # noqa: BLE001  (as the interpreter does)
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


@cache
def load_training() -> None:
    """Import in this process what training imports late, so that forks have it."""
    for name in ("cli.train", "training.train", "training.monitor.validate", "tracking.tracker"):
        import_module(f"chromatrack.{name}")
    for name in ("torch._dynamo", "torch.nn.parallel.distributed", "matplotlib.pyplot"):
        import_module(name)


def command(
    *arguments: object,
    first: Callable[[], object] | None = None,
    environment: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> Fork:
    """`chromatrack ...`; `first` is called in the process before."""
    given = [str(argument) for argument in arguments]
    if given[:1] == ["train"]:
        load_training()
    return Fork(_command, given, first, environment=environment, limit=limit)


def _command(arguments: Sequence[str], first: Callable[[], object] | None) -> int:
    if first is not None:
        first()
    return cli.main(arguments)


def until(sign: Path, process: Fork) -> None:
    """Wait until a file (a pattern) is there, which the process makes."""
    deadline = time.monotonic() + 120
    sought = partial(glob, str(sign))
    while not sought():
        assert process.poll() is None or sought(), process.err()
        assert time.monotonic() < deadline, f"no {sign}"
        time.sleep(0.01)
