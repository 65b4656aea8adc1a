"""Colours in the model's process: references made of stills and strokes, frames coloured by them.

The only place where the studio knows how colours are copied; `tracking.colorize` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from chromatrack.ops.affinity import affinity, similarity
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import image_size
from chromatrack.ops.resample import planes, resize, to_cells, upsample_guided
from chromatrack.studio.color_store import ColoredRow, ColorWriter, still_path
from chromatrack.tracking.colorize import embed_grey, fit_picture, paint
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.picture_files import read_rgb
from chromatrack.video.reader import read_frame

_COVERED = 0.05  # share of a cell under a stroke from which the cell is a reference
_FAR = 0.35  # of the frame's longer side: how far a stroke's colour carries where all is alike
_BLOCK = 3  # cells of a side that count as one when frames are compared
_ALIKE = 0.35, 0.6  # likeness to the nearest stroke: stays grey, takes all of its colour


def color_frames(
    tracker: Tracker,
    video: str,
    folder: Path,
    references: Mapping[int, Mapping[str, Any]],
    *,
    key: str,
    start: int,
    end: int | None,
) -> Generator[ColoredRow]:
    """Colour frames [start, end) by a project's references and put each in place.

    Raises:
        InputError, VideoError: as `Tracker.colorize`. OutputError: the folder cannot be written.
    """
    pictures = [
        (reference_picture(tracker.embedder, video, folder, frame, one), frame)
        for frame, one in references.items()
    ]
    writer = ColorWriter(folder)
    try:
        for frame in tracker.colorize(video, references=pictures, start=start, end=end):
            row = ColoredRow(frame.index, frame.pts_seconds, round(frame.reliability, 4), key)
            assert frame.ab is not None and frame.confidence is not None
            writer.put(row, frame.ab, frame.confidence)
            yield row
    finally:
        writer.close()


@torch.inference_mode()
def reference_picture(
    embedder: FrameEmbedder, video: str, folder: Path, frame: int, given: Mapping[str, Any]
) -> np.ndarray:
    """`(H, W, 3)` uint8: a frame in the colours that were given for it.

    Args:
        given: {"still": digest of a picture or None, "strokes": a list}. Strokes lie on the still;
            without one their colours spread to what is alike and near, and the rest stays grey.

    Raises:
        InputError: the still is damaged or gone. VideoError: the frame cannot be read.
    """
    rgb = read_frame(video, index=frame).rgb
    size = rgb.shape[:2]
    drawn, covered = strokes_drawn(given["strokes"], size)
    if given["still"] is not None:
        name = "the coloured picture"
        still = fit_picture(np.array(read_rgb(still_path(folder, given["still"]), name=name)), size)
        ab = rgb_to_lab(planes(still).float() / 255)[1:]
    else:
        ab = spread(embedder, rgb, drawn, covered)
    ab = torch.where(torch.from_numpy(covered), _ab(drawn), ab)
    return paint(rgb, ab)


def strokes_drawn(
    strokes: Sequence[Mapping[str, Any]], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """(colours `(H, W, 3)` uint8, where there are any `(H, W)` bool); later strokes lie above."""
    picture = Image.new("RGB", (size[1], size[0]))
    where = Image.new("1", (size[1], size[0]))
    for stroke in strokes:
        radius = float(stroke["radius"])
        points = [(float(x), float(y)) for x, y in stroke["points"]]
        for image, color in ((picture, stroke["color"]), (where, 1)):
            pen = ImageDraw.Draw(image)
            if len(points) > 1:
                pen.line(points, fill=color, width=max(1, round(2 * radius)), joint="curve")
            for x, y in points:
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    return np.asarray(picture), np.array(where)


def _ab(rgb: np.ndarray) -> Tensor:
    return rgb_to_lab(planes(rgb).float() / 255)[1:]


def spread(
    embedder: FrameEmbedder, rgb: np.ndarray, drawn: np.ndarray, covered: np.ndarray
) -> Tensor:
    """ab `(2, H, W)` of a grey frame on which a few strokes lie.

    A cell copies from the cells under strokes as it would from another frame, the nearer ones
    preferred; what is like none of them stays grey.
    """
    image = embedder.image(rgb)
    lab, spec = rgb_to_lab(image), embedder.spec
    encoder = embedder.for_clip(embedder.lab(rgb), grey=True)
    features = embed_grey(encoder, lab)
    small = resize(torch.from_numpy(covered)[None].float(), image_size(image)).clamp(0, 1)
    colors = resize(_ab(drawn) * torch.from_numpy(covered), image_size(image))
    share = to_cells(small[None], spec)[0, 0]
    ab = to_cells(colors[None], spec)[0]
    rows, columns = (share > min(_COVERED, float(share.max()) / 2)).nonzero(as_tuple=True)
    if not len(rows):
        return torch.zeros(2, *rgb.shape[:2])
    marked = ab[:, rows, columns] / share[rows, columns]
    h, w = share.shape
    likeness = similarity(features.flatten(1), features[:, rows, columns]).cpu()
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    away = (y.flatten()[:, None] - rows) ** 2 + (x.flatten()[:, None] - columns) ** 2
    near = (away.float().sqrt() / (_FAR * max(h, w))).clamp(max=1)
    config = embedder.config.color
    weights = affinity(
        likeness - 0.5 * near.square(),
        temperature=config.temperature,
        top_k=min(config.top_k or len(rows), len(rows)),
    )
    least, whole = _ALIKE
    taken = ((likeness.max(1).values - least) / (whole - least)).clamp(0, 1)
    cells = (weights @ marked.T * taken[:, None]).T.reshape(2, h, w)
    return resize(upsample_guided(cells, image.cpu(), spec=spec), rgb.shape[:2])


def _coarse(features: Tensor) -> Tensor:
    """`(C, N)` of unit length: features `(C, h, w)` by blocks, as frames are compared in pairs."""
    h, w = features.shape[-2:]
    block = max(1, min(_BLOCK, h, w))
    return F.normalize(F.avg_pool2d(features[None], block)[0].flatten(1), dim=0)


def suggested(
    look: Callable[[int], Any],
    frames: int,
    references: Sequence[int],
    doubtful: Sequence[Mapping[str, Any]],
    *,
    most: int = 8,
) -> dict[str, Any]:
    """Which frame to colour next, {"frame", "why", "others"}.

    Args:
        look: gives a frame as the network sees it (`Look`).
        doubtful: stretches of coloured frames that may be wrong, the worst first.
    """
    for one in doubtful:
        middle = (int(one["first"]) + int(one["last"])) // 2
        if middle not in references:
            others = [int(other["first"] + other["last"]) // 2 for other in doubtful[1:4]]
            return {"frame": middle, "why": "its colours are the least sure", "others": others}
    asked = sorted({round(i) for i in np.linspace(0, frames - 1, min(most, frames))})
    seen = {i: _coarse(look(i).features) for i in {*asked, *references}}
    free = [i for i in asked if i not in references] or asked

    def alike(a: int, b: int) -> float:
        return float(similarity(seen[a], seen[b]).max(1).values.mean())

    if not references:
        order = sorted(free, key=lambda i: -sum(alike(other, i) for other in asked if other != i))
        why = "it is most like all the others"
    else:
        order = sorted(free, key=lambda i: max(alike(i, r) for r in references))
        why = "it is least like the frames that are coloured"
    return {"frame": order[0], "why": why, "others": order[1:4]}
