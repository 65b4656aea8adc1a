"""What is at hand at a step: a function of the step alone, whatever was loaded before."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic import still
from video_clips import pictures, write_clip

from chromatrack.errors import InputError
from chromatrack.training.config import SamplerConfig
from chromatrack.training.data import clip_store as store
from chromatrack.training.data.clip_store import EXCHANGE_EVERY, FIRST, ClipSchedule, ClipStore
from chromatrack.training.data.index import Index, build_index

CPU = torch.device("cpu")
SMALL = SamplerConfig(crop=32, short_side=32, spacing_seconds=0.04, clip_seconds=0.5, seed=3)
"""Clips of 12 frames of 32 x 43: about 50 kB."""


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Six films of a second; two stretches each."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(6):
        write_clip(folder / f"{number}.mp4", pictures(24, seed=number), options={"g": "6"})
    return folder


@pytest.fixture
def index(films) -> Index:
    return build_index([films], cache=None)


def open_store(index: Index, config: SamplerConfig = SMALL, cache: Path | None = None) -> ClipStore:
    return ClipStore(index, config=config, device=CPU, cache=cache)


def same(a, b) -> bool:
    return (
        torch.equal(a.rgb, b.rgb)
        and np.array_equal(a.pts_seconds, b.pts_seconds)
        and np.array_equal(a.scene, b.scene)
        and a.weight == b.weight
    )


# -- the plan ------------------------------------------------------------------------------


def a_shelf(sizes: list[int], budget: float) -> ClipSchedule:
    order = np.random.default_rng(0).permutation(len(sizes))
    return ClipSchedule(order, np.asarray(sizes, float)[order], budget)


@given(
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=60),
    budget=st.floats(1, 3000),
    step=st.integers(0, 5000),
)
def test_the_shelf_fits_the_budget_and_changes_little(sizes, budget, step):
    shelf = a_shelf(sizes, budget)
    here, following = shelf.at(step), shelf.at(step + 1)
    assert len(set(here)) == len(here) >= 1
    assert len(here) == 1 or sum(sizes[number] for number in here) <= budget + 1e-6
    assert len(set(following) - set(here)) <= 1
    if sum(sizes) <= budget and step >= len(sizes):
        assert sorted(here) == list(range(len(sizes)))


def test_the_shelf_grows_then_exchanges_one_every_so_often():
    shelf = a_shelf([10] * 100, 400)
    assert [len(shelf.at(step)) for step in (0, 1, 10, 24, 1000)] == [FIRST, 17, 26, 40, 40]
    full = 40 - FIRST
    for turn in range(300):
        step = full + turn * EXCHANGE_EVERY
        assert shelf.at(step) == shelf.at(step + EXCHANGE_EVERY - 1)
        new = set(shelf.at(step + EXCHANGE_EVERY)) - set(shelf.at(step))
        assert len(new) == 1
    seen = set().union(*(shelf.at(step) for step in range(full, full + 100 * EXCHANGE_EVERY)))
    assert len(seen) == 100, "every stretch has its turn"


def test_an_empty_shelf():
    assert a_shelf([], 10).at(7) == ()


def test_the_order_depends_on_the_seed(index):
    plans = [
        open_store(index, replace(SMALL, seed=seed))._plan.order.tolist() for seed in (3, 3, 4)
    ]
    assert plans[0] == plans[1] != plans[2]


def test_predicted_bytes_are_those_decoded(index):
    for config in (SMALL, replace(SMALL, spacing_seconds=0.1, short_side=20)):
        opened = open_store(index, config)
        for number in range(opened.count):
            clip = opened.clip(number)
            assert clip is not None
            predicted = store.stretch_bytes(index, opened.stretches[number], config)
            assert clip.rgb.numel() == pytest.approx(predicted, rel=0.2)


# -- clips ---------------------------------------------------------------------------------


def tight(index: Index, share: float = 0.4) -> SamplerConfig:
    """A configuration under which a share of the clips fits."""
    opened = open_store(index)
    return replace(SMALL, memory_gigabytes=float(opened._plan.sizes.sum()) * share / 1e9)


def test_a_store_that_starts_late_gives_what_one_that_ran_gives(index):
    config = tight(index)
    ran, fresh = open_store(index, config), open_store(index, config)
    for step in range(0, 101, 5):
        ran.prepare(step)
    fresh.prepare(100)
    assert ran.available_clips(100) == fresh.available_clips(100) != ran.available_clips(0)
    for number in fresh.available_clips(100):
        a, b = ran.clip(number), fresh.clip(number)
        assert a is not None and b is not None and same(a, b)


def test_what_is_off_the_shelf_is_let_go(index):
    config = tight(index)
    opened = open_store(index, config)
    near: set[int] = set()
    for step in range(0, 400, 20):
        opened.prepare(step)
        near = {*opened.available_clips(step), *opened.available_clips(step + EXCHANGE_EVERY)}
        assert set(opened.available_clips(step)) <= set(opened._kept) <= near
    assert len(near) < opened.count


def test_clips_are_decoded_once_while_on_the_shelf(index, monkeypatch):
    count = 0
    decode = store.decode_stretch

    def counted(*args, **knobs):
        nonlocal count
        count += 1
        return decode(*args, **knobs)

    monkeypatch.setattr(store, "decode_stretch", counted)
    opened = open_store(index)
    for step in range(5):
        opened.prepare(step)
        assert all(opened.clip(number) is not None for number in opened.available_clips(step))
    assert count == opened.count == 12


def test_a_clip_is_decoded_on_demand_too(index):
    opened = open_store(index)
    first = opened.clip(5)
    assert first is not None and first is opened.clip(5)
    assert opened.index.videos[opened.stretches[5].video].path.endswith("2.mp4")


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_a_broken_video_gives_none_and_one_warning(index, films, tmp_path, cache):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"was a video once" * 100)
    broken = replace(index.videos[0], path=str(bad))
    index = replace(index, videos=(broken, *index.videos[1:3]))
    opened = open_store(index, replace(SMALL, cache=cache), tmp_path / "cache")
    lost = [n for n, stretch in enumerate(opened.stretches) if stretch.video == 0]
    with pytest.warns(UserWarning, match=r"training data: .*bad\.mp4") as told:
        for _ in range(3):
            opened.prepare(0)
            assert [opened.clip(number) for number in lost] == [None] * len(lost)
    assert len(told) == 1
    assert opened.clip(lost[-1] + 1) is not None and lost[0] in opened.available_clips(0)


# -- where clips are kept ------------------------------------------------------------------


def test_all_places_give_the_same_clips(index, tmp_path):
    places: list[Literal["memory", "device", "disk"]] = ["memory", "device", "disk", "disk"]
    opened = [open_store(index, replace(SMALL, cache=p), tmp_path / "cache") for p in places]
    for number in range(12):
        clips = [one.clip(number) for one in opened]
        assert all(clip is not None and same(clip, clips[0]) for clip in clips)


def test_frames_on_disk_are_reused_until_the_video_changes(films, tmp_path, monkeypatch):
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    for name in ("0.mp4", "1.mp4"):
        (data / name).write_bytes((films / name).read_bytes())
    config = replace(SMALL, cache="disk", clip_seconds=2.0)

    def clips() -> list[Path]:
        return sorted(cache.rglob("*.safetensors"))

    first = open_store(build_index([data], cache=None), config, cache)
    kept = [first.clip(number) for number in range(2)]
    assert len(clips()) == 2 and list(first.available_clips(9)) == [0, 1]
    stamps = [path.stat().st_mtime_ns for path in clips()]
    again = open_store(build_index([data], cache=None), config, cache)
    monkeypatch.setattr(store, "decode_stretch", lambda *_, **__: pytest.fail("decoded again"))
    for number in range(2):
        a, b = again.clip(number), kept[number]
        assert a is not None and b is not None and same(a, b)
    assert [path.stat().st_mtime_ns for path in clips()] == stamps
    monkeypatch.undo()
    write_clip(data / "1.mp4", pictures(30, seed=77))
    changed = open_store(build_index([data], cache=None), config, cache).clip(1)
    assert changed is not None and len(changed.rgb) == 30
    assert len(clips()) == 2, "the clip of the old file is gone"


def test_a_damaged_file_of_frames_is_made_anew(index, tmp_path):
    config = replace(SMALL, cache="disk")
    right = open_store(index, config, tmp_path).clip(0)
    (frames,) = tmp_path.rglob("*.safetensors")
    for content in (b"", b"nonsense", frames.read_bytes()[:500]):
        frames.unlink()
        frames.write_bytes(content)
        found = open_store(index, config, tmp_path).clip(0)
        assert found is not None and right is not None and same(found, right)


def test_the_disk_is_filled_in_the_background(index, tmp_path):
    opened = open_store(index, replace(SMALL, cache="disk"), tmp_path)
    for step in range(200):
        opened.prepare(step)
        for future in list(opened._coming.values()):
            future.result()
    assert len(list(tmp_path.rglob("*.safetensors"))) == opened.count
    assert len(opened._kept) <= 8


def test_a_full_disk_is_warned_of_once(index, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    opened = open_store(index, replace(SMALL, cache="disk"), tmp_path)
    with pytest.warns(UserWarning, match="No space left on device") as told:
        assert all(opened.clip(number) is not None for number in range(4))
    assert len(told) == 1 and not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_disk_needs_a_folder(index):
    with pytest.raises(InputError, match="frames kept on disk need a cache folder"):
        open_store(index, replace(SMALL, cache="disk"))


def test_with_nothing_kept_only_what_is_near_is_decoded(index):
    config = replace(SMALL, cache="none", gap_seconds=(0.04, 0.1), clip_seconds=9.0)
    opened = open_store(index, config)
    longest = max(s.end_seconds - s.start_seconds for s in opened.stretches)
    assert 0.2 < longest < 0.6 and list(opened.available_clips(0)) == list(range(opened.count))
    for number in range(opened.count):
        assert opened.clip(number) is not None
    assert len(opened._kept) <= 8


# -- photos --------------------------------------------------------------------------------


@pytest.fixture
def album(tmp_path) -> Index:
    for number in range(4):
        Image.fromarray(still((60, 90), seed=number)).save(tmp_path / f"{number}.png")
    (tmp_path / "4.png").write_bytes(b"no image")
    return build_index([tmp_path], cache=None)


def test_photos_come_at_the_configured_size_and_stay_while_there_is_room(album):
    opened = open_store(album)
    photo = opened.photo(1)
    assert photo is not None and photo.shape == (3, 32, 48) and photo is opened.photo(1)
    small = open_store(album, replace(SMALL, memory_gigabytes=6e-6))
    kept = [small.photo(n) is small.photo(n) for n in range(4)]
    assert kept == [True, False, False, False]
    again = small.photo(3)
    assert again is not None and torch.equal(again, open_store(album).photo(3))  # type: ignore[arg-type]
    assert opened.count == 0 and list(opened.available_clips(3)) == []


def test_a_photo_that_cannot_be_read_is_none_and_warned_of_once(album):
    opened = open_store(album)
    with pytest.warns(UserWarning, match=r"4\.png: cannot be read as an image") as told:
        assert opened.photo(4) is None and opened.photo(4) is None
    assert len(told) == 1
    opened.prepare(0)


def test_videos_and_photos_share_the_memory(album, index):
    both = replace(album, videos=index.videos)
    opened = open_store(both, replace(SMALL, memory_gigabytes=60e-6))
    assert opened._photo_budget == pytest.approx(20e3, rel=0.2)
    assert opened._plan.budget + opened._photo_budget == pytest.approx(60e3)


def test_a_closed_store_stops_decoding(index):
    opened = open_store(index)
    opened.prepare(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened.close()
    assert opened._pool._shutdown
