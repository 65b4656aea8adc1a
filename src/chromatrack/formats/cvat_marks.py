"""Marks out of CVAT's XML, for video and for images 1.1: masks, outlines, boxes, points, skeletons.

Keyframes are marks; what CVAT drew between them is not. A keyframe with `outside` declares the
thing lost there; behind all that is tracked it only ends its track, and is passed over. CVAT counts
from the corner of the first pixel and we from its middle, half a pixel on. The id is the track's;
as CVAT counts tracks from 0 and objects have ids from 1, each gets one more where an object is
track 0. Shapes on images have no tracks: they are told apart as those of LabelMe.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from chromatrack.errors import InputError, shown
from chromatrack.formats.color_text import read_color
from chromatrack.formats.cvat_shapes import CvatShape, flag, joint_edges
from chromatrack.formats.cvat_xml import NAME
from chromatrack.formats.file_marks import FileMarks, GivenFile, MaskPiece, painted
from chromatrack.formats.labelled_things import label_things, say_instances, thing_ids
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.outlines import PolygonMark
from chromatrack.formats.picture_names import NamedPicture
from chromatrack.formats.safe_xml import xml_elements
from chromatrack.formats.written_things import UNNAMED
from chromatrack.structures import (
    BoxMark,
    Color,
    KeypointMark,
    Kind,
    LostMark,
    PointMark,
    Skeleton,
)

KINDS: dict[str, Kind] = {
    "mask": "object",
    "polygon": "object",
    "box": "box",
    "points": "point",
    "skeleton": "keypoints",
}
"""Shapes that are read, and what each is of."""

_WANTED = ("label", "original_size", "track", "image")


class _Said(NamedTuple):
    """A shape that is a mark."""

    kind: Kind
    id: int
    frame: int
    shape: CvatShape


@dataclass
class _Collected:
    """What was read so far.

    joints, svgs, colors: by label. called, names: label and attribute `name` by kind and id.
    """

    said: list[_Said] = field(default_factory=list)
    size: tuple[int, int] | None = None
    joints: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    svgs: dict[str, str] = field(default_factory=dict)
    colors: dict[str, Color] = field(default_factory=dict)
    called: dict[tuple[Kind, int], str] = field(default_factory=dict)
    names: dict[tuple[Kind, int], str] = field(default_factory=dict)
    images: list[Element] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)


def cvat_size(given: GivenFile) -> tuple[int, int] | None:
    """(height, width) that the file states, of the video or its first image."""
    for element in xml_elements(given.path, ("original_size", "image")):
        if element.tag == "original_size":
            return _original_size(element)
        if element.get("width") and element.get("height"):
            return int(element.get("height", "0")), int(element.get("width", "0"))
    return None


def read_cvat(given: GivenFile, source: MarkedSource) -> FileMarks:
    """Everything marked in a file of CVAT.

    Raises:
        InputError: not as CVAT writes it, a document type, a picture of another shape than the
            video, or skeletons of two kinds.
    """
    found = _Collected()
    for element in xml_elements(given.path, _WANTED):
        if element.tag == "label":
            _take_label(found, element, f"'{given.path}'")
        elif element.tag == "original_size":
            found.size = _original_size(element)
        elif element.tag == "track":
            _take_track(found, element, given, source)
        else:
            found.images.append(element)
    if found.images:
        _take_images(found, given, source)
    for what, count in found.passed.items():
        source.say(
            f"'{given.path}': passed over {count} shape{'s'[: count > 1]} of the type {what}"
        )
    return _Marks(found, source, f"'{given.path}'").all()


# -- what stands where -------------------------------------------------------------------------


def _take_label(found: _Collected, element: Element, place: str) -> None:
    name, parent = element.findtext("name", ""), element.findtext("parent")
    if parent:
        found.joints[parent].append(name)
    if color := element.findtext("color", "").strip():
        found.colors[name] = read_color(color, f"{place}: label {name}")
    if svg := element.findtext("svg"):
        found.svgs[name] = svg


def _original_size(element: Element) -> tuple[int, int] | None:
    height, width = element.findtext("height", ""), element.findtext("width", "")
    return (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None


def _take_track(found: _Collected, track: Element, given: GivenFile, source: MarkedSource) -> None:
    number = track.get("id", "")
    if not number.isdecimal() or len(number) > 9:
        raise InputError(
            f"'{given.path}': expected tracks with an id, got {shown(dict(track.attrib))}; export "
            "it again"
        )
    for element in _with_joints(track, f"'{given.path}': track {number}"):
        if (kind := KINDS.get(element.tag)) is None:
            found.passed[element.tag] += 1
            continue
        shape = CvatShape(element, f"'{given.path}': track {number}", found.size)
        if not shape.is_keyframe:
            continue
        counted = shape.whole("frame")
        if shape.is_outside and source.is_behind(counted):  # only says that the track ends
            continue
        frame = source.frame(counted, shape.place)
        found.said.append(_Said(kind, int(number), frame, shape))
        found.called[kind, int(number)] = track.get("label", "")
        _take_name(found, (kind, int(number)), element)


def _with_joints(track: Element, place: str) -> list[Element]:
    """The shapes of a track; joints that have tracks of their own inside it are put together.

    So some versions of CVAT and Datumaro write skeletons; others have the joints inside shapes.
    """
    if track.find("track") is None:
        return list(track)
    given = {shape.get("frame", ""): shape for shape in track.findall("skeleton")}
    joints: dict[str, dict[str, Element]] = defaultdict(dict)
    for inner in track.findall("track"):
        for shape in inner.findall("points"):
            joint = Element("points", shape.attrib | {"label": inner.get("label", "")})
            joints[shape.get("frame", "")][joint.get("label", "")] = joint
    found = [shape for shape in track if shape.tag not in ("track", "skeleton")]
    for frame in dict.fromkeys([*given, *joints]):
        said = given.get(frame, Element("skeleton", {"frame": frame, "keyframe": "0"}))
        keyed = [
            one
            for name, one in joints[frame].items()
            if flag(one, "keyframe", f"{place}, frame {frame}, {name}", unsaid=True)
        ]
        whole = Element("skeleton", said.attrib | {"keyframe": str(int(bool(keyed)))})
        whole.extend([*keyed, *said.findall("attribute")])
        found.append(whole)
    return found


def _take_images(found: _Collected, given: GivenFile, source: MarkedSource) -> None:
    pictures = [_picture(image, given) for image in found.images]
    frames = source.frames([picture for picture, _ in pictures])
    every: dict[Kind, list[tuple[str, int, CvatShape]]] = defaultdict(list)
    for image, (picture, size), frame in zip(found.images, pictures, frames, strict=True):
        for element in image:
            if kind := KINDS.get(element.tag):
                shape = CvatShape(element, picture.place, size)
                every[kind].append((picture.place, frame, shape))
            else:
                found.passed[element.tag] += 1
    for kind, shapes in every.items():
        things = label_things(
            [(place, s.label, s.element.get("group_id"), s.track) for place, _, s in shapes]
        )
        ids = thing_ids(things)
        say_instances(ids, source, kind)
        for thing, (_, frame, shape) in zip(things, shapes, strict=True):
            found.said.append(_Said(kind, ids[thing], frame, shape))
            found.called[kind, ids[thing]] = shape.label
            _take_name(found, (kind, ids[thing]), shape.element)


def _take_name(found: _Collected, thing: tuple[Kind, int], element: Element) -> None:
    """Keep the attribute `name` of a shape, where it says something."""
    for one in element.findall("attribute"):
        if one.get("name") == NAME and (text := (one.text or "").strip()):
            found.names[thing] = text


def _picture(image: Element, given: GivenFile) -> tuple[NamedPicture, tuple[int, int] | None]:
    name, number = image.get("name", ""), image.get("id", "")
    picture = NamedPicture(f"'{given.path}': image {name}", (name,) if name else ())
    if picture.number is None and number.isdecimal():
        picture = replace(picture, stated=int(number))
    height, width = image.get("height", ""), image.get("width", "")
    stated = height.isdecimal() and width.isdecimal()
    return picture, (int(height), int(width)) if stated else None


# -- as marks ----------------------------------------------------------------------------------


class _Marks:
    """Turns what was collected into marks."""

    def __init__(self, found: _Collected, source: MarkedSource, place: str) -> None:
        self.found, self.source, self.place = found, source, place
        self.said = self._once(found.said)
        shift = int(any(s.kind == "object" and s.id == 0 for s in found.said))
        if shift:
            source.say(f"{place}: tracks are counted from 0, ids from 1: each is one more here")
        self.shift = shift

    def all(self) -> FileMarks:
        """All of them; names and colours go to the source."""
        for (kind, number), label in self.found.called.items():
            said = "" if label in (UNNAMED[kind], str(number + self.shift)) else label
            name = self.found.names.get((kind, number), "")
            self.source.label(kind, number + self.shift, said, name=name)
            self.source.draw_first(label, kind, number + self.shift, self.found.colors.get(label))
        skeleton, poses = self._poses()
        return FileMarks(
            masks=painted(self._pieces(), self.source, self.place),
            points=list(self._points()),
            boxes=list(self._boxes()),
            keypoints=poses,
            lost=[LostMark(self._id(s), s.frame) for s in self._gone("object")],
            skeleton=skeleton,
        )

    def _once(self, said: Iterable[_Said]) -> list[_Said]:
        """Without things that have no place at all.

        Outlines of one object on a frame belong together; of other things the last one counts.
        """
        shown_at = {(s.kind, s.id) for s in said if not s.shape.is_outside}
        kept = [s for s in said if (s.kind, s.id) in shown_at]
        objects = [s for s in kept if s.kind == "object"]
        others: dict[tuple[Kind, int, int], _Said] = {}
        for one in kept:
            if one.kind == "object":
                continue
            before = others.get((one.kind, one.id, one.frame))
            if before is not None and not (before.shape.is_outside or one.shape.is_outside):
                self.source.say(f"{one.shape.place}: is there twice; the last one counts")
            others[one.kind, one.id, one.frame] = one
        return [*objects, *others.values()]

    def _of(self, kind: Kind) -> Iterator[_Said]:
        return (s for s in self.said if s.kind == kind)

    def _gone(self, kind: Kind) -> Iterator[_Said]:
        return (s for s in self._of(kind) if s.shape.is_outside)

    def _id(self, said: _Said) -> int:
        return said.id + self.shift

    def _pieces(self) -> Iterator[MaskPiece | PolygonMark]:
        shown_ones = (s for s in self._of("object") if not s.shape.is_outside)
        for said in sorted(shown_ones, key=lambda s: s.shape.z_order):
            yield said.shape.piece(self._id(said), said.frame, self.source)

    def _boxes(self) -> Iterator[BoxMark]:
        for said in self._of("box"):
            box = (None,) * 4 if said.shape.is_outside else said.shape.box(self.source)
            yield BoxMark(self._id(said), said.frame, *box)

    def _points(self) -> Iterator[PointMark]:
        """One mark per point; a shape of several points is one thing for each of them."""
        free = max((s.id for s in self.said), default=0) + 1 + self.shift
        more: dict[tuple[int, int], int] = {}
        for said in self._of("point"):
            for part, (x, y) in enumerate(said.shape.places(self.source).tolist()):
                number = self._id(said)
                if part:
                    number = more.setdefault((said.id, part), free + len(more))
                gone = said.shape.is_outside
                yield PointMark(number, said.frame, *((None, None) if gone else (x, y)))
        if more:
            self.source.say(
                f"{self.place}: shapes of several points are a thing for each point, of its own id"
            )

    def _poses(self) -> tuple[Skeleton | None, list[KeypointMark]]:
        every = list(self._of("keypoints"))
        if not every:
            return None, []
        skeleton = self._skeleton(every)
        poses = [said.shape.pose(skeleton.names, self.source) for said in every]
        placed: dict[int, np.ndarray] = {}
        for said, (joints, _) in zip(every, poses, strict=True):
            here = np.asarray(np.isfinite(joints).all(axis=1))
            placed[said.id] = placed.get(said.id, np.zeros(len(here), dtype=bool)) | here
        return skeleton, [
            KeypointMark(self._id(said), said.frame, joints, gone & placed[said.id])
            for said, (joints, gone) in zip(every, poses, strict=True)
            if np.isfinite(joints).all(axis=1).any() or (gone & placed[said.id]).any()
        ]

    def _skeleton(self, every: Sequence[_Said]) -> Skeleton:
        listed, called = self.found.joints, self.found.called
        labels = list(dict.fromkeys(called["keypoints", said.id] for said in every))
        labels.sort(key=lambda label: label not in listed)  # those that say an order first
        joints = {
            label: listed.get(label) or _joints_seen(every, label, called) for label in labels
        }
        label, names = labels[0], tuple(joints[labels[0]])
        if other := [one for one in labels if set(joints[one]) != set(names)]:
            raise InputError(
                f"{self.place}: expected one skeleton for all, got {label} and {other[0]} with "
                "different joints; export one of them"
            )
        try:
            return Skeleton(names, joint_edges(self.found.svgs.get(label, ""), names))
        except InputError as error:
            raise InputError(f"{self.place}: {error}") from error


def _joints_seen(
    every: Sequence[_Said], label: str, called: Mapping[tuple[Kind, int], str]
) -> list[str]:
    """The joints of a skeleton by first appearance, where the file does not list them."""
    own = (said for said in every if called["keypoints", said.id] == label)
    return list(
        dict.fromkeys(joint.get("label", "") for said in own for joint in said.shape.element)
    )
