"""Light and hidden channels: what changes, by how much, and what every example has of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromatrack.errors import InputError
from chromatrack.training.data.augment import change_light, draw_hidden, draw_light

seeds = st.integers(0, 10**6)


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(count: int, **knobs) -> list:
    rng = rng_of()
    return [draw_light(rng, views=2, **knobs) for _ in range(count)]


def test_dropout_hides_a_known_mix():
    rng = rng_of()
    rows = [tuple(draw_hidden(rng, hide="dropout").tolist()) for _ in range(4000)]
    shares = {row: rows.count(row) / len(rows) for row in set(rows)}
    expected = {
        (False, True, True): 6 / 12,
        (False, True, False): 2 / 12,
        (False, False, True): 2 / 12,
        (True, False, True): 1 / 12,
        (True, True, False): 1 / 12,
    }
    assert shares.keys() == expected.keys()  # never all three, never none
    assert all(abs(shares[row] - share) < 0.03 for row, share in expected.items())


def test_drawn_channels_are_the_callers_to_change():
    for seed in range(20):
        draw_hidden(rng_of(seed), hide="dropout")[:] = True
    assert not any(draw_hidden(rng_of(seed), hide="dropout").all() for seed in range(20))


def test_color_and_nothing_are_always_the_same():
    for seed in range(20):
        assert draw_hidden(rng_of(seed), hide="color").tolist() == [False, True, True]
        assert draw_hidden(rng_of(seed), hide="none").tolist() == [False, False, False]


def test_another_word_is_refused():
    with pytest.raises(InputError, match="dropout or color or none, got 'ab'"):
        draw_hidden(rng_of(), hide="ab")  # type: ignore[arg-type]


def test_strength_0_changes_nothing():
    lab = torch.randn(2, 2, 3, 8, 8)
    assert torch.equal(change_light(lab, drawn(2, strength=0)), lab)


@given(seed=seeds, strength=st.floats(0.01, 1))
@settings(max_examples=20, deadline=None)
def test_every_view_gets_its_own_gain_and_shift(seed, strength):
    change = draw_light(rng_of(seed), views=3, strength=strength)
    lab = torch.linspace(-1, 1, 3 * 3 * 16 * 16).reshape(1, 3, 3, 16, 16)
    seen = change_light(lab, [change])
    gain, shift = (torch.from_numpy(x)[:, :, None, None] for x in (change.gain, change.shift))
    assert float((seen[0] - lab[0] * gain - shift).abs().max()) < 6 * 0.02 * strength
    assert len(np.unique(change.gain[:, 0])) == len(np.unique(change.shift[:, 0])) == 3
    assert np.array_equal(change.gain[:, 1], change.gain[:, 2])  # a and b alike: no hue turns


def test_the_strength_is_the_spread_of_what_changes():
    changes = drawn(2000, strength=0.5)
    gains, shifts = (np.stack([getattr(c, n) for c in changes]) for n in ("gain", "shift"))
    np.testing.assert_allclose(np.log(gains).std((0, 1)), [0.1, 0.125, 0.125], rtol=0.05)
    np.testing.assert_allclose(shifts.std((0, 1)), [0.06, 0.02, 0.02], rtol=0.05)
    assert abs(np.log(gains).mean()) < 0.01 and abs(shifts.mean()) < 0.002
    flat = change_light(torch.zeros(1, 2, 3, 64, 64), changes[:1])[0]
    torch.testing.assert_close(flat.std((-2, -1)), torch.full((2, 3), 0.01), rtol=0.1, atol=0)


def test_an_example_looks_the_same_in_every_batch():
    lab, changes = torch.randn(3, 2, 3, 8, 8), drawn(3, strength=1)
    together = change_light(lab, changes)
    alone = [change_light(lab[i : i + 1], changes[i : i + 1]) for i in (2, 0, 1)]
    assert torch.equal(together[[2, 0, 1]], torch.cat(alone))


def test_examples_have_noise_of_their_own():
    changes = [replace(c, gain=c.gain * 0 + 1, shift=c.shift * 0) for c in drawn(2, strength=1)]
    one, other = change_light(torch.zeros(2, 2, 3, 8, 8), changes)
    assert not torch.equal(one, other)


def test_the_truth_is_left_alone():
    lab = torch.randn(1, 2, 3, 8, 8)
    before = lab.clone()
    change_light(lab, drawn(1, strength=1))
    assert torch.equal(lab, before)


def test_the_noise_of_no_two_pixels_or_views_is_the_same():
    seen = change_light(torch.zeros(1, 2, 3, 8, 8), drawn(1, strength=1))[0]
    assert len(seen.flatten().unique()) > 0.95 * seen.numel()
