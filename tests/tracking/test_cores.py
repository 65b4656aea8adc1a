"""What a command gives back while it tracks, and that the processes of others are left alone."""

from __future__ import annotations

import pytest

from chromatrack.tracking import cores


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


def test_memory_that_lies_free_goes_without_harm():
    kept = [bytearray(b"x" * 5000) for _ in range(200)]
    del kept[::2]
    cores.give_back_free()
    assert all(bytes(part) == b"x" * 5000 for part in kept)
