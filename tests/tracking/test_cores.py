"""What a command gives back while it tracks, and that the processes of others are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chromatrack.tracking import cores
from chromatrack.tracking.cores import prepare_process  # before conftest makes it cheaper


@pytest.mark.parametrize("is_ours", [True, False])
def test_commands_give_code_back_once_and_free_memory_now_and_then(
    monkeypatch: pytest.MonkeyPatch, is_ours: bool
):
    given: list[str] = []
    monkeypatch.setattr(cores, "_is_ours", is_ours)
    monkeypatch.setattr(cores, "give_back_code", lambda: given.append("code"))
    monkeypatch.setattr(cores, "give_back_free", lambda: given.append("free"))
    for number in range(2 * cores._EVERY):
        cores.after_frame(number)
    assert given == (["code", "free", "free"] if is_ours else [])


def test_a_command_leaves_cores_and_gives_back_memory_and_code(monkeypatch: pytest.MonkeyPatch):
    done: list[str] = []
    monkeypatch.setattr(cores, "_is_ours", False)
    for name in ("leave_cores", "give_back_memory", "give_back_code"):
        monkeypatch.setattr(cores, name, lambda name=name: done.append(name))
    prepare_process()
    assert done == ["leave_cores", "give_back_memory", "give_back_code"]
    cores.after_frame(0)
    assert done[3:] == ["give_back_code"]


def test_memory_that_lies_free_goes_without_harm():
    kept = [bytearray(b"x" * 5000) for _ in range(200)]
    del kept[::2]
    cores.give_back_free()
    assert all(bytes(part) == b"x" * 5000 for part in kept)


_MAPS = """\
1000-3000 r-xp 00000000 08:01 77 /lib/some name.so
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
3000-4000 r--p 00002000 08:01 77 /lib/some name.so
Rss:                   4 kB
Anonymous:             4 kB
4000-7000 r--p 00003000 08:01 77 /lib/some name.so
Anonymous:             0 kB
7000-8000 rw-p 00006000 08:01 77 /lib/some name.so
Anonymous:             0 kB
8000-9000 r--p 00000000 00:00 0
Anonymous:             0 kB
a000-b000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
"""


def test_only_what_was_never_written_to_is_let_go():
    assert list(cores._unwritten(_MAPS)) == [(0x1000, 0x3000), (0x4000, 0x7000)]


def test_code_that_is_let_go_comes_back():
    cores.give_back_code()
    assert torch.linalg.inv(torch.eye(3)).tolist() == torch.eye(3).tolist()
    assert np.linalg.det(np.eye(3)) == 1
