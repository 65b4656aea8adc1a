"""Clicks on rendered clips whose masks are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.errors import InputError
from chromatrack.tracking import select_loop, smart_select
from chromatrack.tracking.frame_looks import FrameLooks
from chromatrack.tracking.select_paths import changes, cost_from
from chromatrack.tracking.smart_select import Selection, Stroke
from chromatrack.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def embedder():
    return Tracker.from_pretrained("small").embedder


def looked_at(embedder, path, *, radius, seed):
    frames = moving_clip(frames=1, size=(180, 320), radius=radius, objects=3, seed=seed)
    clip = write_clip(path / "clip.mp4", [frames[0].rgb], options={"qp": "10"})
    return FrameLooks(embedder, clip).look(0), frames[0]


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def select(look, *strokes):
    return Selection(look).after(strokes)


@pytest.mark.parametrize(("radius", "seed"), [(16, 0), (34, 1)])
def test_one_click_finds_a_disc(embedder, tmp_path, radius, seed):
    look, frame = looked_at(embedder, tmp_path, radius=radius, seed=seed)
    for number, (x, y) in frame.centres.items():
        truth = frame.mask == number
        for place in ((x, y + radius / 2),):
            assert iou(select(look, Stroke((place,))), truth) >= 0.8, (number, place)


def test_a_click_outside_takes_away(embedder, tmp_path):
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    one, other = frame.centres[1], frame.centres[2]
    both = select(look, Stroke((one,)), Stroke((other,)))
    assert iou(both, np.isin(frame.mask, [1, 2])) >= 0.8
    left = select(look, Stroke((one,)), Stroke((other,), inside=False))
    assert left[round(one[1]), round(one[0])] and not left[round(other[1]), round(other[0])]
    assert iou(left, frame.mask == 1) >= 0.8


def test_dragging_further_selects_more(embedder, tmp_path):
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    place = (frame.centres[1],)
    areas = [select(look, Stroke(place, size=size)).sum() for size in (0.05, 0.4, 0.95)]
    assert areas[0] < areas[1] < areas[2]


def test_each_click_changes_what_is_around_it_alone(embedder, tmp_path):
    """A click says what it holds, and leaves the other side of the frame and its own say alone."""
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    places = [frame.centres[1], frame.centres[2], frame.centres[3], (4.0, 4.0)]
    strokes, selection = [], Selection(look)
    before = np.zeros(frame.mask.shape, dtype=bool)
    for number, place in enumerate(places):
        strokes.append(Stroke((place,), inside=number < 3))
        region = selection.after(strokes)
        gained, lost = region & ~before, before & ~region
        assert not (lost if strokes[-1].inside else gained).any()
        x, y = (round(value) for value in place)
        assert region[y, x] == strokes[-1].inside
        before = region.copy()
    assert (Selection(look).after(strokes) == before).all(), "the same again, all at once"
    assert (selection.after(strokes[:2]) == Selection(look).after(strokes[:2])).all(), "taken back"


def test_clicks_correct_what_was_selected_before(embedder, tmp_path):
    """Of two discs, half of one is missing, the other is too much: all else stays to the pixel."""
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    truth, other = frame.mask == 1, frame.mask == 2
    x, y = (round(value) for value in frame.centres[1])
    lacking = truth & (np.arange(truth.shape[1]) < x + 4)
    missing = Stroke(((x + 19.0, float(y)),))
    added = Selection(look).after([missing], lacking)
    assert added[y, x + 19] and not (lacking & ~added).any()
    assert iou(added, truth) > iou(lacking, truth) + 0.05
    away = Stroke((frame.centres[2],), inside=False)  # the first one may be outside now
    less = Selection(look).after([away], truth | other)
    left, top = (round(value) for value in frame.centres[2])
    assert not less[top, left] and not (less & ~(truth | other)).any()
    assert iou(less, truth) > iou(truth | other, truth) + 0.05
    selection = Selection(look)
    selection.after([missing], lacking)
    assert (selection.after([missing]) == Selection(look).after([missing])).all(), "without it"
    assert (selection.after([missing], lacking.copy()) == added).all(), "with it again"
    with pytest.raises(InputError, match="inside"):
        selection.after([away], np.zeros_like(truth))


@pytest.mark.parametrize("drags", [False, True])
def test_taking_away_a_stray_part_leaves_the_others_whole(embedder, tmp_path, drags):
    """Two stray parts lie close to the mask of a disc, not connected to it."""
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    disc = frame.mask == 1
    y, x = np.mgrid[: disc.shape[0], : disc.shape[1]] - np.array(frame.centres[1])[::-1, None, None]
    strays = [
        (np.hypot(x - 43 * c, y - 43 * s) <= 7) & ~disc for c, s in ((0.87, 0.5), (0.5, 0.87))
    ]
    places = [(np.array(frame.centres[1]) + 43 * np.array(at)) for at in ((0.87, 0.5), (0.5, 0.87))]
    stroke = Stroke(tuple((float(px), float(py)) for px, py in places[: 1 + drags]), inside=False)
    found = Selection(look).after([stroke], disc | strays[0] | strays[1])
    assert not (disc & ~found).any(), "no corner of it goes"
    assert not (strays[0] & found).any()
    assert (strays[1] & ~found).any() == drags


def test_a_dragged_size_changes_what_hangs_together_with_the_stroke(embedder, tmp_path):
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    base = frame.mask == 2
    for size in (0.2, 0.9):
        found = Selection(look).after([Stroke((frame.centres[1],), size=size)], base)
        assert not (base & ~found).any() and (found & ~base).any()


def test_what_is_outside_cannot_be_first(embedder, tmp_path):
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    for strokes in ((), (Stroke((frame.centres[1],), inside=False),)):
        with pytest.raises(InputError, match="first one inside"):
            select(look, *strokes)


def test_a_region_whose_colours_are_not_the_clicks_gives_way_to_a_smaller_one(
    embedder, tmp_path, monkeypatch
):
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    x, y = frame.centres[1]
    asked = []

    def by_color(_look, region, inside, outside):
        share = region.float().clone()
        asked.append(int(region.sum()))
        if len(asked) < 3:  # the click's own surroundings are told from the rest
            scale = share.shape[1] / frame.mask.shape[1]
            row, column = round(y * scale), round(x * scale)
            share[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5] = 0
        return share

    monkeypatch.setattr(smart_select, "by_color", by_color)
    found = select(look, Stroke(((x, y),)))
    assert len(asked) == 3 and asked[0] > 1.8 * asked[1] > 3.2 * asked[2] > 0
    assert found[round(y), round(x)]


def ring(x, y, radius, *, turns=1.0):
    """A loop of that radius, a little longer than once round."""
    angles = np.linspace(0, 2 * np.pi * turns, 30, endpoint=False)
    return tuple(zip(x + radius * np.cos(angles), y + radius * np.sin(angles), strict=True))


@pytest.mark.parametrize("turns", [0.95, 1.0, 1.1])
def test_a_loop_finds_the_disc_in_it_and_not_what_is_around(embedder, tmp_path, turns):
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    for number, (x, y) in frame.centres.items():
        truth = frame.mask == number
        found = select(look, Stroke(ring(x, y, 42, turns=turns), around=True))
        assert iou(found, truth) >= 0.8, number


def test_loops_add_take_away_and_say_it_anew(embedder, tmp_path):
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    one, other = (frame.centres[n] for n in (1, 2))
    loops = [Stroke(ring(*at, 42), around=True) for at in (one, other)]
    both = select(look, *loops)
    assert iou(both, np.isin(frame.mask, [1, 2])) >= 0.8
    away = Stroke(ring(*other, 42), inside=False, around=True)
    left = select(look, *loops, away)
    assert iou(left, frame.mask == 1) >= 0.8
    assert not left[select_loop.in_loop(away.places, left.shape)].any()
    everywhere = np.ones(frame.mask.shape, dtype=bool)
    everywhere[:, : int(one[0]) - 50] = False  # ran over, of which a loop goes round little
    kept = Selection(look).after([loops[0]], everywhere)
    assert (kept >= everywhere).all()
    ran_over = frame.mask == 1
    ran_over[int(one[1]) - 10 : int(one[1]) + 10, int(one[0]) : int(one[0]) + 60] = True
    anew = Selection(look).after([loops[0]], ran_over)
    assert iou(anew, frame.mask == 1) >= 0.8
    assert not anew[:, int(one[0]) + 45 :].any()


def test_clicks_after_a_loop_correct_what_it_selected(embedder, tmp_path):
    look, frame = looked_at(embedder, tmp_path, radius=34, seed=0)
    one, other = (frame.centres[n] for n in (1, 2))
    loop = Stroke(ring(*one, 42), around=True)
    more = select(look, loop, Stroke((other,)))
    assert more[round(other[1]), round(other[0])] and (more | ~select(look, loop)).all()
    aside = (other[0] + 16, other[1])
    less = select(look, loop, Stroke((other,)), Stroke((aside,), inside=False))
    assert less.sum() < more.sum()
    assert not less[round(aside[1]), round(aside[0])]
    assert less[round(one[1]), round(one[0])]


def test_where_nothing_stands_out_all_of_the_loop_is_meant(embedder, tmp_path):
    flat = [np.full((180, 320, 3), 120, dtype=np.uint8)]
    look = FrameLooks(embedder, write_clip(tmp_path / "flat.mp4", flat)).look(0)
    loop = ring(150, 90, 40)
    found = select(look, Stroke(loop, around=True))
    assert np.array_equal(found, select_loop.in_loop(loop, found.shape))


def test_a_loop_of_two_places_is_refused():
    with pytest.raises(InputError, match="at least 3 places, got 2"):
        Stroke(((1.0, 2.0), (3.0, 4.0)), around=True)


def test_a_correction_ends_at_an_edge_and_not_where_its_measure_is_full():
    lab = torch.zeros(3, 60, 100)
    tail = torch.zeros(60, 100, dtype=torch.bool)
    tail[24:36, 40:56] = True
    lab[0][tail] = 60.0  # lighter than the rock that it lies on
    features = F.normalize(torch.ones(4, 60, 100), dim=0)
    edges = changes(lab, features)
    away = cost_from([(30, 48)], edges)
    everything, nearer = np.ones((240, 400), dtype=bool), torch.ones_like(tail)
    for most in (300.0, 600.0, 1200.0):
        meant = smart_select._correction(everything, away, nearer, edges, most=most)
        wanted = np.kron(tail.numpy(), np.ones((4, 4), dtype=bool))
        assert iou(meant, wanted) > 0.6, most
