"""The built-in clip, rendered when it is first wanted."""

from __future__ import annotations

from pathlib import Path

from chromatrack.evaluation.synthetic.render import render_demo_clip
from chromatrack.runs.staging import Staging
from chromatrack.video.writer import VideoWriter

FRAMES, SIZE, FPS = 48, (360, 640), 25.0


def write_demo(video: Path) -> None:
    """Write the clip, unless it is there. Raises OutputError."""
    if video.is_file():
        return
    with Staging(video) as stage:
        stage.path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(stage.path, fps=FPS) as writer:
            for frame in render_demo_clip(frames=FRAMES, size=SIZE, seed=0):
                writer.write(frame.rgb)
        stage.put_in_place()
