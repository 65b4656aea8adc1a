"""One shape of CVAT's XML: its numbers checked, its place in our pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.coco_masks import MOST_PIXELS
from chromatrack.formats.file_marks import MaskPiece
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.outlines import FARTHEST, PolygonMark, checked_ring
from chromatrack.formats.run_lengths import runs_to_mask

HALF = 0.5
"""From the corner of a pixel, where CVAT counts, to its centre."""

_LINE, _CIRCLE = re.compile(r"<line\b[^>]*>"), re.compile(r"<circle\b[^>]*>")
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_ESCAPES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}


@dataclass(frozen=True)
class CvatShape:
    """A shape. where: the file and track or image, as errors begin. size: of its picture."""

    element: Element
    where: str
    size: tuple[int, int] | None

    @property
    def place(self) -> str:
        """Where it stands, as errors begin."""
        frame = self.element.get("frame")
        on = "" if frame is None else f", frame {frame}"
        return f"{self.where}{on}, {self.element.tag}"

    @property
    def label(self) -> str:
        """Its own label, as shapes on images have one."""
        return self.element.get("label", "").strip()

    @property
    def track(self) -> int | None:
        """The track that its attributes name, as some programs write it on images."""
        for attribute in self.element.findall("attribute"):
            text = (attribute.text or "").strip()
            if attribute.get("name") == "track_id" and text.isdecimal() and len(text) <= 9:
                return int(text)
        return None

    @property
    def is_keyframe(self) -> bool:
        """Whether somebody put it there; what CVAT drew between two others is no keyframe."""
        return flag(self.element, "keyframe", self.place, unsaid=True)

    @property
    def is_outside(self) -> bool:
        """Whether the thing is not there; a skeleton if none of its joints is."""
        if self.element.tag == "skeleton" and self.element.get("outside") is None:
            joints = list(self.element.iter("points"))
            return bool(joints) and all(flag(one, "outside", self.place) for one in joints)
        return flag(self.element, "outside", self.place)

    @property
    def z_order(self) -> int:
        """Shapes with a higher one are in front."""
        text = self.element.get("z_order", "0")
        return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else 0

    def whole(self, key: str, *, most: int = 2**31) -> int:
        """An attribute as an integer from 0 up."""
        text = self.element.get(key, "")
        if not text.isdecimal() or len(text) > 12 or int(text) > most:
            raise self._unlike(key, "an integer from 0 up")
        return int(text)

    def number(self, key: str) -> float:
        """An attribute as a finite number."""
        try:
            value = float(self.element.get(key, ""))
        except ValueError:
            value = math.nan
        if not abs(value) <= FARTHEST:
            raise self._unlike(key, "a finite number")
        return value

    # -- places --------------------------------------------------------------------------------

    def scale(self, source: MarkedSource) -> tuple[float, float]:
        """Factors of x and y to the video's pixels."""
        return (1.0, 1.0) if self.size is None else source.scale(self.size, self.where)

    def box(self, source: MarkedSource) -> tuple[float, float, float, float]:
        """(left, top, width, height) px; of a turned box the upright one around it."""
        left, top, right, bottom = (self.number(key) for key in ("xtl", "ytl", "xbr", "ybr"))
        if right <= left or bottom <= top:
            raise InputError(
                f"{self.place}: expected xbr right of xtl and ybr below ytl, got {left:g},{top:g} "
                f"to {right:g},{bottom:g}; draw it again"
            )
        turned = math.radians(self.number("rotation")) if self.element.get("rotation") else 0.0
        if turned:
            source.say(f"{self.place}: is turned; its mark is the upright box around it")
            cosine, sine = abs(math.cos(turned)), abs(math.sin(turned))
            width, height = right - left, bottom - top
            wide, high = width * cosine + height * sine, width * sine + height * cosine
            middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
            left, top = middle_x - wide / 2, middle_y - high / 2
            right, bottom = left + wide, top + high
        x, y = self.scale(source)
        return left * x, top * y, (right - left) * x, (bottom - top) * y

    def places(self, source: MarkedSource) -> np.ndarray:
        """(n, 2) xy px from the centre of the top-left pixel, of points or corners."""
        return _corners(self.element, self.place) * self.scale(source) - HALF

    def piece(self, number: int, frame: int, source: MarkedSource) -> MaskPiece | PolygonMark:
        """What a mask or outline paints."""
        if self.element.tag == "polygon":
            try:
                return PolygonMark(number, frame, (checked_ring(self.places(source)),))
            except InputError as error:
                raise InputError(f"{self.place}: {error}") from error
        left, top = self.whole("left"), self.whole("top")
        inside = self._inside()
        if self.size is None or self.size == source.size:
            return MaskPiece(number, frame, (left, top), inside)
        source.mask_size_check(self.place)(self.size)
        whole = np.zeros(self.size, dtype=np.int32)
        whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside[
            : max(0, self.size[0] - top), : max(0, self.size[1] - left)
        ]
        return MaskPiece(number, frame, (0, 0), source.fit_mask(whole, self.place) > 0)

    def pose(self, names: Sequence[str], source: MarkedSource) -> tuple[np.ndarray, np.ndarray]:
        """Joints (J, 2) px, NaN where there are none, and (J,) bool which are outside."""
        joints = np.full((len(names), 2), np.nan)
        gone = np.zeros(len(names), dtype=bool)
        for element in self.element.iter("points"):
            name = element.get("label", "")
            if name not in names:
                raise InputError(
                    f"{self.place}: expected one of the joints {', '.join(names)}, got {name!r}; "
                    "export it again"
                )
            i = list(names).index(name)
            gone[i] = flag(element, "outside", f"{self.place}, {name}")
            if not gone[i]:
                corners = _corners(element, f"{self.place}, {name}")
                joints[i] = corners[0] * self.scale(source) - HALF
        return joints, gone

    def _inside(self) -> np.ndarray:
        """(h, w) bool pixels of a mask's crop."""
        width, height = self.whole("width"), self.whole("height")
        runs = np.zeros(0, dtype=np.int64)
        parts = self.element.get("rle", "").split(",")
        if all(part.strip().isdecimal() and len(part.strip()) <= 10 for part in parts):
            runs = np.array([int(part) for part in parts], dtype=np.int64)
        if not 0 < width * height <= MOST_PIXELS or int(runs.sum()) != width * height:
            raise InputError(
                f"{self.place}: expected run lengths of {width} x {height} pixels in all, at most "
                f"{MOST_PIXELS >> 20} million, got {int(runs.sum())}; export it again"
            )
        return runs_to_mask(runs, (height, width))

    def _unlike(self, key: str, expected: str) -> InputError:
        got = self.element.get(key)
        said = "nothing" if got is None else f"{got!r:.60}"
        return InputError(
            f"{self.place}: expected {key} to be {expected}, got {said}; export again"
        )


def flag(element: Element, key: str, place: str, *, unsaid: bool = False) -> bool:
    """An attribute that says yes or no; InputError if it says another thing."""
    text = element.get(key)
    if text is None:
        return unsaid
    said = _FLAGS.get(text.strip().lower())
    if said is None:
        raise InputError(f"{place}: expected {key} to be 0 or 1, got {text!r:.60}; export again")
    return said


_FLAGS = {"0": False, "1": True, "false": False, "true": True}


def _corners(element: Element, place: str) -> np.ndarray:
    """(n, 2) of `x0,y0;x1,y1`, from the corner of the first pixel."""
    text = element.get("points", "")
    try:
        pairs = [[float(part) for part in pair.split(",")] for pair in text.split(";")]
        corners = np.array(pairs, dtype=np.float64)
    except ValueError:  # ragged too
        corners = np.zeros(0)
    if corners.shape[1:] != (2,) or not (np.abs(corners) <= FARTHEST).all():
        raise InputError(
            f"{place}: expected points as x0,y0;x1,y1 of finite numbers, got {text!r:.60}; export "
            "it again"
        )
    return corners


def joint_edges(svg: str, joints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of joint numbers out of CVAT's drawing of a skeleton, as far as it says them."""
    nodes: dict[str, int] = {}
    for found in _CIRCLE.findall(svg):
        said = _attributes(found)
        name = said.get("data-label-name", "")
        if name in joints and "data-node-id" in said:
            nodes[said["data-node-id"]] = list(joints).index(name)
    edges: dict[tuple[int, int], None] = {}
    for found in _LINE.findall(svg):
        said = _attributes(found)
        ends = nodes.get(said.get("data-node-from", "")), nodes.get(said.get("data-node-to", ""))
        if ends[0] is not None and ends[1] is not None and ends[0] != ends[1]:
            edges[ends[0], ends[1]] = None
    return tuple(edges)


def _attributes(tag: str) -> dict[str, str]:
    return {name: _unescaped(one or other) for name, one, other in _ATTRIBUTE.findall(tag)}


def _unescaped(text: str) -> str:
    for escape, letter in _ESCAPES.items():
        text = text.replace(escape, letter)
    return text
