"""What was found on a frame as detections of the package supervision."""

from __future__ import annotations

import numpy as np
import pytest
from hand_results import squares

from chromatrack import to_supervision
from chromatrack.errors import InputError
from chromatrack.formats import exchange
from chromatrack.structures import TrackedBox
from chromatrack.tracking.inference import TrackedFrame

NAMES = {("object", 2): "cow", ("object", 1): "ant", ("box", 4): "pen"}


def frame(*, empty: bool = False) -> TrackedFrame:
    [mask] = squares({1: [(5, 5)], 2: [(12, 8)], 7: [(40, 30)]})
    boxes = {4: TrackedBox(1.5, 2, 10, 8, True, 0.75), 5: TrackedBox(0, 0, 5, 5, False, 0.1)}
    return TrackedFrame(
        3,
        0.1,
        np.zeros((60, 80, 3), np.uint8),
        mask * (not empty),
        {},
        {},
        confidence={1: 0.5, 2: 0.25},
        boxes=boxes,
    )


def test_objects_have_masks_ids_and_classes():
    sv = pytest.importorskip("supervision")
    found = to_supervision(frame(), names=NAMES)
    assert isinstance(found, sv.Detections) and found.tracker_id.tolist() == [1, 2, 7]
    assert np.array_equal(found.mask[1], frame().mask == 2)
    assert found.xyxy[1].tolist() == [12, 8, 22, 18]
    assert found.confidence.tolist() == [0.5, 0.25, 1.0]
    assert found.class_id.tolist() == [1, 2, 0]
    assert found["class_name"].tolist() == ["ant", "cow", "object"]
    assert found[found.class_id == 2].area.tolist() == [100]
    drawn = sv.MaskAnnotator(opacity=1).annotate(frame().rgb.copy(), found)
    assert (drawn.any(axis=2) == (frame().mask > 0)).all()


def test_boxes_that_are_seen():
    pytest.importorskip("supervision")
    found = to_supervision(frame(), kind="box", names=NAMES)
    assert found.xyxy.tolist() == [[1.5, 2, 11.5, 10]] and found.mask is None
    assert found.tracker_id.tolist() == [4] and found["class_name"].tolist() == ["pen"]


def test_nothing_seen_is_no_detection():
    pytest.importorskip("supervision")
    found = to_supervision(frame(empty=True))
    assert len(found) == 0 and found.mask.shape == (0, 60, 80)


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(exchange.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"pip install 'chromatrack\[supervision\]'"):
        to_supervision(frame())
