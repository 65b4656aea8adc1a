"""3:2 pulldown: found by its rhythm, and not where pictures are merely interlaced or still."""

from __future__ import annotations

import numpy as np
import pytest
from video_clips import pictures, write_clip

from chromatrack.video.telecine import find_pulldown, pulldown_of


def film(count: int, step: int = 3) -> list[np.ndarray]:
    """Grey frames of a texture that slides."""
    rng = np.random.default_rng(1)
    wide = np.kron(rng.integers(0, 256, (12, 80)), np.ones((4, 4))).astype(np.float32)
    return [wide[:48, step * i : step * i + 64] for i in range(count)]


def woven(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    both = a.copy()
    both[1::2] = b[1::2]
    return both


def pulled_down(frames: list[np.ndarray]) -> list[np.ndarray]:
    """A B C D -> A, B, B/C, C/D, D."""
    found = []
    for i in range(0, len(frames) - 3, 4):
        a, b, c, d = frames[i : i + 4]
        found += [a, b, woven(b, c), woven(c, d), d]
    return found


@pytest.mark.parametrize("skip", range(5))
def test_pulldown_is_found_wherever_it_begins(skip):
    assert pulldown_of(pulled_down(film(48))[skip:]) == "combed"


def test_repeated_pictures_are_found():
    frames = film(48)
    shown = [one for i, one in enumerate(frames) for _ in range(2 if i % 4 == 3 else 1)]
    assert pulldown_of(shown) == "repeated"


def soft(frames: list[np.ndarray]) -> list[np.ndarray]:
    """As through a soft lens: rows next to each other are much alike."""
    found = []
    for one in frames:
        wide = np.pad(one, 3, mode="edge")
        rows = np.mean([wide[i : i + one.shape[0]] for i in range(7)], 0)
        found.append(np.mean([rows[:, i : i + one.shape[1]] for i in range(7)], 0))
    return found


def test_pulldown_of_soft_pictures_is_found():
    assert pulldown_of(pulled_down(soft(film(48)))) == "combed"
    assert pulldown_of(soft(film(48))) is None


def test_other_pictures_have_none():
    frames = film(80)
    assert pulldown_of(frames[:40]) is None
    assert (
        pulldown_of([woven(a, b) for a, b in zip(frames[::2], frames[1::2], strict=True)]) is None
    )
    assert pulldown_of([frames[0]] * 40) is None
    assert pulldown_of(pulled_down(frames)[:10]) is None


def test_it_is_found_in_a_file(tmp_path):
    frames = [np.repeat(one[..., None], 3, 2).astype(np.uint8) for one in pulled_down(film(40))]
    path = write_clip(tmp_path / "t.mkv", frames, codec="ffv1")
    assert find_pulldown(path) == "combed"
    rgb = write_clip(tmp_path / "r.mkv", pictures(3), codec="ffv1", pixel_format="bgr0")
    assert find_pulldown(rgb) is None
