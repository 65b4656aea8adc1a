"""The demo clip is shipped as the renderer gives it, and is there at once."""

from __future__ import annotations

import numpy as np
import pytest

from chromatrack.errors import OutputError
from chromatrack.evaluation.synthetic.render import render_demo_clip
from chromatrack.studio.demo_clip import FPS, FRAMES, SHIPPED, SIZE, write_demo
from chromatrack.video.reader import probe, read_frame


def test_the_shipped_clip_is_what_the_renderer_gives():
    info = probe(SHIPPED)
    assert (info.height, info.width) == SIZE and info.average_fps == FPS
    assert info.frame_count == FRAMES
    rendered = next(iter(render_demo_clip(frames=FRAMES, size=SIZE, seed=0))).rgb
    shipped = read_frame(SHIPPED, index=0).rgb
    assert np.abs(shipped.astype(int) - rendered).mean() < 4, "python -m ...studio.demo_clip"
    assert SHIPPED.stat().st_size < 200_000


def test_it_is_put_in_place_once_and_what_is_there_stays(tmp_path):
    video = tmp_path / "demo" / "demo.mp4"
    write_demo(video)
    assert video.read_bytes() == SHIPPED.read_bytes()
    video.write_bytes(b"changed")
    write_demo(video)
    assert video.read_bytes() == b"changed"
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError):
        write_demo(tmp_path / "file" / "demo.mp4")
