"""Colours of objects: told apart, also by eyes that lack a kind of cone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from chromatrack.ops.color import rgb_to_lab
from chromatrack.viz.palette import object_color, object_hex

SEEN = {
    "all": np.eye(3),
    # Machado, Oliveira and Fernandes 2009, severity 1.0; linear sRGB.
    "no long cones": np.array(
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    ),
    "no middle cones": np.array(
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    ),
}


def as_seen(color, by):
    part = np.asarray(color) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    seen = (SEEN[by] @ linear).clip(0, 1)
    shown = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return rgb_to_lab(torch.tensor(shown, dtype=torch.float32)[:, None, None]).flatten().numpy()


@pytest.mark.parametrize("eyes", SEEN)
def test_the_first_seven_are_told_apart(eyes):
    labs = [as_seen(object_color(number), eyes) for number in range(1, 8)]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in combinations(labs, 2))
    assert nearest > (25 if eyes == "all" else 10)


def test_thirty_five_objects_have_colors_of_their_own():
    assert len({object_hex(number) for number in range(1, 36)}) == 35
    assert object_hex(1) == object_hex(36) == "#e69f00"
    assert object_color(0) == object_color(1)
