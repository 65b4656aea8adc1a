"""The object in a box: cut out by its colours, or told by the looks of its cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chromatrack.ops.coords import Box, FeatureSpec, box_edges, cell_count
from chromatrack.propagation.box_foreground import centred, foreground, object_in_box, pixels_of
from chromatrack.propagation.box_labels import box_to_label

CELL = FeatureSpec(4, 8, 3.5)
FRAME = (160, 240)
BOX: Box = (64.0, 40.0, 96.0, 80.0)


def label_of(box: Box) -> torch.Tensor:
    return box_to_label(box, size=cell_count(FRAME, stride=CELL.stride), spec=CELL)


def picture(thing: np.ndarray) -> torch.Tensor:
    """A red thing `(H, W)` bool on green ground, both with some noise."""
    noise = np.random.default_rng(0).normal(0, 0.02, (3, *FRAME))
    red, green = np.array([0.8, 0.2, 0.1]), np.array([0.2, 0.6, 0.2])
    image = np.where(thing, red[:, None, None], green[:, None, None]) + noise
    return torch.from_numpy(image.clip(0, 1)).float()


def ellipse(box: Box) -> np.ndarray:
    y, x = np.mgrid[: FRAME[0], : FRAME[1]]
    left, top, right, bottom = box_edges(box)
    across, down = (x - (left + right) / 2) / box[2], (y - (top + bottom) / 2) / box[3]
    return across**2 + down**2 <= 1 / 4


def found_in(box: Box, image: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    return object_in_box(image, features, label_of(box), box, spec=CELL)


PLAIN = torch.nn.functional.normalize(torch.ones(4, 20, 30), dim=0)


@pytest.mark.parametrize("box", [BOX, (40.0, 60.0, 160.0, 40.0), (100.0, 16.0, 40.0, 128.0)])
def test_an_object_is_cut_out_by_its_colours(box):
    thing = ellipse(box)
    found = found_in(box, picture(thing), PLAIN)
    true = torch.nn.functional.avg_pool2d(torch.from_numpy(thing)[None].float(), 8)[0]
    assert float((found - true).abs().sum() / true.sum()) < 0.15
    assert not found[label_of(box) == 0].any()


def test_a_small_part_by_colour_is_not_taken_for_what_the_box_is_drawn_around():
    features = scene_features(BOX)
    patch = np.zeros(FRAME, dtype=bool)
    patch[60:90, 100:124] = True  # a third of the box's width
    found = found_in(BOX, picture(patch), features)
    assert torch.equal(found, foreground(features, label_of(BOX)))


def test_where_colours_tell_nothing_cells_decide():
    features = scene_features(BOX)
    found = found_in(BOX, torch.full((3, *FRAME), 0.5), features)
    disc = features[1] > 0.5
    assert float(found[disc].mean()) > 0.9
    assert float(found[~disc].mean()) < 0.2


def test_a_box_of_the_whole_frame_is_taken_whole():
    whole = (0.0, 0.0, 240.0, 160.0)
    assert torch.equal(found_in(whole, picture(ellipse(BOX)), PLAIN), label_of(whole))


def test_a_box_outside_the_frame_holds_nothing():
    outside = (-60.0, -40.0, 20.0, 20.0)
    assert not found_in(outside, picture(ellipse(BOX)), PLAIN).any()


def test_pixels_of_a_box_are_those_with_their_middle_in_it():
    held = pixels_of((2.0, 1.0, 3.0, 2.0), (5, 8))
    assert held.nonzero().tolist() == [[r, c] for r in (1, 2) for c in (2, 3, 4)]


def scene_features(box: Box) -> torch.Tensor:
    """Two kinds of cells: the ground's, and a disc's in the middle of a box, `(4, 20, 30)`."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    left, top, right, bottom = box_edges(box)
    cx, cy = ((left + right) / 2 - 3.5) / 8, ((top + bottom) / 2 - 3.5) / 8
    disc = ((x - cx) / (right - left)) ** 2 + ((y - cy) / (bottom - top)) ** 2 < 0.42**2 / 64
    base = torch.where(disc, 0.0, 1.0)
    features = torch.stack([base, 1 - base, torch.zeros(20, 30), torch.zeros(20, 30)])
    noise = 0.1 * torch.randn(4, 20, 30, generator=generator)
    return torch.nn.functional.normalize(features + noise, dim=0)


def test_the_object_in_a_box_is_what_its_surroundings_do_not_hold():
    box = (64.0, 40.0, 96.0, 80.0)
    features, covered = scene_features(box), label_of(box)
    found = foreground(features, covered)
    disc = features[1] > 0.5
    assert disc.any() and not disc.all()
    assert float(found[disc].mean()) > 0.9
    assert float(found[~disc].mean()) < 0.05
    assert not found[covered == 0].any()
    assert float(found.min()) >= 0 and float(found.max()) <= 1


def test_where_nothing_stands_out_the_whole_box_is_the_object():
    flat = torch.nn.functional.normalize(torch.ones(4, 20, 30), dim=0)
    covered = label_of((64.0, 40.0, 96.0, 80.0))
    assert torch.equal(foreground(flat, covered), covered)


@pytest.mark.parametrize("box", [(0.0, 0.0, 240.0, 160.0), (100.0, 60.0, 2.0, 2.0)])
def test_a_box_without_surroundings_or_without_a_core_is_taken_whole(box):
    covered = label_of(box)
    assert torch.equal(foreground(scene_features((64, 40, 96, 80)), covered), covered)


def test_the_middle_of_a_box_counts_most():
    weight = centred(label_of((64.0, 40.0, 96.0, 80.0)))
    assert float(weight[9, 13]) == 1
    assert float(weight[9, 8]) < 0.5 and float(weight[5, 13]) < 0.5
    assert not weight[0].any()
