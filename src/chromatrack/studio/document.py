"""What a project says, as plain values, and the actions that change it. Pure: no files.

A document holds "name", "video", "settings", "objects" (a list), "marks" (by frame) and, where
there are any, "colors" (by frame, see `color_marks`) and "textures" (see `textures`). An action
gives a changed copy; the old one is never touched. `parts` and `changed_parts` say which pieces an
action changed, so that it can be undone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from chromatrack.errors import InputError
from chromatrack.formats.color_text import hex_color, read_color
from chromatrack.structures import COCO_PERSON, Color, Kind, Skeleton
from chromatrack.viz.palette import color_on, object_hex

SCHEMA_VERSION = 1
"""Of studio.json; raised when a key changes its meaning or goes."""

Document = dict[str, Any]
"""See this module."""

KINDS: tuple[Kind, ...] = get_args(Kind)
QUALITIES = ("fast", "normal", "best")
MOST_OBJECTS = 200
"""In one project."""
LONGEST_NAME = 80
"""Letters."""
MOST_JOINTS = 200

_NOUN = {"object": "object", "point": "point", "box": "box", "keypoints": "skeleton"}
_FIELD = {"point": "points", "box": "boxes", "keypoints": "keypoints"}


def new_document(name: str, video: Mapping[str, Any]) -> Document:
    """A document that marks nothing yet. video: see `store.video_reference`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name[:LONGEST_NAME],
        "video": dict(video),
        "settings": {"quality": "normal", "range": None},
        "objects": [],
        "marks": {},
    }


def key_of(kind: str, number: int) -> str:
    """The key of a thing: "object:1"."""
    return f"{kind}:{number}"


def find(document: Document, key: str) -> dict[str, Any]:
    """The thing of a key. Raises InputError where there is none."""
    for one in document["objects"]:
        if one["key"] == key:
            return one
    raise InputError(f"key: expected one of the project's objects, got {key!r:.40}")


# -- actions -----------------------------------------------------------------------------------


def add(
    document: Document,
    *,
    kind: str,
    color: str,
    name: str | None = None,
    joints: Sequence[str] | None = None,
    edges: Sequence[Sequence[int]] | None = None,
    number: int | None = None,
    category: str | None = None,
    color_is_free: bool = False,
) -> tuple[Document, str]:
    """With one thing more; its key comes too.

    category: what it is, where marks of a run say so; kept with it, and in all that is written.
    color_is_free: nobody chose the colour, so that `colored_on` may change it.

    Raises:
        InputError: no such kind, too many things, or joints that make no skeleton.
    """
    if kind not in KINDS:
        raise InputError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r:.40}")
    new = copy.deepcopy(document)
    if len(new["objects"]) >= MOST_OBJECTS:
        raise InputError(f"a project has at most {MOST_OBJECTS} objects; remove one first")
    taken = [one["id"] for one in new["objects"] if one["kind"] == kind]
    numbered = max(taken, default=0) + 1 if number is None else number
    skeleton = _skeleton(new, joints, edges) if kind == "keypoints" else None
    new["objects"].append(
        {
            "key": key_of(kind, numbered),
            "kind": kind,
            "id": numbered,
            "name": _name(name) if name else f"{_NOUN[kind]} {numbered}",
            "color": color,
            "visible": True,
            "locked": False,
            "joints": None if skeleton is None else list(skeleton.names),
            "edges": None if skeleton is None else [list(edge) for edge in skeleton.edges],
            **({"category": category} if category else {}),
            **({"colorIsFree": True} if color_is_free else {}),
        }
    )
    return new, key_of(kind, numbered)


def next_color(document: Document) -> str:
    """The colour, "#rrggbb", that a thing gets which is added now: one that no other has."""
    used = {one["color"] for one in document["objects"]}
    unused = (color for n in range(1, 36) if (color := object_hex(n)) not in used)
    return next(unused, object_hex(len(document["objects"]) + 1))


def _skeleton(
    document: Document, joints: Sequence[str] | None, edges: Sequence[Sequence[int]] | None
) -> Skeleton:
    """The one asked for; by default that of the project, or of a person."""
    there = next((one for one in document["objects"] if one["kind"] == "keypoints"), None)
    if joints is None and there is None:
        return COCO_PERSON
    names = there["joints"] if joints is None and there is not None else joints or []
    pairs = there["edges"] if joints is None and there is not None else edges or []
    if len(names) > MOST_JOINTS or any(len(name) > LONGEST_NAME for name in names):
        raise InputError(f"joints: expected at most {MOST_JOINTS} short names")
    if any(len(edge) != 2 for edge in pairs):
        raise InputError("edges: expected pairs of joint numbers")
    skeleton = Skeleton(tuple(names), tuple((int(a), int(b)) for a, b in pairs))
    if there is not None and list(skeleton.names) != there["joints"]:
        raise InputError(
            f"joints: one project has one kind of skeleton, here that of {there['name']}; remove "
            "it first, or leave joints out"
        )
    return skeleton


def _name(name: str) -> str:
    shown = " ".join(name.split())
    if not shown or len(shown) > LONGEST_NAME or not shown.isprintable():
        raise InputError(f"name: expected 1 to {LONGEST_NAME} printable letters, got {name!r:.40}")
    return shown


def change(
    document: Document,
    key: str,
    *,
    name: str | None = None,
    color: str | None = None,
    visible: bool | None = None,
    locked: bool | None = None,
) -> Document:
    """With another name, colour (#rrggbb), visibility or lock of one thing."""
    new = copy.deepcopy(document)
    given = {"name": None if name is None else _name(name), "color": color}
    given |= {"visible": visible, "locked": locked}
    thing = find(new, key)
    thing.update({what: value for what, value in given.items() if value is not None})
    if color is not None:
        thing.pop("colorIsFree", None)
    return new


def colored_on(document: Document, key: str, ground: Color | None) -> Document:
    """With a colour that is seen on a thing's first mark, if nobody chose one; then never again.

    ground: the mean colour under the mark; None: not known.
    """
    new = copy.deepcopy(document)
    thing = find(new, key)
    if thing.pop("colorIsFree", False) and ground is not None:
        used = [read_color(one["color"], one["key"]) for one in new["objects"] if one is not thing]
        own = read_color(thing["color"], key)
        thing["color"] = hex_color(color_on(ground, own, used))
    return new


def remove(document: Document, key: str) -> Document:
    """Without one thing and its marks."""
    new = copy.deepcopy(document)
    thing = find(new, key)
    new["objects"].remove(thing)
    for frame in list(new["marks"]):
        _drop(new, thing, int(frame))
    return new


def on_frame(document: Document, frame: int) -> dict[str, Any]:
    """The marks on one frame, made if there are none; `settled` takes empty ones out."""
    empty = {"mask": None, "objects": {}, "points": {}, "boxes": {}, "keypoints": {}, "gone": []}
    return document["marks"].setdefault(str(frame), empty)


def settled(document: Document, frame: int) -> Document:
    """The same without the marks of a frame where there are none left."""
    marks = document["marks"].get(str(frame))
    if marks is not None and not any(marks[name] for name in marks if name != "mask"):
        del document["marks"][str(frame)]
    return document


def _drop(document: Document, thing: Mapping[str, Any], frame: int) -> None:
    """Take a thing's marks off a frame, in place.

    The pixels stay in the frame's mask: "objects" says which of its ids count.
    """
    marks = document["marks"].get(str(frame))
    if marks is None:
        return
    number = str(thing["id"])
    if thing["kind"] == "object":
        marks["objects"].pop(number, None)
        marks["gone"] = [one for one in marks["gone"] if one != thing["id"]]
    else:
        marks[_FIELD[thing["kind"]]].pop(number, None)
    settled(document, frame)


def painted(document: Document, frame: int, *, mask: str, objects: Mapping[int, str]) -> Document:
    """With another mask on a frame.

    Args:
        mask: digest of the picture of ids. objects: digest of the pixels of each id in it.
    """
    new = copy.deepcopy(document)
    marks = on_frame(new, frame)
    marks["mask"] = mask
    marks["objects"] = {str(number): digest for number, digest in sorted(objects.items())}
    marks["gone"] = [number for number in marks["gone"] if number not in objects]
    return settled(new, frame)


def place(
    document: Document, key: str, frame: int, at: Sequence[float], *, joint: int | None = None
) -> Document:
    """With a point, box or joint somewhere on a frame."""
    new = copy.deepcopy(document)
    thing = find(new, key)
    marks, number = on_frame(new, frame), str(thing["id"])
    if joint is None:
        marks[_FIELD[thing["kind"]]][number] = [float(value) for value in at]
        return new
    count = len(thing["joints"] or [])
    if not 0 <= joint < count:
        raise InputError(f"joint: expected a number from 0 to {count - 1}, got {joint}")
    joints = marks["keypoints"].setdefault(number, [None] * count)
    joints[joint] = [float(value) for value in at]
    return new


def gone(document: Document, key: str, frame: int) -> Document:
    """With a thing declared not to be seen on a frame."""
    new = copy.deepcopy(document)
    thing = find(new, key)
    _drop(new, thing, frame)
    marks, number = on_frame(new, frame), thing["id"]
    if thing["kind"] == "object":
        marks["gone"] = sorted({*marks["gone"], number})
    elif thing["kind"] == "keypoints":
        marks["keypoints"][str(number)] = ["gone"] * len(thing["joints"])
    else:
        marks[_FIELD[thing["kind"]]][str(number)] = None
    return new


def clear(document: Document, key: str, frame: int) -> Document:
    """Without what is said of a thing on a frame."""
    new = copy.deepcopy(document)
    _drop(new, find(new, key), frame)
    return new


def with_settings(
    document: Document,
    *,
    quality: str | None = None,
    range_: Sequence[int] | None = None,
    saturation: float | None = None,
) -> Document:
    """With another quality, and frames [start, end) to track; range_ None: all of them.

    saturation: of coloured frames, 1 as they were found.
    """
    new = copy.deepcopy(document)
    if quality is not None and quality not in QUALITIES:
        raise InputError(f"quality: expected {', '.join(QUALITIES)}, got {quality!r:.40}")
    new["settings"]["quality"] = quality or new["settings"]["quality"]
    new["settings"]["range"] = None if range_ is None else [int(value) for value in range_]
    if saturation is not None:
        new["settings"]["saturation"] = float(saturation)
    return new


def saturation_of(document: Document) -> float:
    """How strong the colours of coloured frames are shown and written; 1 as they were found."""
    return float(document["settings"].get("saturation", 1.0))


# -- what an action changed --------------------------------------------------------------------


def parts(document: Document) -> dict[str, Any]:
    """The pieces of a document that actions change, by name: objects, settings, marks/12."""
    found = {name: document[name] for name in ("name", "settings", "objects")}
    for table in ("marks", "colors", "textures"):
        found |= {f"{table}/{frame}": here for frame, here in document.get(table, {}).items()}
    return found


def changed_parts(before: Document, after: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    """(as they were, as they are) of the pieces that differ; None where there is none."""
    old, new = parts(before), parts(after)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return {n: old.get(n) for n in names}, {n: new.get(n) for n in names}


def only_frame(before: Document, after: Document) -> int | None:
    """The frame whose marks or colours are all that differs, but for the objects; else None."""
    names = set(changed_parts(before, after)[0]) - {"objects"}
    frames = {name.partition("/")[2] for name in names if name.startswith(("marks/", "colors/"))}
    return int(frames.pop()) if len(frames) == 1 and len(names) == 1 else None


def with_parts(document: Document, given: Mapping[str, Any]) -> Document:
    """With some pieces replaced, or taken out where they are None."""
    new = copy.deepcopy(document)
    for name, value in given.items():
        where, _, frame = name.partition("/")
        if not frame:
            new[where] = copy.deepcopy(value)
        elif value is None:
            new.get(where, {}).pop(frame, None)
        else:
            new.setdefault(where, {})[frame] = copy.deepcopy(value)
    return new


def with_views_of(document: Document, new: Document) -> Document:
    """Another document in which things are hidden and locked as in this one, if they are in both.

    Both are seen to and undone by themselves, so nothing else that is undone changes them.
    """
    views = {one["key"]: (one["visible"], one["locked"]) for one in document["objects"]}
    for one in new["objects"]:
        one["visible"], one["locked"] = views.get(one["key"], (one["visible"], one["locked"]))
    return new
