"""The picture of docs/textures.md: a badge on the ball and a repainted frame, carried on.

    python examples/texture_picture.py docs

Renders the demo scene, lays a badge on the ball of its first frame, repaints the same frame as a
whole (night, and a cross on the trunk), and carries both through the clip. Writes textures.png
into the folder.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from chromatrack import Tracker
from chromatrack.evaluation.synthetic.render import SyntheticFrame, render_demo_clip
from chromatrack.uses.layers import ImageLayer
from chromatrack.uses.paint import paint_frames
from chromatrack.viz.overlays import contact_sheet

SIZE, FRAMES = (288, 512), 60
SHOWN = (0, 6, 12, 20)
LARGER = 4  # badges are drawn this much larger and scaled down, for smooth edges


def badge() -> np.ndarray:
    """A blue star on a white disc, `(36, 36, 4)` uint8."""
    side = 36 * LARGER
    image = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(image)
    draw.ellipse((2, 2, side - 3, side - 3), fill=(250, 250, 245, 255))
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    radii = np.where(np.arange(10) % 2 == 0, 0.44, 0.2) * side
    star = np.stack([np.cos(angles) * radii, np.sin(angles) * radii], 1) + side / 2
    draw.polygon([(float(x), float(y)) for x, y in star], fill=(30, 60, 200, 255))
    return np.array(image.resize((36, 36), Image.Resampling.LANCZOS))


def repaint(rgb: np.ndarray) -> np.ndarray:
    """A frame as someone might repaint it: at night, with a pale cross on the trunk."""
    night = rgb.astype(np.float64) * (0.35, 0.5, 0.95)
    picture = Image.fromarray(night.round().astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    x, y = 400, 235
    draw.line((x - 20, y - 12, x + 20, y + 12), fill=(255, 240, 180), width=6)
    draw.line((x - 20, y + 12, x + 20, y - 12), fill=(255, 240, 180), width=6)
    return np.array(picture)


def carried(clip: list[SyntheticFrame], video: Path) -> list[list[np.ndarray]]:
    """Rows of frames: the clip, with a badge, repainted."""
    tracker = Tracker.from_pretrained("small")
    x, y = (round(place) - 18 for place in clip[0].centres[1])
    laid = paint_frames(tracker, video, textures=[ImageLayer(badge(), 0, x, y)])
    painted = paint_frames(tracker, video, painted=[(repaint(clip[0].rgb), 0)])
    rows = [
        [frame.rgb for frame in clip],
        [frame.rgb for frame in laid],
        [frame.rgb for frame in painted],
    ]
    return [[row[index] for index in SHOWN] for row in rows]


def main(target: Path) -> None:
    """Make the picture in `target`."""
    clip = list(islice(render_demo_clip(frames=FRAMES, size=SIZE), SHOWN[-1] + 1))
    with tempfile.TemporaryDirectory() as name:
        video = Path(name)
        for frame in clip:
            Image.fromarray(frame.rgb).save(video / f"{frame.index:05d}.png")
        rows = carried(clip, video)
    titles = ["clip", "--texture badge.png", "--painted 0.png"]
    columns = [f"frame {index}" for index in SHOWN]
    sheet = contact_sheet(rows, row_titles=titles, column_titles=columns, cell_height=120)
    picture = Image.fromarray(sheet).quantize(160, kmeans=2, dither=Image.Dither.NONE)
    picture.save(target / "textures.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
