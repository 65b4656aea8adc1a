"""Coloured frames made of a frame and the small picture of its colours: to look at, to export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chromatrack.errors import InputError
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.resample import planes, resize
from chromatrack.runs.progress import Report
from chromatrack.runs.staging import Staging
from chromatrack.studio.color_store import Colors, read_colors
from chromatrack.tracking.colorize import paint
from chromatrack.video.reader import probe, read_frames

_STRONG = 80.0  # chroma in Lab that is shown as full strength
_DOUBTFUL, _SURE = (40.0, 55.0), (10.0, -45.0)  # ab of orange and of blue


@torch.inference_mode()
def color_view(rgb: np.ndarray, picture: Path, view: str, saturation: float) -> np.ndarray:
    """`(H, W, 3)` uint8: a frame `(H, W, 3)` in its colours; of "color" uint16 where that is.

    Args:
        picture: of them (`color_store`). view: "color"; "saturation": how strong they are, from
            black to white; "confidence": orange where they are doubtful, blue where they are sure.

    Raises:
        InputError: the picture is damaged.
    """
    small, sure = read_colors(picture)
    size = rgb.shape[:2]
    if view == "confidence":
        share = torch.from_numpy(sure)[None]
        ends = [torch.tensor(end)[:, None, None] for end in (_DOUBTFUL, _SURE)]
        return paint(rgb, resize(ends[0] + (ends[1] - ends[0]) * share, size))
    painted = paint(rgb, torch.from_numpy(small) * saturation)
    if view == "color":
        return painted
    chroma = rgb_to_lab(planes(painted).float() / 255)[1:].square().sum(0).sqrt()
    level = (chroma / _STRONG * 255).clamp(0, 255).to(torch.uint8).numpy()
    return np.repeat(level[..., None], 3, axis=2)


def film_look(folder: Path, saturation: float) -> Callable[[int, np.ndarray], np.ndarray] | None:
    """How a frame of a project looks in the film's colours, by its number; None: it has none.

    A frame that has none yet stays as it is.
    """
    colors = Colors(folder)

    def look(index: int, rgb: np.ndarray) -> np.ndarray:
        picture = colors.picture(index)
        return rgb if picture is None else color_view(rgb, picture, "color", saturation)

    return look if colors.rows else None


def write_colored(
    folder: Path, video: str, output: Path, saturation: float, progress: Report
) -> dict[str, Any]:
    """Write the coloured frames of a project as a video, with the source's timing and sound.

    Frames between them that have no colours are as in the source.

    Raises:
        InputError: none is coloured, or one is damaged. VideoError, OutputError.
    """
    from chromatrack.video.writer import VideoWriter

    colors = Colors(folder)
    if not colors.rows:
        raise InputError("coloured: expected coloured frames, found none; colour some first")
    first, after = min(colors.rows), max(colors.rows) + 1
    output.parent.mkdir(parents=True, exist_ok=True)
    grey = 0
    with Staging(output) as stage:
        with VideoWriter(stage.path, fps=probe(video).average_fps, audio_from=video) as writer:
            for count, frame in enumerate(read_frames(video, start=first, end=after), start=1):
                picture, rgb = colors.picture(frame.index), frame.rgb
                if picture is not None:
                    rgb = color_view(rgb, picture, "color", saturation)
                grey += picture is None
                writer.write(
                    rgb, pts_seconds=frame.pts_seconds, duration_seconds=frame.duration_seconds
                )
                progress("export", count, after - first)
        stage.put_in_place()
    notes = [f"{grey} frames have no colours yet and are as in the video"] if grey else []
    return {"path": str(output), "message": "coloured written", "notes": notes}
