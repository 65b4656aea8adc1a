"""A reading of one frame in the user's terms: ids, and pixels of the source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from chromatrack.ops.coords import FeatureSpec, cell_to_pixel, rescale_box, rescale_points
from chromatrack.propagation.bidirectional import AnySignals, FrameReading
from chromatrack.propagation.layout import Layout, channel_names
from chromatrack.propagation.point_labels import Seen
from chromatrack.propagation.point_reliability import PointSignals
from chromatrack.propagation.reliability import Signals
from chromatrack.structures import LabelName, TrackedBox, TrackedKeypoints, TrackedPoint

DOUBTFUL = 0.1
"""Confidence up to which a box is reported as not visible."""


def read_signals(
    reading: FrameReading, layout: Layout
) -> tuple[dict[int, Signals | None], dict[LabelName, AnySignals]]:
    """Signals of regions by id; of boxes, points and joints by name."""
    regions: dict[int, Signals | None] = {}
    places: dict[LabelName, AnySignals] = {}
    for channel, name in enumerate(channel_names(layout), start=1):
        if channel not in reading.signals:
            continue
        found = reading.signals[channel]
        if isinstance(found, PointSignals):
            assert reading.seen is not None
            visible = bool(reading.seen.visible[channel - layout.first_point])
            places[name] = replace(found, present=visible)  # as both passes together say
        elif name[0] == "object":
            regions[name[1]] = found
        else:
            places[name] = found
    return regions, places


def read_boxes(
    reading: FrameReading, layout: Layout, working: tuple[int, int], size: tuple[int, int]
) -> dict[int, TrackedBox]:
    """Boxes by id, in pixels of the source."""
    boxes = {}
    for number, channel in zip(layout.boxes, layout.box_channels, strict=True):
        if channel not in reading.boxes:
            continue
        box = rescale_box(reading.boxes[channel], from_size=working, to_size=size)
        confidence = reading.confidence.get(channel, 0.0)
        boxes[number] = TrackedBox(*box, visible=confidence > DOUBTFUL, confidence=confidence)
    return boxes


def read_points(
    seen: Seen | None,
    layout: Layout,
    spec: FeatureSpec,
    working: tuple[int, int],
    size: tuple[int, int],
) -> tuple[dict[int, TrackedPoint], dict[int, TrackedKeypoints]]:
    """Points and poses by id, in pixels of the source; NaN where nothing was marked so far."""
    if seen is None:
        return {}, {}
    pixels = cell_to_pixel(seen.xy, stride=spec.stride, offset=spec.offset)
    xy = rescale_points(pixels, from_size=working, to_size=size).double().cpu().numpy()
    if seen.known is not None:
        xy = np.where(seen.known.cpu().numpy()[:, None], xy, np.nan)
    visible, confidence = seen.visible.cpu().numpy(), seen.confidence.double().cpu().numpy()
    points: dict[int, TrackedPoint] = {}
    keypoints = {number: _unknown(count) for number, count in layout.joints().items()}
    for row, (kind, number, joint) in enumerate(layout.points):
        if kind == "joint":
            pose = keypoints[number]
            pose.joints[joint], pose.visible[joint] = xy[row], visible[row]
            pose.confidence[joint] = confidence[row]
            continue
        x, y = xy[row].tolist()
        points[number] = TrackedPoint(x, y, bool(visible[row]), float(confidence[row]))
    return points, keypoints


def _unknown(count: int) -> TrackedKeypoints:
    """A pose of which nothing is known."""
    nowhere = np.full((count, 2), np.nan)
    return TrackedKeypoints(nowhere, np.zeros(count, dtype=bool), np.zeros(count))
