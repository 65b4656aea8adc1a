"""Baselines, run through the same evaluation as the real thing.

`IdentityTracker` keeps what was given where it was; `flow_tracker.FlowTracker` carries it along
optical flow; `RawLabEncoder` gives the same propagation raw colours instead of learned features.
A tracker that does not beat them has learned nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from chromatrack.evaluation.baselines.flow import RaftSize, dis_flow, raft_flow
from chromatrack.evaluation.baselines.flow_color import Placed, hold_colors
from chromatrack.evaluation.baselines.flow_tracker import PIXELS, BaselineTracker, FlowTracker
from chromatrack.model.encoder import Encoder
from chromatrack.ops.coords import Box, FeatureSpec, centred_offset
from chromatrack.ops.patches import PATCH_CHANNELS, patches
from chromatrack.ops.resample import planes
from chromatrack.propagation.bidirectional import Direction, FrameReading
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.point_labels import Seen
from chromatrack.propagation.propagate import Input
from chromatrack.structures import LabelName, Source
from chromatrack.tracking.colorize import ColorizedFrame
from chromatrack.tracking.config import Device, choose_device
from chromatrack.tracking.inference import TrackedFrame, tracked_frame
from chromatrack.tracking.marks import Marks
from chromatrack.video.reader import read_frames

RAW_LAB_TEMPERATURE = 0.03
"""Softmax temperature for the cosine similarity of `RawLabEncoder`, whose cells are much alike."""

STRIDE = 8
BEFORE = 6
"""Pixels of a patch before its cell's block of 8 x 8, and behind it."""
BLACK = 1e-4
"""Least lightness (L / 50) of a pixel, so that pure black also has a direction."""


class IdentityTracker(BaselineTracker):
    """Keeps everything where it was given: what a tracker scores for doing nothing.

    Forward, every label is held as last given; backward, as given next; both, as last given, or as
    given next where there is nothing before. Where it is declared lost, it is absent. Colours are
    those of the last reference, before the first one its own.
    """

    model = "identity"

    def _carry(
        self, video: Source, marks: Marks, direction: Direction, start: int, end: int | None
    ) -> Iterator[TrackedFrame]:
        layout = marks.layout()
        keyframes = marks.keyframes(layout)
        places = {(name, frame): xy for name, frame, xy in marks.places()}
        drawn = {(box.id, box.frame): box for box in marks.boxes}
        for frame in read_frames(video, start=start, end=end):
            held = {c: held_from(when, frame.index, direction) for c, when in keyframes.items()}
            mask = _held_mask(marks, layout, held, frame.rgb.shape[:2])
            confidence = {c: float(since is not None) for c, since in held.items()}
            boxes: dict[int, Box] = {}
            for number, channel in zip(layout.boxes, layout.box_channels, strict=True):
                since = held[channel]
                if since is not None:
                    box = drawn[number, since]
                    boxes[channel] = (box.x, box.y, box.width, box.height)  # type: ignore[assignment]
            since_of = {name: held[layout.first_point + n] for n, name in enumerate(layout.points)}
            seen = _held_points(places, since_of)
            reading = FrameReading(None, confidence, boxes=boxes, seen=seen)
            given = Input(frame.index, planes(frame.rgb), None, frame)
            yield tracked_frame(given, reading, mask, marks, layout, spec=PIXELS)

    def _carry_colors(
        self, video: Source, placed: Placed, start: int, end: int | None
    ) -> Iterator[ColorizedFrame]:
        return hold_colors(video, placed, start, end)


def held_from(keyframes: Mapping[int, bool], index: int, direction: Direction) -> int | None:
    """The frame from which a label is held on frame `index`, or None.

    keyframes: {frame: True where it was given, False where declared lost}.
    """
    if index in keyframes:
        return index if keyframes[index] else None
    before = max((f for f in keyframes if f < index), default=None)
    after = min((f for f in keyframes if f > index), default=None)
    if direction != "backward" and before is not None and keyframes[before]:
        return before
    if direction != "forward" and after is not None and keyframes[after]:
        return after
    return None


def _held_mask(
    marks: Marks, layout: Layout, held: Mapping[int, int | None], size: tuple[int, int]
) -> np.ndarray:
    """`(H, W)` int32 ids; where two meet, the one given later has it."""
    mask = np.zeros(size, dtype=np.int32)
    since = {i: held[c] for i, c in zip(layout.regions, layout.region_channels, strict=True)}
    for number, frame in sorted(since.items(), key=lambda item: (item[1] or 0, item[0])):
        if frame is not None:
            mask[marks.masks[frame] == number] = number
    return mask


def _held_points(
    places: Mapping[tuple[LabelName, int], tuple[float, float] | None],
    since: Mapping[LabelName, int | None],
) -> Seen | None:
    """All points, those that are not held unknown; None without any."""
    if all(frame is None for frame in since.values()):
        return None
    there = [None if frame is None else places[name, frame] for name, frame in since.items()]
    xy = torch.tensor([(0.0, 0.0) if place is None else place for place in there])
    visible = torch.tensor([place is not None for place in there])
    return Seen(xy, visible, visible.float(), visible)


def baseline(name: str, *, device: Device = "auto") -> IdentityTracker | FlowTracker | None:
    """A baseline that is no encoder by its name, or None for another name.

    identity; flow (DIS, chained) and flow-straight; raft and raft-small (chained), also as
    raft:PATH with a file of weights.

    Raises:
        InputError: what it needs is not installed or not there.
    """
    kind, _, path = name.partition(":")
    match kind:
        case "identity":
            return IdentityTracker()
        case "flow":
            return FlowTracker(dis_flow(), name="DIS medium")
        case "flow-straight":
            return FlowTracker(dis_flow(), "straight", name="DIS medium")
        case "raft" | "raft-small":
            size: RaftSize = "large" if kind == "raft" else "small"
            flow = raft_flow(path or None, size=size, device=choose_device(device))
            return FlowTracker(flow, name=f"RAFT {size}")
    return None


class RawLabEncoder(Encoder):
    """Raw Lab patches as features: per cell 5 x 5 averages of 4 x 4 pixels, 75 numbers.

    The middle average of cell i covers pixels 8 i + 2 to 8 i + 5, so the cell sits at 8 i + 3.5
    (`offset` 3.5), the centre of its 8 x 8 block, and the patch covers 20 x 20 pixels around it.
    Outside the frame the border pixels repeat. Nothing is learned and nothing subtracted: the
    vector (channel-major: 25 L, 25 a, 25 b) is only brought to unit length, so that similarity is
    the cosine; use it with `RAW_LAB_TEMPERATURE`.
    """

    spec = FeatureSpec(
        channels=PATCH_CHANNELS,
        stride=STRIDE,
        offset=centred_offset(STRIDE),
        clip_length=1,
    )

    def project(self, lab: Tensor) -> Tensor:
        """Patches of Lab as normalised by `encoder.normalize_lab`; `embed` has unit length.

        Args:
            lab: `(B, 3, H, W)` float, about [-1, 1].

        Returns:
            `(B, 75, h, w)`, h = ceil(H / 8), w = ceil(W / 8).
        """
        light = (lab[:, :1] + 1).clamp(min=BLACK)  # from black up, as a and b are from grey
        return patches(torch.cat([light, lab[:, 1:]], dim=1), stride=STRIDE, before=BEFORE)
