"""Memory bank and propagation: order, bounds, following a moving texture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

import chromatrack.propagate as module
from chromatrack.encoder import FeatureSpec
from chromatrack.errors import InputError
from chromatrack.labels import masks_to_label_map, merge_given
from chromatrack.propagate import Input, MemoryBank, PropagateConfig, Propagated, propagate
from chromatrack.video import Frame

SIZE, CELLS = (96, 128), (12, 16)
SPEC = FeatureSpec(48, 8, 3.5)


def patches(images: torch.Tensor) -> torch.Tensor:
    """Identity-like encoder: every 8x8 block as 4x4 RGB averages, centred, unit length."""
    blocks = F.pixel_unshuffle(F.avg_pool2d(images, 2), 4)
    return F.normalize(blocks - 0.5, dim=1)


def translating(count: int, *, step: int = 8, seed: int = 0) -> list[torch.Tensor]:
    """(3, H, W) frames: a random texture that moves `step` px to the right per frame."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.rand(3, SIZE[0], SIZE[1] + step * count, generator=generator)
    starts = [step * (count - i) for i in range(count)]
    return [wide[..., s : s + SIZE[1]] for s in starts]


def square(left: int, top: int = 32, side: int = 40, value: int = 1) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=np.int32)
    mask[top : top + side, left : left + side] = value
    return mask


def label_map(mask: np.ndarray, ids=(1,)) -> torch.Tensor:
    return masks_to_label_map(mask, ids=ids, size=SIZE, spec=SPEC)


def inputs(images, marks):
    for index, image in enumerate(images):
        yield Input(index, image, marks.get(index), Frame(np.zeros((1, 1, 3), np.uint8), index, 0))


def run(images, marks, *, encode=patches, spec=SPEC, config=None, **more):
    config = config or PropagateConfig(radius=3, recent_radius=3)
    return list(
        propagate(inputs(images, marks), encode, spec, merge=merge_given, config=config, **more)
    )


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
    config = PropagateConfig(radius=2, recent=3, spacing=2)
    bank = MemoryBank(config)
    sizes = [
        len(bank)
        for _ in propagate(
            inputs(translating(14), {0: label_map(square(8))}), patches, SPEC,
            merge=merge_given, config=config, bank=bank,
        )
    ]  # fmt: skip
    assert sizes[6:] == [sizes[6]] * 8
    assert sizes[-1] == 1 + 5  # one marked frame, and five to hold three at spacing two


def test_a_bank_may_hold_marks_from_the_start():
    config = PropagateConfig(radius=3, recent_radius=3)
    bank = MemoryBank(config)
    images = translating(3)
    bank.mark(0, patches(images[0][None])[0], label_map(square(24)))
    steps = run(images, {}, bank=bank, config=config)
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
    bank = MemoryBank(config)
    steps = run(
        images,
        {1: label_map(square(24))},
        encode=encode,
        spec=encode.spec,
        bank=bank,
        config=config,
    )
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


def filled(config: PropagateConfig, *, marks=(0,), frames=20) -> MemoryBank:
    bank, cell = MemoryBank(config), torch.zeros(1, 1, 1)
    for index in range(frames):
        if index in marks:
            bank.mark(index, cell, cell)
        bank.add(index, cell, cell)
    return bank


@settings(max_examples=60)
@given(
    st.booleans(), st.integers(0, 6), st.integers(1, 5), st.integers(0, 30),
    st.sets(st.integers(0, 29), max_size=4),
)  # fmt: skip
@example(True, 5, 1, 3, {0, 2})
@example(False, 3, 2, 9, {0, 8})
def test_references_are_marked_then_recent_youngest_first_each_once(
    first, recent, spacing, frames, marks
):
    if not first and recent == 0:
        return
    bank = filled(
        PropagateConfig(first=first, recent=recent, spacing=spacing), marks=marks, frames=frames
    )
    kept = [i for i in sorted(marks) if i < frames] if first else []
    young = [frames - 1 - spacing * n for n in range(recent)]
    since = max((i for i in marks if i < frames), default=0)  # a mark makes earlier ones moot
    expected = kept + [i for i in young if i >= since and i not in kept]
    assert [reference.index for reference in bank.references()] == expected
    assert len(bank.rolling) <= max(0, (recent - 1) * spacing + 1)


def test_windows_of_references():
    cell = torch.zeros(1, 1, 1)
    for restrict, whole, radius in ((True, False, 5), (True, True, None), (False, False, None)):
        bank = MemoryBank(PropagateConfig(radius=5, recent_radius=2, restrict_first=restrict))
        bank.mark(0, cell, cell, whole_frame=whole)
        bank.add(1, cell, cell)
        assert [reference.radius for reference in bank.references()] == [radius, 2]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"recent": -1}, "recent: expected a whole number >= 0, came -1"),
        ({"spacing": 0}, "spacing: expected a whole number >= 1, came 0"),
        ({"top_k": 0}, "top_k: expected a whole number >= 1, came 0"),
        ({"radius": -3}, "radius: expected a whole number >= 0, came -3"),
        ({"recent_radius": -1}, "recent_radius: expected a whole number >= 0, came -1"),
        ({"radius": 0, "radius_shape": "disc"}, "radius: expected a whole number >= 1, came 0"),
        ({"temperature": 0}, "temperature: expected more than 0, came 0"),
        ({"temperature": float("nan")}, "temperature: expected more than 0, came nan"),
        ({"first": False, "recent": 0}, "expected first=True or recent >= 1, came neither"),
    ],
)
def test_knobs_are_checked_at_the_door(knobs, message):
    with pytest.raises(InputError, match=message):
        PropagateConfig(**knobs)
