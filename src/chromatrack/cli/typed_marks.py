"""Marks typed on the command line: `1@0:180,150,102,68`, and what they are called.

Nothing heavy is imported until they are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, get_args

from tyro.conf import UseAppendAction, arg

from chromatrack.errors import InputError
from chromatrack.structures import BoxMark, Kind, LostMark, PointMark

if TYPE_CHECKING:
    from chromatrack.formats.marked_source import MarkedSource
    from chromatrack.formats.polygons import PolygonMark
    from chromatrack.structures import Source
    from chromatrack.tracking.marks import Marks

    Thing = tuple[Kind, int]

Many = tuple[tuple[str, ...], ...]
"""Values of an option that takes several and may be repeated."""

FrameOf = Callable[[str], int]
"""The frame number of a moment as typed: `12` or `2.5s`. Raises InputError, VideoError."""


@dataclass(frozen=True, kw_only=True)
class TypedMarks:
    """Marks written out: a frame is a number from 0 or a time such as 2.5s.

    Args:
        box: box 1 on frame 0, left and top pixel, width and height: 1@0:180,150,102,68.
        point: point 2 on frame 0, at x 40 and y 60: 2@0:40,60.
        polygon: corners of object 3's outline on frame 0: 3@0:10,10,90,12,50,80.
        box_as_mask: boxes, typed or in a table, are cut out and tracked as objects with masks.
        lost: object 3 is not there on frame 40: 3@40; else box:3@40, point:3@40 or, for all or one
            of a skeleton's joints, keypoints:3@40, keypoints:3/knee@40.
        name: what 1 is called: 1=cow; where kinds share ids, point:1=nose.
        category: what 1 is: 1=cow; its label or class where it is exported.
        color: what 1 is drawn in: 1=orange, 1=#ff8000; where kinds share ids, point:1=orange.
    """

    box: Annotated[Many, UseAppendAction, arg(metavar="ID@FRAME:X,Y,WIDTH,HEIGHT ...")] = ()
    point: Annotated[Many, UseAppendAction, arg(metavar="ID@FRAME:X,Y ...")] = ()
    polygon: Annotated[Many, UseAppendAction, arg(metavar="ID@FRAME:X1,Y1,X2,Y2,... ...")] = ()
    box_as_mask: bool = False
    lost: Annotated[Many, UseAppendAction, arg(metavar="[KIND:]ID@FRAME ...")] = ()
    name: Annotated[Many, UseAppendAction, arg(metavar="[KIND:]ID=NAME ...")] = ()
    category: Annotated[Many, UseAppendAction, arg(metavar="[KIND:]ID=CATEGORY ...")] = ()
    color: Annotated[Many, UseAppendAction, arg(metavar="[KIND:]ID=COLOR ...")] = ()


def each(given: Many) -> Iterable[str]:
    """All values of an option, in order."""
    return (text for group in given for text in group)


def typed_box(text: str, frame_of: FrameOf) -> BoxMark:
    """A box from `1@0:180,150,102,68`. Raises InputError, VideoError."""
    number, frame, values = _mark(text, "box", "1@0:180,150,102,68", frame_of)
    if len(values) != 4 or min(values[2:]) <= 0:
        raise InputError(
            f"box {text!r}: expected x, y, and a width and a height above 0, such as "
            f"1@0:180,150,102,68, got {len(values)} numbers: {values}"
        )
    return BoxMark(number, frame, *values)


def typed_point(text: str, frame_of: FrameOf) -> PointMark:
    """A point from `2@0:40,60`. Raises InputError, VideoError."""
    number, frame, values = _mark(text, "point", "2@0:40,60", frame_of)
    if len(values) != 2:
        raise InputError(
            f"point {text!r}: expected x and y, such as 2@0:40,60, got {len(values)} numbers"
        )
    return PointMark(number, frame, *values)


def typed_polygon(text: str, frame_of: FrameOf) -> PolygonMark:
    """An outline from `3@0:10,10,90,12,50,80`. Raises InputError, VideoError."""
    import numpy as np

    from chromatrack.formats.polygons import PolygonMark

    number, frame, values = _mark(text, "polygon", "3@0:10,10,90,12,50,80", frame_of)
    if len(values) < 6 or len(values) % 2:
        raise InputError(
            f"polygon {text!r}: expected x and y of at least 3 corners, such as "
            f"3@0:10,10,90,12,50,80, got {len(values)} numbers"
        )
    return PolygonMark(number, frame, (np.array(values, dtype=np.float64).reshape(-1, 2),))


def _mark(
    text: str, kind: str, example: str, frame_of: FrameOf
) -> tuple[int, int, tuple[float, ...]]:
    """Id, frame and numbers of a typed mark; a polygon's id is that of an object, so above 0."""
    what = f"{kind} {text!r}"
    head, colon, tail = text.partition(":")
    number, at, moment = head.partition("@")
    if not (colon and at and _is_count(number)) or (kind == "polygon" and int(number) < 1):
        raise InputError(f"{what}: expected ID@FRAME:NUMBERS such as {example}")
    try:
        values = tuple(float(part.replace("_", "?")) for part in tail.split(","))
    except ValueError:  # and where Python reads 1_000
        raise InputError(
            f"{what}: expected numbers with commas between, such as {example}"
        ) from None
    if not all(map(math.isfinite, values)):
        raise InputError(f"{what}: expected finite numbers, such as {example}")
    return int(number), _frame(moment, what, frame_of), values


def _frame(moment: str, what: str, frame_of: FrameOf) -> int:
    try:
        return frame_of(moment)
    except InputError as error:
        raise type(error)(f"{what}: {error}") from error


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9


# -- all of them -----------------------------------------------------------------------------


def with_typed(
    marks: Marks,
    typed: TypedMarks,
    video: Source,
    *,
    known: Marks | None,
    source: MarkedSource | None = None,
) -> Marks:
    """Marks and those typed beside them.

    Args:
        source: the video as files of marks speak of it: says what a frame's number means.
        known: of the run that they are added to, if there is one.

    Raises:
        InputError: not as in `TypedMarks`. VideoError: the video cannot be read.
    """
    from chromatrack.tracking.mark_checks import add_polygons
    from chromatrack.video.reader import frame_range, probe

    def frame_of(moment: str) -> int:
        frame = frame_range(video, start=moment)[0]
        is_number = source is not None and _is_count(moment.strip())
        return source.frame(frame, f"frame {moment}") if source and is_number else frame

    boxes = [typed_box(text, frame_of) for text in each(typed.box)]
    points = [typed_point(text, frame_of) for text in each(typed.point)]
    polygons = [typed_polygon(text, frame_of) for text in each(typed.polygon)]
    marks = replace(marks, boxes=[*marks.boxes, *boxes], points=[*marks.points, *points])
    if polygons:
        info = probe(video)
        marks = replace(marks, masks=add_polygons(marks.masks, polygons, (info.height, info.width)))
    if typed.box_as_mask:
        marks = _cut_out(marks, video)
    marks = with_lost(marks, each(typed.lost), frame_of, known=known)
    marks = with_names(marks, each(typed.name), known=known)
    marks = with_categories(marks, each(typed.category), known=known)
    return with_colors(marks, each(typed.color), known=known)


def _cut_out(marks: Marks, video: Source) -> Marks:
    from chromatrack.tracking.box_masks import boxes_as_masks

    if not marks.boxes:
        raise InputError("box-as-mask: expected boxes to cut out, got none; add --box or --boxes")
    return boxes_as_masks(marks, video)


# -- absent, and named -----------------------------------------------------------------------


def with_lost(
    marks: Marks, texts: Iterable[str], frame_of: FrameOf, *, known: Marks | None = None
) -> Marks:
    """Marks of absence added: `3@40`, `box:3@40`, `keypoints:3/knee@40`.

    Args:
        known: other marks, among which a thing that is lost may be.

    Raises:
        InputError: not such a text, or nothing of that kind and id is marked. VideoError.
    """
    for text in texts:
        what = f"lost {text!r}"
        head, at, moment = text.rpartition("@")
        head, _, joint = head.partition("/")
        kind, number = _kind_and_id(head)
        if not at or number is None or (joint and kind != "keypoints"):
            raise InputError(
                f"{what}: expected ID@FRAME such as 3@40, object 3 is not there on frame 40; or "
                "box:3@40, point:3@40, keypoints:3@40, keypoints:3/knee@40"
            )
        kind, frame = kind or "object", _frame(moment, what, frame_of)
        _check_known(what, kind, number, things(marks, known))
        if kind == "keypoints":
            marks = _with_lost_joints(marks, number, frame, joint, known=known, what=what)
        else:
            marks = _with_absence(marks, kind, number, frame)
    return marks


def _with_absence(marks: Marks, kind: Kind, number: int, frame: int) -> Marks:
    if kind == "object":
        return replace(marks, lost=[*marks.lost, LostMark(number, frame)])
    if kind == "box":
        gone = BoxMark(number, frame, None, None, None, None)
        return replace(marks, boxes=[*marks.boxes, gone])
    return replace(marks, points=[*marks.points, PointMark(number, frame, None, None)])


def _with_lost_joints(
    marks: Marks, number: int, frame: int, joint: str, *, known: Marks | None, what: str
) -> Marks:
    """One joint, or all of a skeleton's, declared lost; joints marked on that frame stay marked."""
    import numpy as np

    from chromatrack.structures import KeypointMark
    from chromatrack.tracking.marks import Marks

    every = [given for given in (known, marks) if given is not None]
    pose = next(pose for given in every for pose in given.keypoints if pose.id == number)
    names = next((given.skeleton.names for given in every if given.skeleton), ())
    if joint and joint not in names:
        raise InputError(f"{what}: expected one of the joints {', '.join(names)}, got {joint!r}")
    lost = np.ones(len(pose.joints), dtype=bool)
    if joint:
        lost[:] = [name == joint for name in names]
    for marked in marks.keypoints:
        shown = np.isfinite(marked.joints).all(axis=1)
        if (marked.id, marked.frame) == (number, frame) and (shown & lost).any():
            raise InputError(f"{what}: expected joints not marked on that frame, got marked ones")
    gone = KeypointMark(number, frame, np.full((len(lost), 2), np.nan), lost)
    return marks.merged_with(Marks(keypoints=[gone]))


def with_names(marks: Marks, texts: Iterable[str], *, known: Marks | None = None) -> Marks:
    """Names added: `1=cow` to all that is marked with id 1, `point:1=nose` to one kind.

    Raises:
        InputError: not such a text, two names for one thing, or nothing of that id is marked.
    """
    named = _said_of_things(marks, known, texts, "name", "ID=NAME such as 1=cow, or point:1=nose")
    return replace(marks, names={**marks.names, **named})


def with_categories(marks: Marks, texts: Iterable[str], *, known: Marks | None = None) -> Marks:
    """Categories added: `1=cow` to all that is marked with id 1, `point:1=eye` to one kind.

    Raises:
        InputError: as `with_names`.
    """
    form = "ID=CATEGORY such as 1=cow, or point:1=eye"
    said = _said_of_things(marks, known, texts, "category", form)
    return replace(marks, categories={**marks.categories, **said})


def with_colors(marks: Marks, texts: Iterable[str], *, known: Marks | None = None) -> Marks:
    """Colours added: `1=orange` to all that is marked with id 1, `point:1=#ff8000` to one kind.

    Raises:
        InputError: as `with_names`, or no colour.
    """
    from chromatrack.formats.color_text import read_color

    form = "ID=COLOR such as 1=orange, or point:1=#ff8000"
    drawn = {
        thing: read_color(text, f"color {text!r}")
        for thing, text in _said_of_things(marks, known, texts, "color", form).items()
    }
    return replace(marks, colors={**marks.colors, **drawn})


def _said_of_things(
    marks: Marks, known: Marks | None, texts: Iterable[str], option: str, form: str
) -> dict[Thing, str]:
    """What texts such as `1=cow` say of each thing."""
    said: dict[Thing, str] = {}
    for text in texts:
        what = f"{option} {text!r}"
        head, _, value = text.partition("=")
        kind, number = _kind_and_id(head)
        if number is None or not value.strip():
            raise InputError(f"{what}: expected {form}")
        found = things(marks, known)
        if kind is not None:
            _check_known(what, kind, number, found)
        meant = {thing for thing in found if thing[1] == number and kind in (None, thing[0])}
        if not meant:
            raise InputError(f"{what}: expected the id of something marked, got none of {number}")
        for thing in meant:
            if said.setdefault(thing, value.strip()) != value.strip():
                raise InputError(
                    f"{what}: expected one {option} for it, got {said[thing]!r} as well"
                )
    return said


def things(*given: Marks | None) -> set[Thing]:
    """Kind and id of everything that is marked."""
    labels = [label for marks in given if marks is not None for label in marks.labels()]
    kinds: dict[str, Kind] = {"joint": "keypoints"}
    return {(kinds.get(kind, kind), number) for kind, number, _ in labels}  # type: ignore[misc]


def _kind_and_id(text: str) -> tuple[Kind | None, int | None]:
    """`box:3` or `3`, which says no kind; no id where it is neither."""
    kind, colon, number = text.rpartition(":")
    if not _is_count(number) or (colon and kind not in get_args(Kind)):
        return None, None
    return (kind or None), int(number)  # type: ignore[return-value]


def _check_known(what: str, kind: Kind, number: int, known: set[Thing]) -> None:
    if (kind, number) in known:
        return
    for other, same in sorted(known):
        if same == number:
            raise InputError(
                f"{what}: there is no {kind} {number}, but {other} {number}; write {other}:{number}"
            )
    ids = sorted(same for other, same in known if other == kind)
    raise InputError(f"{what}: expected the id of a marked {kind}, one of {ids}, got {number}")
