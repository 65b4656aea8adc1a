"""Colours of objects: told apart, also by eyes that lack a kind of cone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from chromatrack.ops.color import rgb_to_lab
from chromatrack.viz.palette import CLOSE, color_on, object_color, object_hex

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


def away(a, b):
    return float(np.linalg.norm(as_seen(a, "all") - as_seen(b, "all")))


@pytest.mark.parametrize("ground", [(109, 138, 63), (0, 158, 115), (0, 0, 0), (200, 205, 210)])
@pytest.mark.parametrize("count", [0, 6, 7, 34])
def test_a_colour_is_seen_on_what_it_lies_on(ground, count):
    used = [object_color(number) for number in range(1, count + 1)]
    own = object_color(count + 1)
    chosen = color_on(ground, own, used)
    assert chosen not in used
    if away(own, ground) >= CLOSE + 0.5:
        assert chosen == own
    elif count < 34:
        assert away(chosen, ground) >= CLOSE - 0.5
    if count == 0:
        assert away(chosen, ground) >= max(min(CLOSE, away(own, ground)), away(own, ground) * 0.99)


def test_of_colours_that_are_free_the_farthest_is_taken():
    grass, green = (20, 150, 110), object_color(4)
    used = [object_color(number) for number in (1, 2, 3)]
    free = [object_color(number) for number in (5, 6, 7)]
    assert color_on(grass, green, used) == max(free, key=lambda one: away(one, grass))
