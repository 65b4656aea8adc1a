"""Ways to colour a grey clip whose first frame is known in colour: what is compared with what.

A `Colorer` is any function of the reference picture and of grey frames. Here are the tracker, the
comparison points of Vondrick et al. 2018 (dense optical flow, straight from the first frame or
chained from frame to frame; colours that stay where they are; none) and whatever colours every
picture alone. All paint ab under the grey frame's own luminance by the same function. All can be
pickled, so that clips can be measured in processes of their own.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from chromatrack.errors import InputError
from chromatrack.evaluation.baselines.flow import Flow, Mode, dis_flow
from chromatrack.evaluation.baselines.flow_color import FlowColors, ab_of, grey_of, luminance
from chromatrack.tracking.colorize import paint
from chromatrack.video.reader import ImageSequenceWriter

if TYPE_CHECKING:
    from chromatrack.tracking.tracker import Tracker

MODEL, STILL, GREY, FLOW, CHAINED = "model", "still", "grey", "flow", "flow chained"
ALONE = "frame by frame"
"""Names of the methods; in results the model goes by its own name."""

MethodName = Literal["model", "frame by frame", "flow", "flow chained", "still", "grey"]

ReferenceFrom = Literal["first", "middle", "other scene"]
"""What is given in colour: a clip's first frame, the one in its middle, or a frame of another."""

Picture = tuple[int, np.ndarray]
"""A frame's index in its clip and `(H, W, 3)` uint8."""


class Colorer(Protocol):
    """Brings the colours of one frame to others, of which nothing but the luminance is shown."""

    def __call__(self, reference: np.ndarray, greys: Iterable[Picture]) -> Iterator[Picture]:
        """reference: `(H, W, 3)` uint8, frame 0 in colour. greys: later frames, in order, of three
        equal channels. Yields each of them coloured, in the same order and size."""
        ...


@dataclass(frozen=True)
class Method:
    """A colourer, and whether it must be shown `every` frame to colour some of them.

    placed: (reference, its frame or None for another scene, grey frames in order) -> all of these
    coloured, where the method knows better than going both ways from the reference.
    """

    colorer: Colorer
    every: bool = False
    placed: Callable[[np.ndarray, int | None, Iterable[Picture]], Iterator[Picture]] | None = None


# -- the colourers -------------------------------------------------------------------------


def left_grey(reference: np.ndarray, greys: Iterable[Picture]) -> Iterator[Picture]:
    """No colours at all: ab is 0."""
    yield from greys


def held_still(reference: np.ndarray, greys: Iterable[Picture]) -> Iterator[Picture]:
    """The reference's colours stay where they are."""
    ab = ab_of(reference)
    for index, grey in greys:
        yield index, paint(grey, ab)


def each_alone(
    reference: np.ndarray,
    greys: Iterable[Picture],
    *,
    color: Callable[[np.ndarray], np.ndarray],
) -> Iterator[Picture]:
    """Every picture by itself, without the reference: `color` takes and gives `(H, W, 3)` uint8,
    of the same luminance."""
    for index, grey in greys:
        yield index, color(grey)


def copied(tracker: Tracker, reference: np.ndarray, greys: Iterable[Picture]) -> Iterator[Picture]:
    """Colours as `Tracker.colorize` copies them; see `copied_from`."""
    return copied_from(tracker, reference, 0, greys)


def copied_from(
    tracker: Tracker, reference: np.ndarray, at: int | None, greys: Iterable[Picture]
) -> Iterator[Picture]:
    """Colours as `Tracker.colorize` copies them from frame `at`, or from a picture of none.

    The grey frames lie in files of their own, so that no colour of the clip can be seen. `greys`
    are all frames but the reference's, rising.
    """
    with tempfile.TemporaryDirectory(prefix="chromatrack-") as folder:
        indices: list[int] = []
        place = None
        with ImageSequenceWriter(folder) as writer:
            for index, grey in greys:
                if at is not None and place is None and index > at:
                    place = len(indices)
                    indices.append(at)
                    writer.write(grey_of(reference))
                indices.append(index)
                writer.write(grey)
            if at is not None and place is None:
                place = len(indices)
                indices.append(at)
                writer.write(grey_of(reference))
        for frame in tracker.colorize(folder, references=[(reference, place)]):
            if frame.index != place:
                yield indices[frame.index], frame.rgb


def colored_from(
    method: Method, reference: np.ndarray, at: int | None, greys: Iterable[Picture]
) -> Iterator[Picture]:
    """All of a clip's grey frames coloured by a method, from a reference wherever it is.

    Args:
        reference: `(H, W, 3)` uint8. at: the frame that it is; None: of another scene.
        greys: the other frames, rising. Those before the reference are held in memory, unless the
            method takes care of them itself.
    """
    if method.placed is not None:
        yield from method.placed(reference, at, greys)
        return
    shown, before = iter(greys), []
    later: list[Picture] = []
    for picture in shown if at else ():
        if picture[0] > (at or 0):
            later = [picture]
            break
        before.append(picture)
    yield from reversed(list(method.colorer(reference, reversed(before))) if before else [])
    yield from method.colorer(reference, itertools.chain(later, shown))


def carried(
    reference: np.ndarray, greys: Iterable[Picture], *, mode: Mode, flow: Flow | None = None
) -> Iterator[Picture]:
    """Colours carried by optical flow, straight from the reference or chained; None: `dis_flow`."""
    colors = FlowColors(flow or dis_flow(), mode, {0: (reference, True)})
    colors.step(0, luminance(reference))
    for index, grey in greys:
        yield index, paint(grey, colors.step(index, np.ascontiguousarray(grey[..., 0])))


# -- methods by name -----------------------------------------------------------------------


def tracker_method(tracker: Tracker) -> Method:
    """A tracker's copies; one that copies from the reference alone can be shown any frames."""
    config = getattr(tracker, "config", None)
    color, coloring = getattr(config, "color", None), getattr(config, "coloring", None)
    remembers = color is None or coloring is None or color.recent > 0 or coloring.carry
    return Method(partial(copied, tracker), every=remembers, placed=partial(copied_from, tracker))


def frame_by_frame(tracker: Tracker) -> Method:
    """A tracker's copies from the reference alone, every frame coloured by itself."""
    twin = copy.copy(tracker)
    twin.embedder = copy.copy(tracker.embedder)
    config = tracker.config
    coloring = replace(config.coloring, carry=False)
    twin.embedder.config = replace(config, coloring=coloring, color=replace(config.color, recent=0))
    return tracker_method(twin)


def flow_methods(flow: Flow | None = None) -> dict[str, Method]:
    """Optical flow straight and chained; None: `dis_flow`, made where it is used."""
    return {
        FLOW: Method(partial(carried, mode="straight", flow=flow)),
        CHAINED: Method(partial(carried, mode="chained", flow=flow), every=True),
    }


def single_method(color: Callable[[np.ndarray], np.ndarray]) -> Method:
    """A colorizer of single pictures, as `each_alone` has it."""
    return Method(partial(each_alone, color=color))


def usual_names() -> tuple[MethodName, ...]:
    """All methods, without the flow where OpenCV is not installed."""
    flow = ("flow", "flow chained") if find_spec("cv2") is not None else ()
    return ("model", "frame by frame", *flow, "still", "grey")


def check_names(names: Sequence[str]) -> None:
    """Whether methods can be had.

    Raises:
        InputError: none, a name twice or unknown, or flow without OpenCV.
    """
    known = (MODEL, ALONE, FLOW, CHAINED, STILL, GREY)
    wrong = [name for name in names if name not in known]
    if wrong or len(set(names)) < len(names):
        raise InputError(
            f"methods: expected some of {', '.join(known)}, each once; got {', '.join(names)}"
        )
    if {FLOW, CHAINED} & set(names):
        dis_flow()


def chosen_methods(
    names: Sequence[str],
    *,
    tracker: Any,  # noqa: ANN401  (looked at here)
    others: Mapping[str, Method],
) -> dict[str, Method]:
    """Methods by the name they have in results, in order: those of `names`, then `others`.

    Args:
        names: as `check_names` has them. tracker: what `model` stands for, named by its `.model`.

    Raises:
        InputError: the tracker does not colour, two have one name, or there is none.
    """
    there = {**flow_methods(), STILL: Method(held_still), GREY: Method(left_grey)}
    found = []
    for name in names:
        if name not in (MODEL, ALONE):
            found.append((name, there[name]))
            continue
        if name == ALONE and hasattr(tracker, "colorize") and not hasattr(tracker, "embedder"):
            kind = type(tracker).__name__
            warnings.warn(f"{ALONE}: left out, {kind} is no tracker of ours", stacklevel=2)
            continue
        if not hasattr(tracker, "colorize" if name == MODEL else "embedder"):
            raise InputError(
                f"colour: expected a model that colours, got {type(tracker).__name__}; "
                "choose another model, or methods without it"
            )
        if name == ALONE:
            found.append((name, frame_by_frame(tracker)))
        else:
            found.append((getattr(tracker, "model", MODEL), tracker_method(tracker)))
    found += others.items()
    if not found or len(dict(found)) < len(found):
        names = [name for name, _ in found]
        raise InputError(f"methods: expected one or more, each name once; got {', '.join(names)}")
    return dict(found)
