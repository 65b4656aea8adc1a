"""Actions of a client put into effect on a project's document."""

from __future__ import annotations

import base64
import binascii
import copy
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from chromatrack.errors import InputError
from chromatrack.formats.color_text import read_color
from chromatrack.studio import color_marks, textures
from chromatrack.studio import document as doc
from chromatrack.studio import requests as ask
from chromatrack.studio.color_pen import still_painted
from chromatrack.studio.color_store import Colors
from chromatrack.studio.decoder import MOST_PIXELS
from chromatrack.studio.document import Document, find, key_of
from chromatrack.studio.store import Project, object_digests
from chromatrack.video.picture_files import PICTURE_ERRORS


@dataclass(frozen=True)
class Applied:
    """A changed document, what to call it in "undo ...", and the key of what was added.

    opens: whether it is undone and redone with the action after it. is_view: it changes what is
    seen alone, and is not undone.
    """

    document: Document
    label: str
    key: str | None = None
    opens: bool = False
    is_view: bool = False


def apply(project: Project, action: ask.Action, size: tuple[int, int], frames: int) -> Applied:
    """What an action makes of a project's document, which stays as it is.

    Args:
        size: (height, width) of the video. frames: how many it has.

    Raises:
        InputError: the action does not fit the project.
    """
    document = project.document
    frame = getattr(action, "frame", 0) or 0
    if frame >= frames:
        raise InputError(f"frame: expected a number from 0 to {frames - 1}, got {frame}")
    match action:
        case ask.Add():
            return _add(document, action)
        case ask.Change():
            new = doc.change(
                document,
                action.key,
                name=action.name,
                color=action.color,
                visible=action.visible,
                locked=action.locked,
            )
            is_view = action.name is None and action.color is None
            return Applied(new, _change_called(document, action), is_view=is_view)
        case ask.Remove():
            new = doc.remove(document, action.key)
            return Applied(new, f"Remove {_called(document, action.key)}")
        case ask.Merge():
            return _merge(project, action.from_, action.into)
        case ask.Mask():
            return _mask(project, action, size)
        case ask.Settings():
            given = action.range
            if given is not None and not given[0] < given[1] <= frames:
                raise InputError(
                    f"range: expected 0 <= start < end <= {frames}, got {given[0]} to {given[1]}"
                )
            if "range" not in action.model_fields_set:
                given = document["settings"]["range"]
            new = doc.with_settings(
                document, quality=action.quality, range_=given, saturation=action.saturation
            )
            return Applied(new, _settings_called(action))
        case ask.Gone():
            _unlocked(document, action.key)
            new = doc.gone(document, action.key, frame)
            return Applied(new, f"{_called(document, action.key)} gone on frame {frame}")
        case ask.Clear():
            _unlocked(document, action.key)
            new = doc.clear(document, action.key, frame)
            return Applied(new, f"Clear {_called(document, action.key)} on frame {frame}")
        case ask.ColorStill():
            digest = project.keep_still(read_still(action.png, size))
            new = color_marks.with_still(document, frame, digest)
            return Applied(new, f"Colour frame {frame}")
        case ask.ColorStrokes():
            return _strokes(project, action, size)
        case ask.ColorReplace():
            new = color_marks.with_color(document, action.from_, action.to)
            return Applied(new, f"Change {action.from_} to {action.to}")
        case ask.ColorClear():
            new = color_marks.without(document, frame)
            return Applied(new, f"Clear the colours of frame {frame}")
        case ask.Texture():
            content, given = read_picture(action.png)
            name = action.name or "picture"
            digest = project.keep_still(content)
            new, number = textures.with_texture(document, frame, action.quad, digest, given, name)
            return Applied(new, f"Place {name} on frame {frame}", f"texture:{number}")
        case ask.TextureMove():
            there = textures.texture_of(document, action.id)
            where = there["frame"] if action.frame is None else action.frame
            new = textures.moved(document, action.id, where, action.quad)
            return Applied(new, f"Move {there['name']}")
        case ask.TextureRemove():
            there = textures.texture_of(document, action.id)
            return Applied(textures.removed(document, action.id), f"Remove {there['name']}")
        case ask.Point() | ask.Box() | ask.Joint():
            return _place(document, action, size)


def _called(document: Document, key: str) -> str:
    return find(document, key)["name"]


def _settings_called(action: ask.Settings) -> str:
    """What settings are changed, in words."""
    if action.quality is not None:
        return f"Quality {action.quality}"
    if "range" in action.model_fields_set:
        part = action.range
        return "The whole clip" if part is None else f"Only frames {part[0]}-{part[1] - 1}"
    return "Change saturation"


def _change_called(document: Document, action: ask.Change) -> str:
    """What is changed of a thing, in words."""
    name = _called(document, action.key)
    if action.name is not None:
        return f"Rename {name}"
    if action.color is not None:
        return f"Change the colour of {name}"
    if action.visible is not None:
        return f"{'Show' if action.visible else 'Hide'} {name}"
    return f"{'Lock' if action.locked else 'Unlock'} {name}"


def _unlocked(document: Document, key: str) -> None:
    thing = find(document, key)
    if thing["locked"]:
        raise InputError(f"{thing['name']}: is locked; unlock it first")


def _add(document: Document, action: ask.Add) -> Applied:
    new, key = doc.add(
        document,
        kind=action.kind,
        color=doc.next_color(document),
        name=action.name,
        joints=action.joints,
        edges=action.edges,
        color_is_free=action.kind == "object",
    )
    return Applied(new, f"Add {_called(new, key)}", key, action.opens)


def _place(
    document: Document, action: ask.Point | ask.Box | ask.Joint, size: tuple[int, int]
) -> Applied:
    kind = {"joint": "keypoints"}.get(action.type, action.type)
    key = key_of(kind, action.id)
    _unlocked(document, key)
    height, width = size
    if isinstance(action, ask.Box):
        x, y, wide, high = action.at
        left, top = max(-0.5, x - 0.5), max(-0.5, y - 0.5)
        right, bottom = min(width - 0.5, x - 0.5 + wide), min(height - 0.5, y - 0.5 + high)
        if right - left < 1 or bottom - top < 1:
            raise InputError(
                f"at: expected a box of at least 1x1 pixels in the {width}x{height} frame, got "
                f"x {x:g}, y {y:g}, {wide:g}x{high:g}"
            )
        at: tuple[float, ...] = (left + 0.5, top + 0.5, right - left, bottom - top)
    else:
        x, y = action.at
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise InputError(
                f"at: expected a place in the {width}x{height} frame, got {x:g}, {y:g}"
            )
        at = (x, y)
    joint = action.joint if isinstance(action, ask.Joint) else None
    new = doc.place(document, key, action.frame, at, joint=joint)
    return Applied(new, f"Place {_called(document, key)} on frame {action.frame}")


def _strokes(project: Project, action: ask.ColorStrokes, size: tuple[int, int]) -> Applied:
    frame, given = action.frame, [one.model_dump() for one in action.strokes]
    strokes = still_painted(given, size)
    is_eraser = bool(given) and given[-1]["color"] is None
    if is_eraser and strokes == still_painted(given[:-1], size):
        raise InputError(f"frame {frame}: there is no stroke under the eraser")
    copied = None
    if strokes and frame not in color_marks.references(project.document):
        copied = _kept_colors(project, frame)
    new = color_marks.with_strokes(project.document, frame, strokes, copied=copied)
    did = "Paint colours" if copied is None else "Correct colours"
    did = "Erase colours" if is_eraser else did if given else "Remove the strokes"
    return Applied(new, f"{did} on frame {frame}")


def _kept_colors(project: Project, frame: int) -> str | None:
    """Digest of what was copied onto a frame, which is kept; None where it is not coloured."""
    path = Colors(project.folder).picture(frame)
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return project.keep_still(content)


def _mask(project: Project, action: ask.Mask, size: tuple[int, int]) -> Applied:
    document, key = project.document, key_of("object", action.id)
    _unlocked(document, key)
    inside = read_png(action.png, size)
    before = project.marked_ids(action.frame)
    ids = np.zeros(size, dtype=np.int32) if before is None else before
    locked = [one["id"] for one in document["objects"] if one["kind"] == "object" and one["locked"]]
    free = ~np.isin(ids, locked)
    ids = np.where(ids == action.id, 0, ids)
    ids = np.where(inside & free, action.id, ids)
    digest = project.keep_mask(ids)
    new = doc.painted(document, action.frame, mask=digest, objects=object_digests(ids))
    if inside.any():
        ground = None if action.ground is None else read_color(action.ground, "ground")
        new = doc.colored_on(new, key, ground)
    did = {"select": "Mark", "polygon": "Mark", "eraser": "Erase from"}.get(
        action.by or "", "Paint"
    )
    return Applied(new, f"{did} {_called(document, key)} on frame {action.frame}")


def read_png(text: str, size: tuple[int, int]) -> np.ndarray:
    """`(H, W)` bool of a PNG in base64: where it is above 0.

    Its size is looked at before its pixels are.

    Raises:
        InputError: it is no PNG of that (height, width).
    """
    height, width = size
    try:
        content = base64.b64decode(text.partition("base64,")[2] or text, validate=True)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size != (width, height):
                raise InputError(
                    f"png: expected the video's {width}x{height} pixels, got "
                    f"{image.width}x{image.height}"
                )
            if image.mode in ("RGBA", "LA"):
                image = Image.alpha_composite(
                    Image.new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA")
                )
            pixels = image if image.mode in ("1", "L", "P", "I", "I;16") else image.convert("L")
            return np.asarray(pixels) > 0
    except (binascii.Error, UnidentifiedImageError) as error:
        raise InputError(f"png: expected a PNG in base64 ({str(error)[:60]})") from error
    except Image.DecompressionBombError as error:
        text = f"png: expected the video's {width}x{height} pixels, got many more"
        raise InputError(text) from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"png: is damaged ({str(error)[:60]})") from error


def read_still(text: str, size: tuple[int, int]) -> bytes:
    """A coloured picture in base64 as PNG of a (height, width), scaled and centre-cropped.

    Raises:
        InputError: it is no picture, or too large.
    """
    image = _opened_picture(text).convert("RGB")
    fitted = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC)
    return _as_png(fitted)


def read_picture(text: str) -> tuple[bytes, tuple[int, int]]:
    """(PNG with alpha, (width, height)) of a picture in base64. Raises InputError."""
    image = _opened_picture(text).convert("RGBA")
    if image.getextrema()[3][1] == 0:  # type: ignore[index]
        raise InputError("png: expected a picture that can be seen, got a wholly clear one")
    return _as_png(image), image.size


def _as_png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG", compress_level=1)
    return out.getvalue()


def _opened_picture(text: str) -> Image.Image:
    """A picture in base64, whose size is looked at before its pixels are."""
    try:
        content = base64.b64decode(text.partition("base64,")[2] or text, validate=True)
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG", "WEBP"]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise InputError(
                    f"png: expected at most {MOST_PIXELS >> 20} megapixels, got "
                    f"{image.width}x{image.height}"
                )
            return ImageOps.exif_transpose(image)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        text = f"png: expected at most {MOST_PIXELS >> 20} megapixels, got many more"
        raise InputError(text) from error
    except PICTURE_ERRORS as error:
        raise InputError(
            f"png: expected a picture in base64: PNG, JPEG or WebP ({str(error)[:60]})"
        ) from error


def _merge(project: Project, from_: str, into: str) -> Applied:
    """All marks of one thing as those of another; where both are marked, the other's count."""
    old = project.document
    one, other = find(old, from_), find(old, into)
    if one["kind"] != other["kind"] or from_ == into:
        raise InputError(f"merge: expected two things of one kind, got {from_} and {into}")
    _unlocked(old, from_)
    _unlocked(old, into)
    new = copy.deepcopy(old)
    field = {"point": "points", "box": "boxes", "keypoints": "keypoints"}.get(one["kind"])
    for frame, marks in new["marks"].items():
        if field is not None:
            if str(one["id"]) in marks[field]:
                marks[field].setdefault(str(other["id"]), marks[field][str(one["id"])])
        elif str(one["id"]) in marks["objects"]:
            ids = project.marked_ids(int(frame))
            assert ids is not None
            ids = np.where(ids == one["id"], other["id"], ids)
            digests = object_digests(ids).items()
            marks["mask"] = project.keep_mask(ids)
            marks["objects"] = {str(number): digest for number, digest in digests}
            marks["gone"] = [n for n in marks["gone"] if n != other["id"]]
    return Applied(doc.remove(new, from_), f"Merge {one['name']} into {other['name']}")
