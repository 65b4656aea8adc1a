"""The memory bank: which frames each label is copied from, and what they forget."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from patch_encoders import held

from chromatrack.errors import InputError
from chromatrack.propagation.config import PropagateConfig
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.memory_bank import MemoryBank, Reference
from chromatrack.propagation.relabeling import Relabeling


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
    assert [reference.index for reference in bank.references(frames)] == expected
    assert len(bank.rolling) <= max(0, (recent - 1) * spacing + 1)


def test_windows_of_references():
    cell = torch.zeros(1, 1, 1)
    for restrict, whole, radius in ((True, False, 5), (True, True, None), (False, False, None)):
        bank = MemoryBank(PropagateConfig(radius=5, recent_radius=2, restrict_first=restrict))
        bank.mark(0, cell, cell, whole_frame=whole)
        bank.add(1, cell, cell)
        assert [reference.radius for reference in bank.references(2)] == [radius, 2]


def one_cell(labels: int) -> torch.Tensor:
    return torch.zeros(labels, 1, 1)


shows = st.dictionaries(
    st.integers(0, 40), st.lists(st.booleans(), min_size=3, max_size=3), max_size=7
)


@given(shows, st.integers(0, 40), st.randoms(use_true_random=False))
def test_a_label_is_copied_from_the_next_mark_that_shows_it_on_either_side(marks, now, shuffle):
    bank = MemoryBank(PropagateConfig())
    order = sorted(marks)
    shuffle.shuffle(order)
    for index in order:
        shown = torch.tensor(marks[index])
        bank.mark(index, one_cell(3), one_cell(3), shown=shown, renewed=shown)
    found = {
        (mark.index, label)
        for mark in bank.neighbours(now)
        for label in (1, 2)
        if mark.trust[label] == 1
    }
    expected = set()
    for label in (1, 2):  # background is made up from the others
        showing = [index for index in marks if marks[index][label]]
        before = [index for index in showing if index <= now]
        after = [index for index in showing if index > now]
        expected |= {(max(before), label)} if before else set()
        expected |= {(min(after), label)} if after else set()
    assert found == expected
    assert all(bool(mark.trust[1:].any()) for mark in bank.neighbours(now))


def test_a_mark_forgets_only_what_it_renews():
    bank = MemoryBank(PropagateConfig(recent=3))
    for index in range(3):
        bank.add(index, one_cell(4), one_cell(4))
    shown, renewed = torch.tensor([0, 1, 0, 0]).bool(), torch.tensor([0, 1, 1, 0]).bool()
    bank.mark(3, one_cell(4), one_cell(4), shown=shown, renewed=renewed)
    recent = bank.references(3)[1:]
    assert [r.index for r in recent] == [2, 1, 0]
    assert all(r.trust.tolist() == [1, 0, 0, 1] for r in recent)


def test_a_recent_frame_that_is_marked_says_only_what_was_not_painted_on_it():
    bank = MemoryBank(PropagateConfig(recent=2))
    shown = torch.tensor([False, True, False])
    bank.mark(4, one_cell(3), one_cell(3), shown=shown, renewed=shown)
    bank.add(4, one_cell(3), one_cell(3), known=torch.tensor([True, True, True]))
    mark, recent = bank.references(5)
    assert (mark.radius, recent.radius) == (20, 8)
    assert mark.trust.tolist() == [0, 1, 0] and recent.trust.tolist() == [1, 0, 1]


def test_a_frame_that_knows_nothing_of_any_label_is_no_reference():
    bank = MemoryBank(PropagateConfig())
    bank.add(0, one_cell(2), one_cell(2), known=torch.tensor([True, False]))  # background alone
    bank.add(1, one_cell(2), one_cell(2), known=torch.tensor([False, True]))
    assert [r.index for r in bank.references(2)] == [1]


def test_room_for_new_labels_of_which_the_past_knows_nothing():
    bank = MemoryBank(PropagateConfig())
    shown = torch.tensor([True, True])
    bank.mark(0, one_cell(2), torch.ones(2, 1, 1), shown=shown, renewed=shown)
    bank.add(1, one_cell(2), torch.ones(2, 1, 1))
    bank.recalled = Reference(0, one_cell(2), torch.ones(2, 1, 1), 2, torch.ones(2))
    assert bank.relabel(Relabeling(Layout((1,)), Layout((1, 2, 3)))) == set()
    assert len(bank.references(2)) == 3
    for reference in bank.references(2):
        assert reference.label_map[:, 0, 0].tolist() == [1, 1, 0, 0]
        assert reference.trust.tolist() == [1, 1, 0, 0]


def indices(bank: MemoryBank, at: int) -> list[int]:
    return [reference.index for reference in bank.references(at)]


def test_early_frames_are_kept_as_in_mast():
    config = PropagateConfig(recent=3, spacing=2, pinned=(5,), radius=12, recent_radius=9)
    expected = {1: [0], 4: [0, 3, 1], 6: [0, 5, 3, 1], 7: [0, 5, 6, 4, 2], 20: [0, 5, 19, 17, 15]}
    for frames, wanted in expected.items():
        bank = filled(config, frames=frames)
        assert indices(bank, frames) == wanted
    radius = {r.index: r.radius for r in filled(config, frames=20).references(20)}
    assert radius == {0: 12, 5: 12, 19: 9, 17: 9, 15: 9}
    assert len(held(filled(config, frames=200))) <= 1 + 1 + 5


def test_a_later_mark_ends_what_was_kept():
    bank = filled(PropagateConfig(recent=1, pinned=(5,)), frames=8)
    cell = torch.zeros(1, 1, 1)
    bank.mark(8, cell, cell)
    assert 5 not in indices(bank, 9)


def test_copies_of_the_first_frame_fill_the_places_of_frames_to_come_as_in_crw():
    config = PropagateConfig(
        recent=4, fill=True, restrict_first=False, radius=3, recent_radius=2, radius_shape="disc"
    )
    one = [(r.index, r.radius) for r in filled(config, frames=1).references(1)]
    assert one == [(0, None), *[(0, 2)] * 4]
    three = [(r.index, r.radius) for r in filled(config, frames=3).references(3)]
    assert three == [(0, None), (2, 2), (1, 2), (0, 2), (0, 2)]
    assert indices(filled(config, frames=9), 9) == [0, 8, 7, 6, 5]


def test_recent_frames_may_be_searched_everywhere():
    bank = filled(PropagateConfig(first=False, recent=3, restrict_recent=False), frames=6)
    assert [(r.index, r.radius) for r in bank.references(6)] == [(5, None), (4, None), (3, None)]


def test_knobs_of_other_protocols_are_checked():
    assert PropagateConfig(pinned=[5]).pinned == (5,)  # pyright: ignore[reportArgumentType]
    assert PropagateConfig(top_k=None).top_k is None
    for knobs in ({"pinned": (0,)}, {"faint": 1.0}, {"faint": -0.1}, {"top_k": 0}):
        with pytest.raises(InputError):
            PropagateConfig(**knobs)


def test_looking_at_references_changes_none():
    bank = MemoryBank(PropagateConfig())
    for index in (0, 2, 6):
        bank.mark(index, one_cell(2), one_cell(2), shown=torch.tensor([True, True]))
    first = [mark.trust.tolist() for mark in bank.neighbours(1)]
    held = [mark.trust.tolist() for mark in bank.marked]
    assert [mark.index for mark in bank.neighbours(4)] == [2, 6]
    assert [mark.trust.tolist() for mark in bank.marked] == held
    assert [mark.trust.tolist() for mark in bank.neighbours(1)] == first
