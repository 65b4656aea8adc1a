"""The built-in clip: rendered once, and shipped as `demo.mp4` beside this file.

`python -m chromatrack.studio.demo_clip` renders it anew, after the renderer has changed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from chromatrack.atomic import unwritable
from chromatrack.runs.staging import Staging

FRAMES, SIZE, FPS = 48, (360, 640), 25.0
SHIPPED = Path(__file__).with_name("demo.mp4")


def write_demo(video: Path) -> None:
    """Put the clip in place, unless it is there. Raises OutputError."""
    if video.is_file():
        return
    with Staging(video) as stage:
        try:
            stage.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SHIPPED, stage.path)
        except OSError as error:
            raise unwritable(video, error) from error
        stage.put_in_place()


def render_demo(video: Path) -> None:
    """Render the clip and write it. Raises OutputError."""
    from chromatrack.evaluation.synthetic.render import render_demo_clip
    from chromatrack.video.writer import VideoWriter

    with VideoWriter(video, fps=FPS, crf=22, preset="veryslow") as writer:
        for frame in render_demo_clip(frames=FRAMES, size=SIZE, seed=0):
            writer.write(frame.rgb)


if __name__ == "__main__":
    render_demo(SHIPPED)
