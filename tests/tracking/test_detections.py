"""What was found on a frame as detections of the package supervision."""

from __future__ import annotations

import numpy as np
import pytest
from hand_results import squares

from chromatrack import from_supervision, to_supervision
from chromatrack.errors import InputError
from chromatrack.formats import exchange
from chromatrack.structures import BoxMark, TrackedBox
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


def test_detections_are_the_marks_that_they_were():
    pytest.importorskip("supervision")
    found = from_supervision(to_supervision(frame(), names=NAMES), frame=3)
    assert list(found["masks"]) == [3] and np.array_equal(found["masks"][3], frame().mask)
    assert found["names"] == {("object", 1): "ant", ("object", 2): "cow"}
    boxes = from_supervision(to_supervision(frame(), kind="box", categories={("box", 4): "pig"}))
    assert boxes["boxes"] == [BoxMark(4, 0, 1.5, 2, 10, 8)]
    assert boxes["categories"] == {("box", 4): "pig"}


def test_a_detectors_detections_have_no_ids_and_may_overlap():
    sv = pytest.importorskip("supervision")
    masks = np.zeros((2, 6, 8), bool)
    masks[0, 1:4, 1:4] = masks[1, 2:5, 2:7] = True
    xyxy = np.array([[1.0, 1, 4, 4], [2, 2, 7, 5]])
    data = {"class_name": np.array(["dog", "cat"])}
    made = sv.Detections(xyxy, masks, confidence=np.array([0.9, 0.4]), data=data)
    found = from_supervision(made)
    assert (found["masks"][0] == 1).sum() == 9 and (found["masks"][0] == 2).sum() == 11
    assert found["categories"] == {("object", 1): "dog", ("object", 2): "cat"}
    assert from_supervision(sv.Detections(xyxy), frame=2)["boxes"] == [
        BoxMark(1, 2, 1, 1, 3, 3),
        BoxMark(2, 2, 2, 2, 5, 3),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tracker_id": np.array([3, 3])}, r"an id of its own from 1, got \[3, 3\]"),
        ({"tracker_id": np.array([0, 1])}, r"an id of its own from 1, got \[0, 1\]"),
        ({"xyxy": np.array([[1.0, 1, 4, 4], [2, 2, 2, 5]])}, "got none for id 2"),
        ({"mask": np.ones((2, 6, 8), bool)}, "that others do not hide .* got none for id 1"),
    ],
)
def test_detections_that_cannot_be_marks_are_told(change, said):
    sv = pytest.importorskip("supervision")
    given = {"xyxy": np.array([[1.0, 1, 4, 4], [2, 2, 7, 5]]), **change}
    with pytest.raises(InputError, match=said):
        from_supervision(sv.Detections(**given))
    with pytest.raises(InputError, match="expected at least one"):
        from_supervision(sv.Detections.empty())
