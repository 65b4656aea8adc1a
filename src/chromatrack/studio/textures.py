"""Pictures placed on a frame by their four corners: kept in the document, warped, carried along.

A document's "textures" holds for each number {"frame", "quad": corners from the top left one
clockwise, px of the frame, "picture": digest of an RGBA PNG, "size": [width, height], "name"}.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.runs.progress import Report
from chromatrack.runs.staging import Staging
from chromatrack.studio.color_store import still_path
from chromatrack.studio.document import Document

TEXTURES = "textures"
_MOST = 50  # in one project

Quad = Sequence[Sequence[float]]


def with_texture(
    document: Document, frame: int, quad: Quad, picture: str, size: tuple[int, int], name: str
) -> tuple[Document, int]:
    """With one picture more, and its number. Raises InputError for corners that make no sense."""
    new = copy.deepcopy(document)
    every = new.setdefault(TEXTURES, {})
    if len(every) >= _MOST:
        raise InputError(f"a project has at most {_MOST} pictures; remove one first")
    number = max((int(one) for one in every), default=0) + 1
    given = {"picture": picture, "size": list(size), "name": name}
    every[str(number)] = {"frame": frame, "quad": checked_quad(quad)} | given
    return new, number


def moved(document: Document, number: int, frame: int, quad: Quad) -> Document:
    """With one picture elsewhere."""
    new = copy.deepcopy(document)
    texture_of(new, number).update({"frame": frame, "quad": checked_quad(quad)})
    return new


def removed(document: Document, number: int) -> Document:
    """Without one picture."""
    new = copy.deepcopy(document)
    texture_of(new, number)
    del new[TEXTURES][str(number)]
    return new


def texture_of(document: Document, number: int) -> dict[str, Any]:
    """The picture of a number. Raises InputError where there is none."""
    found = document.get(TEXTURES, {}).get(str(number))
    if found is None:
        raise InputError(f"id: expected one of the project's pictures, got {number}")
    return found


def told(document: Document) -> list[dict[str, Any]]:
    """As the client is told."""
    return [
        {"id": int(number), "key": f"texture:{number}"}
        | {name: one[name] for name in ("name", "frame", "quad", "size")}
        for number, one in sorted(document.get(TEXTURES, {}).items(), key=lambda item: int(item[0]))
    ]


def checked_quad(quad: Quad) -> list[list[float]]:
    """Corners that go round a convex area clockwise. Raises InputError for others."""
    corners = np.asarray(quad, dtype=np.float64)
    sides = np.roll(corners, -1, axis=0) - corners
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    if corners.shape != (4, 2) or not np.isfinite(corners).all() or turns.min() < 1:
        raise InputError(
            "quad: expected four corners round a convex area: top left, top right, bottom right, "
            "bottom left"
        )
    return [[float(x), float(y)] for x, y in quad]


def warped(picture: Image.Image, quad: Quad, size: tuple[int, int]) -> Image.Image:
    """RGBA of a (height, width): a picture with its corners where they are wanted, else clear."""
    width, height = picture.size
    own = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    rows, ends = [], []
    for (x, y), (u, v) in zip(quad, own, strict=True):
        x, y = x + 0.5, y + 0.5  # Pillow counts from the corner of the top left pixel
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        ends += [u, v]
    back = np.linalg.solve(np.array(rows), np.array(ends))
    return picture.convert("RGBA").transform(
        (size[1], size[0]),
        Image.Transform.PERSPECTIVE,
        back.tolist(),
        resample=Image.Resampling.BICUBIC,
    )


def open_texture(folder: Path, texture: dict[str, Any]) -> Image.Image:
    """The picture of a texture. Raises InputError where it is gone or damaged."""
    try:
        with Image.open(still_path(folder, texture["picture"]), formats=["PNG"]) as image:
            return image.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{texture['name']}: the picture is damaged; place it anew") from error


def placed(frame: bytes, folder: Path, texture: dict[str, Any], width: int) -> bytes:
    """A frame, which is a JPEG, with a texture on it, as JPEG. width: of the video, px."""
    with Image.open(io.BytesIO(frame)) as image:
        shown = image.convert("RGBA")
    scale = shown.width / width
    quad = [[(x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5] for x, y in texture["quad"]]
    above = warped(open_texture(folder, texture), quad, (shown.height, shown.width))
    out = io.BytesIO()
    Image.alpha_composite(shown, above).convert("RGB").save(out, format="JPEG", quality=90)
    return out.getvalue()


def write_textured(
    tracker: Any,  # noqa: ANN401  (Tracker: torch is not imported up there)
    video: str,
    folder: Path,
    document: Document,
    output: Path,
    progress: Report,
) -> dict[str, Any]:
    """Write the video with all pictures carried along.

    Raises:
        InputError: there is none, or one lies outside its frame. VideoError, OutputError.
    """
    from chromatrack.uses.layers import ImageLayer
    from chromatrack.uses.paint import paint_video
    from chromatrack.video.reader import probe

    info, layers = probe(video), []
    for one in document.get(TEXTURES, {}).values():
        above = warped(open_texture(folder, one), one["quad"], (info.height, info.width))
        layers.append(ImageLayer(np.asarray(above), int(one["frame"]), name=one["name"]))
    if not layers:
        raise InputError("textured: expected a placed picture, got none; place one first")
    start, end = document["settings"]["range"] or (0, None)
    output.parent.mkdir(parents=True, exist_ok=True)
    with Staging(output) as stage:  # of its own: what is painted until a stop is not put in place
        done = paint_video(
            tracker,
            video,
            textures=layers,
            output=str(stage.path),
            start=start,
            end=end,
            progress=lambda _, count, total: progress("export", count, total),
        )
        stage.put_in_place()
    unseen = [(layer.name, count) for layer, count in zip(layers, done.unseen, strict=True)]
    notes = [f"{name}: is not seen on {count} frames" for name, count in unseen if count]
    return {"path": str(output), "message": "textured written", "notes": notes}
