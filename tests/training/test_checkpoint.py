"""Checkpoints: whole or not there, the last two kept, damaged ones passed over."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path

import pytest
import torch
from processes import Fork

from chromatrack.errors import InputError, OutputError
from chromatrack.training import checkpoint


def content(step: int) -> dict[str, object]:
    return {"step": step, "config": "{}", "weights": torch.full((3,), float(step))}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_last_two_and_the_best_are_kept(tmp_path):
    for step in (5, 10, 15):
        checkpoint.save(tmp_path, content(step), best=step == 5)
    assert names(tmp_path) == ["best.pt", "checkpoint-00000010.pt", "checkpoint-00000015.pt"]
    newest = checkpoint.latest(tmp_path)
    assert newest is not None and newest.step == 15
    assert newest.content["weights"].tolist() == [15, 15, 15]
    assert checkpoint.read_checkpoint(tmp_path / "best.pt").step == 5


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.latest(tmp_path) is None


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, damage):
    for step in (1, 2):
        checkpoint.save(tmp_path, content(step))
    path = checkpoint.path_of(tmp_path, 2)
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"hello"}[damage])
    with pytest.warns(UserWarning, match="the one before it is tried"):
        found = checkpoint.latest(tmp_path)
    assert found is not None and found.step == 1


def test_nothing_readable_is_an_error(tmp_path):
    checkpoint.path_of(tmp_path, 1).write_bytes(b"x")
    with (
        pytest.warns(UserWarning),
        pytest.raises(InputError, match="none of its 1 checkpoints can be read"),
    ):
        checkpoint.latest(tmp_path)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_no_code_in_a_checkpoint_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"step": 1, "config": Evil()}, "evil.pt", pickle_module=pickle)
    with pytest.raises(InputError, match="expected a checkpoint of chromatrack train"):
        checkpoint.read_checkpoint(Path("evil.pt"))
    assert not Path("ran").exists()


def test_a_checkpoint_of_something_else(tmp_path):
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="no training state in it"):
        checkpoint.read_checkpoint(tmp_path / "other.pt")


def save_twice(folder: Path) -> None:
    """One checkpoint that a limit of 100 kB lets through and one that it does not."""
    checkpoint.save(folder, {"step": 1, "config": "{}", "weights": torch.zeros(10)})
    try:
        checkpoint.save(folder, {"step": 2, "config": "{}", "weights": torch.zeros(1_000_000)})
    except OutputError as error:
        sys.stdout.write(f"{error}\n")


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no file size limit on this system")
def test_a_full_disk_leaves_the_checkpoint_before_and_one_clear_line(tmp_path):
    process = Fork(save_twice, tmp_path, limit=100_000)
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    assert len(said.splitlines()) == 1
    assert "cannot be written (File too large); the checkpoints before it are whole" in said
    assert names(tmp_path) == ["checkpoint-00000001.pt"]
    found = checkpoint.latest(tmp_path)
    assert found is not None and found.step == 1


def test_a_folder_that_is_gone(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        checkpoint.save(tmp_path / "gone", content(1))
