"""Memory bank and propagation: order, bounds, following a moving texture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from patch_encoders import (
    CELLS,
    SIZE,
    SPEC,
    held,
    inputs,
    label_map,
    painted,
    patches,
    square,
    translating,
)

import chromatrack.propagation.propagate as module
from chromatrack.errors import InputError
from chromatrack.ops.coords import FeatureSpec
from chromatrack.propagation.label_maps import merge_given
from chromatrack.propagation.point_labels import bumps
from chromatrack.propagation.propagate import (
    FrameMarks,
    Input,
    PropagateConfig,
    Propagated,
    Propagator,
    Reference,
    Settled,
    copy_labels,
    harden,
    propagate,
    reach,
    read_trusted,
    share_cells,
)


def put_over(frame: Input, features: torch.Tensor, copied: torch.Tensor | None) -> Settled:
    """A `Settle` for masks: painted objects over copied ones."""
    if frame.given is None or copied is None:
        label_map = copied if frame.given is None else frame.given.label_map
        assert label_map is not None
        return Settled(label_map)
    return Settled(merge_given(frame.given.label_map, copied, painted=frame.given.painted))


def propagator(*, encode=patches, spec=SPEC, config=None, **more) -> Propagator:
    config = config or PropagateConfig(radius=3, recent_radius=3)
    return Propagator(encode, spec, config, **{"settle": put_over, **more})


def run(images, marks, **more) -> list[Propagated]:
    given_frames = {i: m if isinstance(m, FrameMarks) else painted(m) for i, m in marks.items()}
    return list(propagate(inputs(images, given_frames), propagator(**more)))


def map_of(step: Propagated) -> torch.Tensor:
    assert step.label_map is not None
    return step.label_map


def cell_iou(found: torch.Tensor, mask: np.ndarray, channel: int = 1, ids=(1,)) -> float:
    a, b = found.argmax(0) == channel, label_map(mask, ids).argmax(0) == channel
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("restrict_first", [True, False])
def test_a_mask_follows_a_moving_texture(background, restrict_first):
    config = PropagateConfig(radius=3, recent_radius=3, restrict_first=restrict_first)
    steps = run(translating(7), {0: label_map(square(24))}, config=config, background=background)
    assert [step.input.index for step in steps] == list(range(7))
    for index, step in enumerate(steps):
        assert step.label_map is not None and step.label_map.shape == (2, *CELLS)
        assert step.label_map.dtype == torch.float32
        assert float(step.label_map.min()) >= 0
        torch.testing.assert_close(step.label_map.sum(0), torch.ones(CELLS))
        assert cell_iou(step.label_map, square(24 + 8 * index)) > 0.8
    standing = cell_iou(map_of(steps[6]), square(24))
    assert standing < 0.2  # the object did leave its first place


def test_entropy_is_there_from_the_second_frame_on():
    steps = run(translating(3), {0: label_map(square(24))})
    assert steps[0].entropy is None
    for step in steps[1:]:
        assert step.entropy is not None and step.entropy.shape == CELLS
        assert float(step.entropy.min()) >= 0 and float(step.entropy.max()) <= 1 + 1e-6


def test_frames_before_the_first_mark_have_no_label_map():
    steps = run(translating(4), {2: label_map(square(40))})
    assert [step.label_map is None for step in steps] == [True, True, False, False]
    assert cell_iou(map_of(steps[3]), square(48)) > 0.8


def test_marks_on_several_frames_renew_and_add_objects():
    ids = (3, 9)
    images = [image.clone() for image in translating(5)]
    newcomer = torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(7))
    for index in (2, 3, 4):
        images[index][:, 64:96, 32 + 8 * index : 72 + 8 * index] = newcomer
    first = label_map(square(24, top=0, side=48, value=3), ids)
    later = label_map(square(48, top=64, side=40, value=9), ids)
    steps = run(images, {0: first, 2: later}, background=True)
    assert torch.equal(map_of(steps[2])[2], later[2])  # exactly as painted
    for index in (2, 3, 4):
        old = square(24 + 8 * index, top=0, side=48, value=3)
        new = square(32 + 8 * index, top=64, side=40, value=9)
        assert cell_iou(map_of(steps[index]), old, 1, ids) > 0.8
        assert cell_iou(map_of(steps[index]), new, 2, ids) > 0.8


def test_a_correction_replaces_the_object():
    steps = run(translating(4), {0: label_map(square(0)), 2: label_map(square(64))})
    assert torch.equal(map_of(steps[2]), label_map(square(64)))
    assert len(map_of(steps[2])) == 2


def test_an_object_marked_later_is_followed_though_earlier_frames_show_it():
    ids = (3, 9)
    first = label_map(square(16, top=0, side=48, value=3), ids)
    later = label_map(square(56, top=56, side=40, value=9), ids)
    steps = run(translating(6), {0: first, 2: later}, background=True)
    for index in range(2, 6):
        old = square(8 * index + 16, top=0, side=48, value=3)
        new = square(8 * index + 40, top=56, side=40, value=9)
        assert (
            cell_iou(map_of(steps[index]), old, 1, ids) > 0.75
        )  # unseen content enters at its left
        assert cell_iou(map_of(steps[index]), new, 2, ids) > 0.9


def test_the_last_word_wins_where_a_correction_contradicts_the_first_mark():
    marks = {0: label_map(square(8, top=8, side=32)), 3: label_map(square(64, top=56, side=32))}
    steps = run(translating(7), marks, background=True)
    for index in range(3, 7):
        assert cell_iou(map_of(steps[index]), square(40 + 8 * index, top=56, side=32)) > 0.7


@pytest.mark.parametrize("labels", [2, 6])
def test_affinity_is_computed_once_per_frame_whatever_the_number_of_labels(monkeypatch, labels):
    calls = []
    real = module.tiled_affinity

    def counted(*args, **knobs):
        calls.append(1)
        return real(*args, **knobs)

    monkeypatch.setattr(module, "tiled_affinity", counted)
    given_map = torch.rand(labels, *CELLS).softmax(0)
    steps = run(translating(5), {0: given_map}, background=True)
    assert len(calls) == 4
    assert map_of(steps[-1]).shape == (labels, *CELLS)


def test_skipping_cells_out_of_reach_changes_no_object():
    images, marks = translating(5), {0: label_map(square(24))}
    every, some = (map_of(run(images, marks, background=b)[-1]) for b in (False, True))
    faint = every[1] < 0.02
    torch.testing.assert_close(some[1][~faint], every[1][~faint], atol=0.02, rtol=0)
    assert float(some[1][faint].max()) <= 0.03


def test_memory_does_not_grow():
    runner = propagator(config=PropagateConfig(radius=2, recent=3, spacing=2))
    frames = inputs(translating(14), {0: painted(label_map(square(8)))})
    sizes = [len(held(runner.bank)) for _ in propagate(frames, runner)]
    assert sizes[6:] == [sizes[6]] * 8
    assert sizes[-1] == 1 + 5  # one marked frame, and five to hold three at spacing two


def test_a_bank_may_hold_marks_from_the_start():
    runner, images = propagator(), translating(3)
    runner.bank.mark(0, patches(images[0][None])[0], label_map(square(24)))
    steps = list(propagate(inputs(images, {}), runner))
    assert all(step.entropy is not None for step in steps)
    assert cell_iou(map_of(steps[2]), square(40)) > 0.8


class FakeClips:
    """An encoder of clips of 3 that remembers what it was given; features name call and slot."""

    spec = FeatureSpec(4, 8, 3.5, clip_length=3)

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append([round(float(image[0, 0, 0]), 3) for image in images])
        features = torch.ones(len(images), 4, *CELLS)
        features[:, 0] = len(self.seen)
        features[:, 1] = torch.arange(len(images)).reshape(-1, 1, 1)
        return features


def test_clips_are_the_last_frames_and_references_are_renewed():
    images = [torch.full((3, *SIZE), index / 10) for index in range(5)]
    encode, config = FakeClips(), PropagateConfig(radius=2, recent=4)
    runner = propagator(encode=encode, spec=encode.spec, config=config)
    steps = list(propagate(inputs(images, {1: painted(label_map(square(24)))}), runner))
    bank = runner.bank
    assert encode.seen == [[0, 0, 0.1], [0, 0.1, 0.2], [0.1, 0.2, 0.3], [0.2, 0.3, 0.4]]
    assert [step.label_map is None for step in steps] == [True] + [False] * 4
    found = {r.index: r.features[:2, 0, 0].tolist() for r in bank.rolling}
    # (call, place in the clip): frame 1 left the clip after call 3; the others are of call 4
    assert found == {1: [3, 0], 2: [4, 0], 3: [4, 1], 4: [4, 2]}
    assert bank.marked[0].features[:2, 0, 0].tolist() == [3, 0]


def test_the_first_frame_is_repeated_where_a_clip_is_too_short():
    encode = FakeClips()
    images = [torch.full((3, *SIZE), 0.5)]
    run(images, {0: label_map(square(24))}, encode=encode, spec=encode.spec)
    assert encode.seen == [[0.5, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"recent": -1}, "recent: expected a whole number >= 0, got -1"),
        ({"spacing": 0}, "spacing: expected a whole number >= 1, got 0"),
        ({"top_k": 0}, "top_k: expected a whole number >= 1, got 0"),
        ({"radius": -3}, "radius: expected a whole number >= 0, got -3"),
        ({"recent_radius": -1}, "recent_radius: expected a whole number >= 0, got -1"),
        ({"radius": 0, "radius_shape": "disc"}, "radius: expected a whole number >= 1, got 0"),
        ({"temperature": 0}, "temperature: expected more than 0, got 0"),
        ({"temperature": float("nan")}, "temperature: expected more than 0, got nan"),
        ({"first": False, "recent": 0}, "expected first=True or recent >= 1, got neither"),
    ],
)
def test_knobs_are_checked_at_the_door(knobs, message):
    with pytest.raises(InputError, match=message):
        PropagateConfig(**knobs)


def test_recalled_views_are_copied_from_on_the_next_frame_only():
    images, ids = translating(4), (1, 2)
    both = label_map(square(24) + square(24, top=80, side=16, value=2), ids)
    only_second = label_map(square(24, top=80, side=16, value=2), ids)
    old = Reference(0, patches(images[0][None])[0], both, 3, torch.tensor([1.0, 1.0, 0.0]))
    known = torch.tensor([True, False, True])  # frames say nothing about the first

    def settle(frame: Input, features: torch.Tensor, copied: torch.Tensor | None) -> Settled:
        del features
        recalled = old if frame.index == 1 else None
        return Settled(only_second if copied is None else copied, known, recalled)

    runner = propagator(settle=settle, background=True)
    steps = list(propagate(inputs(images, {0: painted(only_second)}), runner))
    assert not map_of(steps[1])[1].any()
    assert cell_iou(map_of(steps[2]), square(40), 1, ids) > 0.8
    assert not map_of(steps[3])[1].any()


def test_labels_are_averaged_over_the_frames_that_are_trusted_on_them():
    features = torch.ones(4, 3, 3) / 2
    ones = torch.ones(2, 3, 3)
    references = [
        Reference(0, features, ones * 0.8, 1, torch.tensor([1.0, 1.0])),
        Reference(1, features, ones * 0.2, 1, torch.tensor([1.0, 0.0])),
    ]
    _, pointer = copy_labels(features, references, PropagateConfig(top_k=18))
    read = read_trusted(pointer, references)
    torch.testing.assert_close(read[0], torch.full((3, 3), 0.5))
    torch.testing.assert_close(read[1], torch.full((3, 3), 0.8))


def test_labels_nobody_is_trusted_on_are_nothing():
    features = torch.ones(4, 3, 3) / 2
    unknown = [Reference(0, features, torch.ones(2, 3, 3), 1, torch.tensor([1.0, 0.0]))]
    copied, _ = copy_labels(features, unknown, PropagateConfig(), background=True)
    assert not copied[1].any() and torch.equal(copied[0], torch.ones(3, 3))


def test_empty_label_maps_copy_to_background():
    features = torch.ones(4, 3, 3) / 2
    empty = torch.zeros(3, 3, 3)
    empty[0] = 1
    reference = Reference(0, features, empty, 1, torch.ones(3))
    copied, pointer = copy_labels(features, [reference], PropagateConfig(), background=True)
    assert torch.equal(copied, empty)
    assert bool(pointer.entropy().isfinite().all())


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 999))
def test_regions_share_cells_and_free_channels_do_not(regions, free, seed):
    generator = torch.Generator().manual_seed(seed)
    soft = 1.5 * torch.rand(1 + regions + free, 4, 5, generator=generator)
    shared = share_cells(soft, free=free)
    assert shared.shape == soft.shape and float(shared.min()) >= 0
    torch.testing.assert_close(shared[: 1 + regions].sum(0), torch.ones(4, 5))
    assert torch.equal(shared[1 + regions :], soft[1 + regions :])
    torch.testing.assert_close(share_cells(shared, free=free), shared)
    crowded = soft[1 : 1 + regions].sum(0) > 1
    torch.testing.assert_close(
        shared[1 : 1 + regions][:, ~crowded], soft[1 : 1 + regions][:, ~crowded]
    )


def test_free_labels_lie_over_regions_without_taking_their_cells():
    region = label_map(square(24))
    point = torch.zeros(1, *CELLS)
    point[0, 6, 6] = 1
    both = FrameMarks(torch.cat([region, point]), torch.tensor([True, True, True]))
    alone = run(translating(4), {0: region}, background=True)
    together = run(
        translating(4), {0: both}, background=True, free=1,
        settle=lambda frame, _, copied: Settled(both.label_map if copied is None else copied),
    )  # fmt: skip
    torch.testing.assert_close(map_of(together[3])[:2], map_of(alone[3]))
    assert int(map_of(together[3])[2].argmax()) == 6 * CELLS[1] + 9  # three cells to the right


def test_a_label_declared_lost_is_forgotten_by_the_recent_frames():
    lost = painted(torch.zeros(2, *CELLS), lost=(1,))
    runner = propagator(background=True)
    steps = list(
        propagate(inputs(translating(4), {0: painted(label_map(square(24))), 2: lost}), runner)
    )
    assert not map_of(steps[2])[1].any()
    assert lost.shown.tolist() == [False, False] and lost.painted.tolist() == [True, True]
    assert all(r.trust[1] == 0 for r in runner.bank.rolling if r.index < 2)


def test_frames_in_falling_order_are_the_reversed_clip():
    images, soft = translating(7), painted(label_map(square(72)))
    falling = list(propagate(list(inputs(images, {6: soft}))[::-1], propagator(background=True)))
    rising = run(images[::-1], {0: soft}, background=True)
    for back, ahead in zip(falling, rising, strict=True):
        assert back.input.index == 6 - ahead.input.index
        assert torch.equal(map_of(back), map_of(ahead))
    assert cell_iou(map_of(falling[4]), square(40)) > 0.8


def test_without_top_k_all_cells_in_reach_are_copied_from():
    images, soft = translating(4), painted(label_map(square(24)))
    knobs = {"first": False, "recent": 3, "restrict_recent": False, "temperature": 0.02}
    runs = []
    for top_k in (None, 10_000):
        config = PropagateConfig(top_k=top_k, **knobs)
        runs.append(run(images, {0: soft}, config=config, background=True))
    for dense, sparse in zip(*runs, strict=True):
        torch.testing.assert_close(map_of(dense), map_of(sparse), atol=1e-4, rtol=1e-3)
    entropy = runs[0][2].entropy
    assert entropy is not None and entropy.shape == CELLS and float(entropy.max()) <= 1
    assert cell_iou(map_of(runs[0][3]), square(48)) > 0.8


def test_faint_shares_are_kept_where_the_protocol_keeps_them():
    images, soft = translating(4), painted(label_map(square(24)))
    plain = PropagateConfig(top_k=None, temperature=0.5, radius=40, recent_radius=40, faint=0.0)
    steps = run(images, {0: soft}, config=plain, background=True)
    dropped = run(images, {0: soft}, config=replace(plain, faint=0.4), background=True)
    assert ((map_of(steps[1])[1] > 0) & (map_of(steps[1])[1] < 0.4)).any()
    assert not map_of(dropped[1])[1].any()
    torch.testing.assert_close(map_of(steps[1]).sum(0), torch.ones(CELLS))


def test_hardened_labels_are_what_is_remembered_and_not_what_is_said():
    images, soft = translating(4), painted(label_map(square(20, side=44)))
    runner = propagator(config=PropagateConfig(harden=True, temperature=0.5), background=True)
    steps = list(propagate(inputs(images, {0: soft}), runner))
    for reference in held(runner.bank):
        assert set(reference.label_map.unique().tolist()) <= {0.0, 1.0}
        torch.testing.assert_close(reference.label_map.sum(0), torch.ones(CELLS))
    assert len(map_of(steps[3])[1].unique()) > 2
    bumps = torch.tensor([0.6, 0.3, 0.4])[:, None, None].expand(3, *CELLS)
    assert harden(bumps, free=1)[:, 0, 0].tolist() == [1, 0, pytest.approx(0.4)]


def test_a_mark_ahead_is_copied_from_too():
    images = translating(6)
    known = {0: painted(label_map(square(16))), 5: painted(label_map(square(56)))}
    runner = propagator(config=PropagateConfig(recent=0, radius=3), background=True)
    both = torch.tensor([True, True])
    runner.bank.mark(5, patches(images[5][None])[0], known[5].label_map, shown=both, renewed=~both)
    steps = list(propagate(inputs(images[:5], {0: known[0]}), runner))
    # without recent frames, frame 4 is out of reach of frame 0's window: only frame 5 shows it
    assert cell_iou(map_of(steps[4]), square(48)) > 0.8


@pytest.mark.parametrize("trusted", [True, False])
def test_cells_in_reach_of_faint_shares_alone_are_not_asked(monkeypatch, trusted):
    random = torch.Generator().manual_seed(4)
    features = F.normalize(torch.randn(3, 12, 40, 50, generator=random), dim=1)
    soft = torch.stack(
        [torch.zeros(40, 50), *bumps(torch.tensor([[9.3, 20], [37, 8.6]]), (40, 50))]
    )
    trust = torch.tensor([1.0, 1.0, 1.0 if trusted else 0.3])
    references = [Reference(i, f, soft, 4, trust) for i, f in enumerate(features[1:])]
    config = PropagateConfig(top_k=5, radius=4, recent_radius=4)
    size = (40, 50)
    near = reach(references, size=size, faint=config.faint)
    assert int(near.sum()) < int(reach(references, size=size).sum()) / 3
    some = copy_labels(features[0], references, config, background=True)[0]
    monkeypatch.setattr(module, "reach", lambda references, **_: near | True)
    every = copy_labels(features[0], references, config, background=True)[0]
    torch.testing.assert_close(some, every)
    assert bool((some[1:] > 0).any())
