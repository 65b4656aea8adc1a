"""Step -> batch: the same whoever asks, whenever; frames by time; what is broken is passed over."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import still

from chromatrack.errors import InputError, TrainingError
from chromatrack.ops.coords import FeatureSpec, pixel_grid
from chromatrack.training.config import SamplerConfig
from chromatrack.training.data.sampler import TRIES, Batch, Sampler

SPEC = FeatureSpec(64, 8, 0.0)
SMALL = SamplerConfig(crop=32, short_side=40, seed=3)


def clip_of(*, frames=20, size=(40, 56), spacing=0.15, weight=1.0, scene=None, seed=0) -> Any:
    """Random frames, so that no two are alike."""
    rng = np.random.default_rng(seed)
    rgb = torch.from_numpy(rng.integers(0, 256, (frames, 3, *size), dtype=np.uint8))
    scene = np.zeros(frames, dtype=int) if scene is None else scene
    times = np.arange(frames) * spacing
    return SimpleNamespace(rgb=rgb, pts_seconds=times, scene=scene, weight=weight)


def photo_of(size=(48, 60), *, seed=0) -> torch.Tensor:
    return torch.from_numpy(still(size, seed=seed)).permute(2, 0, 1).contiguous()


class FakeStore:
    """Clips and photos in memory; None is a broken one. Each clip is a video unless told."""

    def __init__(self, clips=(), photos=(), *, videos=None, shelf=None) -> None:
        self.clips, self.photos, self._shelf = clips, photos, shelf
        videos = list(range(len(clips))) if videos is None else videos
        self.stretches = [SimpleNamespace(video=video) for video in videos]
        self.index = SimpleNamespace(videos=sorted(set(videos)), photos=photos)
        self.count = len(clips)
        self.turned: list[int] = []

    def available_clips(self, step: int) -> list[int]:
        return list(range(self.count)) if self._shelf is None else self._shelf(step)

    def prepare(self, step: int) -> None:
        self.turned.append(step)

    def clip(self, number: int) -> Any:
        assert number in self.available_clips(self.turned[-1])
        return self.clips[number]

    def photo(self, number: int) -> torch.Tensor | None:
        return self.photos[number]


def sampler_of(clips=(), photos=(), *, store=None, **knobs) -> Sampler:
    store = store or FakeStore(list(clips), list(photos))
    return Sampler(cast(Any, store), SPEC, replace(SMALL, **knobs))


def mixed(**knobs) -> Sampler:
    """Videos of two sizes, one of them portrait, and a landscape and a portrait photo."""
    clips = [clip_of(seed=n, size=(40, 56) if n % 2 else (60, 40)) for n in range(3)]
    return sampler_of(clips, [photo_of(), photo_of((70, 44), seed=1)], **knobs)


def assert_same(one: Batch, other: Batch) -> None:
    for field in fields(Batch):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert a.dtype == b.dtype, field.name
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def known_of(batch: Batch) -> list[bool]:
    return torch.isfinite(batch.correspondence).flatten(1).any(1).tolist()


MIXED = mixed(thin_plate=0.03)


@given(step=st.integers(0, 10**6), size=st.integers(3, 7), world=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_every_size_of_the_world_makes_the_same_examples(step, size, world):
    whole = MIXED.batch(step, size=size)
    parts = [mixed_part(step, size, rank, world) for rank in range(world)]
    for field in fields(Batch):
        joined = torch.empty_like(getattr(whole, field.name))
        for rank, part in enumerate(parts):
            joined[rank::world] = getattr(part, field.name)
        torch.testing.assert_close(
            joined, getattr(whole, field.name), rtol=0, atol=0, equal_nan=True
        )


def mixed_part(step: int, size: int, rank: int, world: int) -> Batch:
    """As another process would make it."""
    return mixed(thin_plate=0.03).batch(step, size=size, rank=rank, world=world)


def test_resuming_at_a_step_gives_the_batches_of_going_there():
    through = list(itertools.islice(mixed().batches(3), 6))
    resumed = itertools.islice(mixed().batches(3, start=4), 2)
    for one, other in zip(through[4:], resumed, strict=True):
        assert_same(one, other)


def test_batches_of_a_rank_are_its_own():
    one = next(mixed().batches(4, start=2, rank=1, world=2))
    assert_same(one, mixed().batch(2, size=4, rank=1, world=2))


def test_steps_seeds_and_examples_differ():
    first = mixed().batch(0, size=6)
    assert not torch.equal(first.lab, mixed().batch(1, size=6).lab)
    assert not torch.equal(first.lab, mixed(seed=4).batch(0, size=6).lab)
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(first.lab, 2))


def test_what_a_batch_holds():
    batch = mixed(views=3).batch(0, size=5)
    assert batch.lab.shape == batch.seen.shape == (5, 3, 3, 32, 32)
    assert batch.lab.dtype == batch.seen.dtype == torch.float32
    assert batch.hidden.shape == (5, 3) and batch.hidden.dtype == torch.bool
    assert batch.correspondence.shape == (5, 4, 4, 2)
    assert batch.correspondence.dtype == batch.gap_seconds.dtype == torch.float32
    assert batch.gap_seconds.shape == batch.source.shape == (5,)
    assert batch.source.dtype == torch.int64
    moved = batch.to("meta")
    assert moved.lab.device.type == moved.source.device.type == "meta"


def test_the_store_turns_to_the_step_and_its_shelf_is_all_that_is_drawn_from():
    clips = [clip_of(seed=n) for n in range(4)]
    store = FakeStore(clips, shelf=lambda step: [step % 4])
    sampler = sampler_of(store=store)
    for step in range(4):
        assert sampler.batch(step, size=3).source.tolist() == [step] * 3
    assert store.turned == [0, 1, 2, 3]


def test_stretches_of_one_video_are_the_same_source_and_photos_come_after_videos():
    store = FakeStore([clip_of(seed=n) for n in range(3)], [photo_of()], videos=[0, 0, 1])
    sampler = sampler_of(store=store)
    batches = [sampler.batch(step, size=8) for step in range(6)]
    assert set(torch.cat([b.source for b in batches]).tolist()) == {0, 1, 2}
    photos = torch.cat([b.source == 2 for b in batches])
    assert torch.cat([b.gap_seconds for b in batches])[photos].eq(0).all()


def test_frames_have_gaps_in_seconds_and_stills_none():
    batch = mixed(photo_share=0.5, gap_seconds=(0.25, 0.65)).batch(0, size=40)
    gaps = batch.gap_seconds[batch.gap_seconds > 0].tolist()
    known = known_of(batch)
    assert known == [gap == 0 for gap in batch.gap_seconds.tolist()]
    assert 10 < sum(known) < 30
    assert all(0.29 < gap < 0.61 for gap in gaps) and len(set(gaps)) == 3


def test_the_share_of_stills_is_obeyed():
    assert all(known_of(mixed(photo_share=1.0).batch(0, size=12)))
    assert not any(known_of(mixed(photo_share=0.0).batch(0, size=12)))


def test_most_stills_are_photos_when_there_are_any():
    batch = mixed(photo_share=1.0).batch(0, size=60)
    assert 25 < int((batch.source >= 3).sum()) < 47


def test_without_photos_video_frames_are_the_stills():
    batch = sampler_of([clip_of()]).batch(0, size=20)
    assert 4 < sum(known_of(batch)) < 16 and batch.source.eq(0).all()


def test_without_videos_everything_is_a_still():
    batch = sampler_of([], [photo_of()], photo_share=0.0).batch(0, size=5)
    assert all(known_of(batch)) and batch.source.eq(0).all()


def test_what_is_broken_is_passed_over_the_same_way_every_time():
    def make() -> Sampler:
        return sampler_of([None, clip_of(), None], [None, photo_of(), None, None])

    batch = make().batch(0, size=20)
    assert set(batch.source.tolist()) == {1, 4}
    assert_same(batch, make().batch(0, size=20))


def test_broken_videos_leave_it_to_photos_and_the_other_way_round():
    assert sampler_of([None] * 3, [photo_of()]).batch(0, size=6).source.eq(3).all()
    assert sampler_of([clip_of()], [None] * 3).batch(0, size=6).source.eq(0).all()


@pytest.mark.parametrize(("clips", "photos"), [([], []), ([None], []), ([None], [None])])
def test_nothing_usable_is_one_clear_error(clips, photos):
    message = f"{TRIES} draws .* {len(clips)} clips .* {len(photos)} photos .* check the files"
    with pytest.raises(TrainingError, match=message):
        sampler_of(clips, photos).batch(0, size=1)


def test_clips_without_a_pair_of_frames_are_one_clear_error():
    alone = clip_of(scene=np.arange(20))
    with pytest.raises(TrainingError, match=r"no 2 frames of one scene are 0\.1 to 0\.7 s apart"):
        sampler_of([alone], [photo_of()], photo_share=0.0).batch(0, size=1)


def test_a_clip_without_a_pair_is_passed_over():
    sampler = sampler_of([clip_of(scene=np.arange(20)), clip_of(seed=1)], photo_share=0.0)
    assert sampler.batch(0, size=10).source.eq(1).all()


def test_clips_are_drawn_by_their_weight():
    clips = [clip_of(weight=0.1), clip_of(weight=1.0, seed=1)]
    source = sampler_of(clips, photo_share=0.0).batch(0, size=200).source
    assert 5 < int((source == 0).sum()) < 35  # 1 in 11


def test_where_no_clip_is_worth_drawing_all_are():
    clips = [clip_of(weight=1e-9, seed=n) for n in range(2)]
    assert set(sampler_of(clips).batch(0, size=12).source.tolist()) == {0, 1}


def sample(picture: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
    grid = xy * (2 / (picture.shape[-1] - 1)) - 1
    return F.grid_sample(picture[None], grid[None, None], align_corners=True)[0, :, 0].T


def test_known_motion_points_from_the_target_into_view_0():
    y, x = np.mgrid[:60, :80] / 60  # smooth, so that a view of a view is nearly the same picture
    smooth = np.stack([0.3 + 0.4 * x, 0.2 + 0.6 * y, 0.5 + 0.2 * np.sin(4 * x) * y])
    photo = torch.from_numpy((255 * smooth).astype(np.uint8))
    config = {"photo_share": 1.0, "jitter": 0.0, "thin_plate": 0.03, "views": 3}
    batch = sampler_of([], [photo], **config).batch(0, size=20)
    here = pixel_grid((4, 4), stride=8, offset=0).long()
    errors, others = [], []
    for lab, known in zip(batch.lab, batch.correspondence, strict=True):
        inside = torch.isfinite(known).all(-1)
        seen = lab[-1][:, here[..., 1], here[..., 0]].permute(1, 2, 0)[inside]
        errors.append((sample(lab[0], known[inside]) - seen).abs().flatten())
        others.append((sample(lab[1], known[inside]) - seen).abs().flatten())
    assert torch.cat(errors).numel() > 300
    assert float(torch.cat(errors).quantile(0.99)) < 0.03 < float(torch.cat(others).mean())


def test_all_views_of_an_example_are_mirrored_or_none():
    batch = sampler_of([], [photo_of()], photo_share=1.0).batch(0, size=40)
    steps = batch.correspondence.diff(dim=2)[..., 0]
    assert (steps[torch.isfinite(steps)] > 0).all()


def test_regular_clips_share_one_view():
    frame = photo_of((40, 56))
    clip = clip_of(spacing=1 / 6)
    clip.rgb[:] = frame  # nothing moves: only the view could differ
    knobs = {"views": 4, "gap_seconds": (1 / 6, 1 / 6), "photo_share": 0.0, "regular_gap": True}
    batch = sampler_of([clip], independent_views=False, **knobs).batch(0, size=4)
    assert (batch.lab == batch.lab[:, :1]).all() and torch.isnan(batch.correspondence).all()
    torch.testing.assert_close(batch.gap_seconds, torch.full((4,), 0.5))
    apart = sampler_of([clip], **knobs).batch(0, size=4)
    assert not torch.equal(apart.lab[:, 0], apart.lab[:, 1])


def test_regular_clips_run_forward_in_time():
    clip = clip_of(spacing=1 / 6)
    clip.rgb[:] = (torch.arange(20) * 10).to(torch.uint8).reshape(20, 1, 1, 1)  # ever lighter
    knobs = {"views": 4, "gap_seconds": (1 / 6, 1 / 6), "photo_share": 0.0, "regular_gap": True}
    lightness = sampler_of([clip], **knobs).batch(0, size=8).lab[:, :, 0, 0, 0]
    assert (lightness.diff(dim=1) > 0).all()


def test_a_regular_gap_that_no_clip_has_is_an_error_not_a_photo():
    knobs = {"photo_share": 0.0, "regular_gap": True, "gap_seconds": (0.1, 0.3)}
    sampler = sampler_of([clip_of(spacing=0.5)], [photo_of()], **knobs)
    with pytest.raises(TrainingError, match="smaller spacing"):
        sampler.batch(0, size=1)


def test_one_view_of_a_still_stands_still():
    batch = sampler_of(
        [], [photo_of()], independent_views=False, photo_share=1.0, thin_plate=0.05
    ).batch(0, size=3)
    grid = pixel_grid((4, 4), stride=8, offset=0)
    inside = torch.isfinite(batch.correspondence)
    assert inside.float().mean() > 0.5
    expected = grid.expand(3, 4, 4, 2)
    torch.testing.assert_close(batch.correspondence[inside], expected[inside], atol=1e-3, rtol=0)


def test_a_thin_plate_bends_stills_only():
    knobs = {"photo_share": 0.0, "jitter": 0.0}
    assert_same(
        mixed(thin_plate=0.0, **knobs).batch(0, size=4),
        mixed(thin_plate=0.05, **knobs).batch(0, size=4),
    )
    knobs = {"photo_share": 1.0, "jitter": 0.0}
    one = mixed(thin_plate=0.0, **knobs).batch(0, size=1)
    other = mixed(thin_plate=0.05, **knobs).batch(0, size=1)
    assert torch.equal(one.lab[:, 0], other.lab[:, 0])  # the reference has an exact inverse
    assert not torch.equal(one.lab[:, 1], other.lab[:, 1])


def test_jitter_changes_what_is_seen_and_not_the_truth():
    plain, changed = (mixed(jitter=strength).batch(0, size=4) for strength in (0.0, 0.5))
    assert torch.equal(plain.seen, plain.lab) and torch.equal(plain.lab, changed.lab)
    shift = (changed.seen - changed.lab).mean((-2, -1))
    assert len(shift[..., 0].flatten().unique()) == 8  # every view its own


def test_what_is_hidden_follows_the_recipe():
    grey = mixed(hide="color", photo_share=1.0).batch(0, size=20).hidden
    assert grey.tolist() == [[False, True, True]] * 20
    assert not mixed(hide="none").batch(0, size=20).hidden.any()
    moving = mixed(photo_share=0.0).batch(0, size=20).hidden
    assert moving.any(1).all() and not moving.all(1).any()


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 10, 30), (1.0, 40, 40)])
def test_some_stills_hide_nothing(share, least, most):
    hidden = mixed(photo_share=1.0, stills_show_all=share).batch(0, size=40).hidden
    assert least <= int((~hidden.any(1)).sum()) <= most


@pytest.mark.parametrize(("size", "rank", "world"), [(2, 0, 3), (4, 2, 2), (4, -1, 2), (0, 0, 1)])
def test_a_process_without_an_example_is_refused(size, rank, world):
    with pytest.raises(InputError, match="give each process an example"):
        mixed().batch(0, size=size, rank=rank, world=world)


@pytest.mark.parametrize(
    "knobs",
    [
        {"views": 0},
        {"crop": 4},
        {"seed": -1},
        {"photo_share": 1.5},
        {"stills_show_all": -0.1},
        {"jitter": -1.0},
        {"thin_plate": float("nan")},
        {"spacing_seconds": 0.0},
        {"memory_gigabytes": 0.0},
        {"gap_seconds": (0.7, 0.1)},
        {"gap_seconds": (0.0, 0.1)},
        {"hide": "all"},
        {"cache": "tape"},
    ],
    ids=str,
)
def test_knobs_are_checked_at_the_door(knobs):
    with pytest.raises(InputError, match=f"{next(iter(knobs))}: expected .*, got"):
        replace(SMALL, **knobs)
