"""Joints that leave where the others go are doubted; what moves together never is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from chromatrack.ops.coords import FeatureSpec
from chromatrack.propagation.joint_company import LEAST, OFF, Company, skeletons
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.point_labels import PointTracks
from chromatrack.propagation.relabeling import Relabeling

BODY = torch.tensor([[0.0, 0], [10, 0], [0, 10], [10, 10], [5, 2], [5, 8]])
SIZE = 10.0  # the root of the area of the box around them
SEEN = torch.ones(len(BODY), dtype=torch.bool)
SURE = torch.ones(len(BODY))


def company(count: int = len(BODY)) -> Company:
    """A body seen once, where BODY says."""
    start = Company((torch.arange(count),))
    return start.followed(BODY[:count], SEEN[:count])


def moved(joint: int, by: tuple[float, float]) -> Tensor:
    """The body with one of its joints elsewhere."""
    places = BODY.clone()
    places[joint] += torch.tensor(by)
    return places


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_a_body_that_moves_as_a_whole_is_believed(x: float, y: float) -> None:
    there = BODY + torch.tensor([x, y])
    assert torch.equal(company().doubted(there, SURE), SURE)


@given(st.integers(0, 5), st.floats(0, 6.28), st.floats(0, 4))
def test_a_joint_is_doubted_where_it_is_farther_off_than_limbs_go(
    joint: int, angle: float, share: float
) -> None:
    reach = torch.tensor([angle]).cos().item(), torch.tensor([angle]).sin().item()
    by = tuple(share * OFF * SIZE * part for part in reach)
    found = company().doubted(moved(joint, (by[0], by[1])), SURE)
    if abs(share - 1) > 1e-3:
        assert (found[joint] < 0.51) == (share > 1)
    others = torch.arange(len(BODY)) != joint
    assert torch.equal(found[others], SURE[others])


def test_a_joint_that_comes_back_is_believed_where_the_others_took_it() -> None:
    walked, hidden = company(), SEEN.clone()
    hidden[5] = False
    for frame in range(1, 6):
        astray = moved(5, (40.0, 0.0)) + torch.tensor([2.0 * frame, 0.0])
        assert walked.doubted(astray, SURE)[5] < 0.51
        walked = walked.followed(astray, hidden)
    there = BODY + torch.tensor([12.0, 0.0])
    assert torch.equal(walked.doubted(there, SURE), SURE)
    there[5] = BODY[5]  # where it stood when it went out of sight
    assert walked.doubted(there, SURE)[5] < 0.51


def test_a_body_that_was_gone_as_a_whole_is_believed_anywhere() -> None:
    gone = company().followed(BODY, ~SEEN)
    assert torch.equal(gone.doubted(BODY + 50, SURE), SURE)
    back = gone.followed(BODY + 50, SEEN)
    assert back.doubted(moved(0, (5.0, 0.0)) + 50, SURE)[0] < 0.51


def test_few_joints_tell_nothing_of_each_other() -> None:
    few = company(LEAST - 1)
    places = moved(0, (50.0, 0.0))[: LEAST - 1]
    assert torch.equal(few.doubted(places, SURE[: LEAST - 1]), SURE[: LEAST - 1])


def test_points_and_other_skeletons_have_no_say() -> None:
    groups = skeletons([("joint", 7, n) for n in range(6)] + [("point", 7, 0), ("joint", 8, 0)])
    assert [group.tolist() for group in groups] == [[0, 1, 2, 3, 4, 5], [7]]
    places = torch.cat([BODY, BODY[:2]])
    start = Company(groups).followed(places, torch.ones(8, dtype=torch.bool))
    found = places + torch.tensor([[0.0, 0]] * 6 + [[30.0, 0], [0, 30]])
    assert torch.equal(start.doubted(found, torch.ones(8)), torch.ones(8))


@pytest.mark.parametrize("gone", [0, 6])
def test_joints_keep_their_places_when_things_come_and_go(gone: int) -> None:
    """A point before or behind the joints goes, another skeleton comes."""
    joints = tuple(("joint", 1, n) for n in range(6))
    names = (*joints, ("point", 3, 0)) if gone else (("point", 3, 0), *joints)
    joints_at = [row for row, name in enumerate(names) if name[0] == "joint"]
    old = Layout(points=names)  # pyright: ignore[reportArgumentType]
    spec = FeatureSpec(channels=4, stride=8, offset=0.0)
    tracks = PointTracks(spec, old.points)
    places = torch.cat([BODY, BODY[:1]]) if gone else torch.cat([BODY[:1], BODY])
    tracks.company = tracks.company.followed(places, torch.ones(7, dtype=torch.bool))
    twin = tracks.fork()
    fewer = old.without({("point", 3, 0)})
    twin.relabel(Relabeling(old, fewer))
    more = fewer.grown(Layout(points=(("joint", 2, 0),)))
    twin.relabel(Relabeling(fewer, more))
    assert [group.tolist() for group in twin.company.groups] == [[0, 1, 2, 3, 4, 5], [6]]
    shown = torch.cat([moved(4, (9.0, 0.0)), BODY[:1]])
    assert twin.company.doubted(shown, torch.ones(7)).tolist() == [1, 1, 1, 1, 0.5, 1, 1]
    assert [group.tolist() for group in tracks.company.groups] == [joints_at]
