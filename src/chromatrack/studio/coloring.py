"""Colours in the model's process: references made of stills and strokes, frames coloured by them.

The only place where the studio knows how colours are copied; `tracking.colorize` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chromatrack.formats.color_strokes import Strokes
from chromatrack.formats.color_text import read_color
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes
from chromatrack.studio.color_pen import strokes_drawn
from chromatrack.studio.color_store import ColoredRow, ColorWriter, read_colors, still_path
from chromatrack.tracking.color_strokes import PaintedFrame, spread
from chromatrack.tracking.colorize import fit_picture, paint
from chromatrack.tracking.embedder import FrameEmbedder
from chromatrack.tracking.frame_likeness import FrameLooks, choose, likeness
from chromatrack.tracking.tracker import Tracker
from chromatrack.video.picture_files import read_rgb
from chromatrack.video.reader import read_frame

_ALIKE = 16.0
"""Distance in ab from a colour that is changed at which others lose 63 % of the change."""

_COMPARED = 8  # frames, spread over the video, that a suggestion is chosen from


def color_frames(
    tracker: Tracker,
    video: str,
    folder: Path,
    references: Mapping[int, Mapping[str, Any]],
    *,
    key: str,
    start: int,
    end: int | None,
    progress: Callable[[int, int | None], None],
) -> Generator[ColoredRow]:
    """Colour frames [start, end) by a project's references and put each in place.

    progress: as `Tracker.colorize`; called before it begins too, with 0 frames, again and again.

    Raises:
        InputError, VideoError: as `Tracker.colorize`. OutputError: the folder cannot be written.
    """
    pictures = []
    for frame, one in references.items():
        pictures.append((reference_picture(tracker.embedder, video, folder, frame, one), frame))
        progress(0, None)
    writer, span = ColorWriter(folder), {"start": start, "end": end}
    try:
        for frame in tracker.colorize(video, references=pictures, progress=progress, **span):
            row = ColoredRow(frame.index, frame.pts_seconds, round(frame.reliability, 4), key)
            assert frame.ab is not None and frame.confidence is not None
            writer.put(row, frame.ab, frame.confidence)
            yield row
    finally:
        writer.close()


@torch.inference_mode()
def reference_picture(
    embedder: FrameEmbedder,
    video: str,
    folder: Path,
    frame: int,
    given: Mapping[str, Any],
    *,
    look: Callable[[str, int], PaintedFrame] | None = None,
) -> np.ndarray:
    """`(H, W, 3)` uint8: a frame in the colours that were given for it.

    Args:
        given: {"still": digest of a picture or None, "strokes": a list}. Strokes lie on the still;
            without one their colours spread to what is alike and near, and the rest stays grey, or
            as it was where they correct "copied" colours, some of which were "changed" since.
        look: gives the frame as strokes need it, if it may be known already.

    Raises:
        InputError: the still is damaged or gone. VideoError: the frame cannot be read.
    """
    strokes_alone = given["still"] is None and bool(given["strokes"])
    known = look(video, frame) if look is not None and strokes_alone else None
    rgb = read_frame(video, index=frame).rgb if known is None else known.rgb
    size = rgb.shape[:2]
    drawn, covered = strokes_drawn(given["strokes"], size)
    if given["still"] is None and not covered.any():
        return paint(rgb, torch.zeros(2, *size))
    if given["still"] is None:
        strokes = Strokes(frame, drawn, covered.astype(np.float32))
        ground = _ground(folder, given)
        return spread(embedder, video, strokes, ground=ground, known=known)
    name = "the coloured picture"
    still = fit_picture(np.array(read_rgb(still_path(folder, given["still"]), name=name)), size)
    ab = torch.where(torch.from_numpy(covered), _ab(drawn), _ab(still))
    return paint(rgb, ab)


@torch.inference_mode()
def saturated(rgb: np.ndarray, saturation: float) -> np.ndarray:
    """`(H, W, 3)` uint8: a picture with its colours so many times as strong."""
    return rgb if saturation == 1 else paint(rgb, _ab(rgb) * saturation)


def _ground(folder: Path, given: Mapping[str, Any]) -> np.ndarray | None:
    """ab `(2, h, w)` that strokes correct, as it is since; None where they correct nothing."""
    if given.get("copied") is None:
        return None
    ab = read_colors(still_path(folder, given["copied"]))[0]
    for old, new in given.get("changed", ()):
        ab = _changed(ab, _ab_of(old), _ab_of(new))
    return ab


def _changed(ab: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Colours `(2, h, w)`, those like `old` `(2,)` moved as far as `new` is from it."""
    apart = np.square(ab - old[:, None, None]).sum(0) / _ALIKE**2
    return ab + np.exp(-(apart**2)) * (new - old)[:, None, None]


def _ab_of(color: str) -> np.ndarray:
    return _ab(np.array(read_color(color, "stroke"), np.uint8)[None, None])[:, 0, 0].numpy()


def _ab(rgb: np.ndarray) -> Tensor:
    return rgb_to_lab(planes(rgb).float() / 255)[1:]


def suggested(
    picture: Callable[[int], np.ndarray],
    embedder: FrameEmbedder,
    part: tuple[int, int],
    references: Sequence[int],
    doubtful: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Which frame to colour next, {"frame", "why", "others"}.

    Args:
        picture: gives a frame, `(H, W, 3)` uint8.
        part: frames [first, after) that are to be coloured: none beyond it is suggested. One of
            them at least is no reference.
        doubtful: stretches of coloured frames that may be wrong, the worst first.
    """
    first, after = part
    inside = [(max(first, int(one["first"])), min(after - 1, int(one["last"]))) for one in doubtful]
    middles = [(one[0] + one[1]) // 2 for one in inside if one[0] <= one[1]]
    for n, middle in enumerate(middles):
        if middle not in references:
            others = [other for other in middles[n + 1 :] if other not in references][:3]
            return {"frame": middle, "why": "its colours are the least sure", "others": others}
    asked = {round(i) for i in np.linspace(first, after - 1, min(_COMPARED, after - first))}
    compared = sorted({*asked, *references})
    looks = FrameLooks(embedder)
    seen = [looks.of(picture(i)) for i in compared]
    weights = [float(i in asked) for i in compared]
    known = [n for n, i in enumerate(compared) if i in references]
    order = [compared[one.index] for one in choose(seen, weights, 4, known=known)]
    why = "it shows most of what the others show"
    if references:
        why = "it shows most of what your frames do not show"
    if not order and known:  # all has its like in what is coloured
        free = [n for n in range(len(compared)) if n not in known]
        colored = torch.cat([seen[n] for n in known])
        free.sort(key=lambda n: float(likeness(seen[n], colored).mean()))
        order, why = [compared[n] for n in free], "it is least like the frames that are coloured"
    if not order:  # all that were compared are coloured
        others = [i for i in range(first, after) if i not in references]
        order = [max(others, key=lambda i: min((abs(i - j) for j in references), default=0))]
        why = "it is farthest from the frames that are coloured"
    return {"frame": order[0], "why": why, "others": order[1:4]}
