"""Training data: what is found, what is skipped, and views whose motion is known exactly."""

from __future__ import annotations

import io
import tarfile
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from synthetic import moving_clip, still, write_clip

from chromatrack.color import lab_to_rgb
from chromatrack.coords import pixel_grid
from chromatrack.encoder import FeatureSpec
from chromatrack.errors import InputError, TrainingError
from chromatrack.learn.clips import (
    Clip,
    ClipSampler,
    Photo,
    SamplerConfig,
    Sources,
    _pick_times,
    cut_view,
    find_sources,
    load_clip,
    perturb,
    random_view,
    view_correspondence,
)

SPEC = FeatureSpec(64, 8, 0.0)
SMALL = SamplerConfig(crop=48, short_side=56, spacing_seconds=0.04, seed=3)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """A 25 fps video of 15 frames."""
    frames = moving_clip(frames=15, size=(64, 80), radius=10)
    return write_clip(tmp_path_factory.mktemp("film") / "film.mp4", frames)


def save_photo(path: Path, *, seed: int = 0, size=(60, 72)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(still(size, seed=seed)).save(path)
    return path


def write_shard(path: Path, names: list[str], *, mode: Literal["w", "w:gz"] = "w") -> Path:
    with tarfile.open(path, mode) as shard:
        for number, name in enumerate(names):
            buffer = io.BytesIO()
            Image.fromarray(still((40, 50), seed=number)).save(buffer, format="png")
            info = tarfile.TarInfo(name)
            info.size = len(buffer.getvalue())
            shard.addfile(info, io.BytesIO(buffer.getvalue()))
    return path


def test_videos_photos_and_shards_are_found_in_nested_folders(tmp_path, film):
    save_photo(tmp_path / "a" / "b" / "deep.PNG")
    save_photo(tmp_path / "flat.jpg")
    (tmp_path / "notes.txt").write_text("nothing to learn")
    write_shard(tmp_path / "a" / "shard.tar", ["x.png", "sub/y.jpg", "meta.json"])
    found = find_sources([tmp_path, film])
    assert found.videos == [film]
    names = [(photo.path.name, photo.length is not None) for photo in found.photos]
    assert sorted(names) == [
        ("deep.PNG", False), ("flat.jpg", False), ("shard.tar", True), ("shard.tar", True),
    ]  # fmt: skip


def test_photos_in_a_shard_are_read_in_place(tmp_path):
    found = find_sources([write_shard(tmp_path / "s.tar", ["x.png", "y.png"])])
    for number, photo in enumerate(found.photos):
        assert np.array_equal(np.asarray(photo.open()), still((40, 50), seed=number))


def test_photos_are_upright_rgb(tmp_path):
    image = Image.fromarray(still((40, 60))).convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "turned.jpg", exif=exif)
    opened = Photo(tmp_path / "turned.jpg").open()
    assert opened.size == (40, 60) and opened.mode == "RGB"


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="nowhere' does not exist; name files or folders"):
        find_sources([tmp_path / "nowhere"])
    (tmp_path / "notes.txt").write_text("nothing to learn")
    with pytest.raises(InputError, match=r"no video, image or \.tar shard in"):
        find_sources([tmp_path])
    packed = write_shard(tmp_path / "packed.tar", ["x.png"], mode="w:gz")
    with pytest.raises(InputError, match=r"packed\.tar: expected an uncompressed tar shard"):
        find_sources([packed])


def test_clips_keep_time_and_stay_within_their_limits(film):
    clip = load_clip(film, short_side=32, spacing_seconds=0.1, limit=4)
    assert clip is not None
    assert clip.rgb.shape == (4, 3, 32, 40) and clip.rgb.dtype == torch.uint8
    np.testing.assert_allclose(np.diff(clip.pts_seconds), 0.12, atol=1e-6)  # 3 frames of 40 ms
    every = load_clip(film, short_side=64, spacing_seconds=0.0, limit=99)
    assert every is not None and every.rgb.shape == (15, 3, 64, 80)


def test_damaged_videos_give_what_they_hold_and_a_warning(tmp_path, film):
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no video" * 99)
    with pytest.warns(UserWarning, match=r"training data: .*junk\.mp4"):
        assert load_clip(junk, short_side=32, spacing_seconds=0, limit=9) is None
    whole = write_clip(tmp_path / "whole.mkv", moving_clip(frames=40, size=(64, 80), noise=0.1))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.warns(UserWarning, match=r"training data: .*cut\.mkv"):
        clip = load_clip(cut, short_side=64, spacing_seconds=0, limit=99)
    assert clip is not None and 2 <= len(clip.rgb) < 40


def test_a_video_of_one_frame_is_no_clip(tmp_path):
    single = write_clip(tmp_path / "single.mp4", moving_clip(frames=1, size=(64, 80)))
    assert load_clip(single, short_side=64, spacing_seconds=0, limit=9) is None


def sampler_of(videos=(), photos=(), **changes) -> ClipSampler:
    config = SamplerConfig(**{**SMALL.__dict__, **changes})
    return ClipSampler(Sources(list(videos), [Photo(p) for p in photos]), SPEC, config)


def test_batches_are_as_stated(tmp_path, film):
    photos = [save_photo(tmp_path / f"{n}.png", seed=n) for n in range(3)]
    sampler = sampler_of([film], photos)
    batch = next(sampler.batches(8))
    assert batch.lab.shape == (8, 2, 3, 48, 48) and batch.lab.dtype == torch.float32
    assert bool(torch.isfinite(batch.lab).all()) and float(batch.lab.abs().max()) < 3
    assert batch.correspondence.shape == (8, 6, 6, 2)
    known = torch.isfinite(batch.correspondence).flatten(1).any(1)
    assert 0 < int(known.sum()) < 8  # pairs of frames and stills


def test_a_batch_depends_on_seed_and_step_alone(tmp_path):
    photos = [save_photo(tmp_path / f"{n}.png", seed=n) for n in range(3)]
    a, b = sampler_of((), photos), sampler_of((), photos)
    later = a.batches(2)
    next(later)
    resumed = b.batches(2, start=1)
    assert torch.equal(next(later).lab, next(resumed).lab)
    assert not torch.equal(a.batch(2, step=0).lab, a.batch(2, step=1).lab)
    other = sampler_of((), photos, seed=4)
    assert not torch.equal(a.batch(2, step=0).lab, other.batch(2, step=0).lab)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_of_stills(film, share):
    batch = next(sampler_of([film], photo_share=share).batches(6))
    known = torch.isfinite(batch.correspondence).flatten(1).any(1)
    assert known.tolist() == [share == 1.0] * 6


def test_broken_photos_are_skipped_with_a_warning(tmp_path):
    good = save_photo(tmp_path / "good.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:200])
    with pytest.warns(UserWarning, match=r"training data: .*broken\.png"):
        batch = sampler_of((), [good, broken]).batch(8, step=0)
    assert bool(torch.isfinite(batch.lab).all())
    with (
        pytest.warns(UserWarning),
        pytest.raises(TrainingError, match="20 photos in a row could not be read"),
    ):
        sampler_of((), [broken]).batch(1, step=0)


def test_broken_videos_alone_are_an_error(tmp_path):
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no video" * 99)
    with (
        pytest.warns(UserWarning),
        pytest.raises(TrainingError, match="none of the 1 videos read so far gave two frames"),
    ):
        next(sampler_of([junk]).batches(1))


def fake_clips(sizes: dict[str, int | None], monkeypatch) -> list[Path]:
    """Videos by name that decode to so many frames of 1 kB (None: broken)."""

    def load(path, **_):
        count = sizes[path.name]
        if count is None:
            return None
        rgb = torch.full((count, 3, 20, 17), int(path.name), dtype=torch.uint8)
        return Clip(rgb, np.arange(count) / 10)

    monkeypatch.setattr("chromatrack.learn.clips.load_clip", load)
    return [Path(name) for name in sizes]


@pytest.mark.parametrize(
    "sizes",
    [
        dict.fromkeys(map(str, range(30)), 10),  # all alike
        {str(n): 40 if n % 3 == 0 else 4 for n in range(30)},  # long and short ones
        {"0": 10, "1": None, "2": 10, "3": None},  # broken ones among them
    ],
    ids=["alike", "mixed", "broken"],
)
def test_more_data_than_memory_is_rotated_through(monkeypatch, sizes):
    usable = [name for name, count in sizes.items() if count]
    largest = max(count for count in sizes.values() if count)
    limit = 1020 * largest * min(3, len(usable) - 1)
    sampler = sampler_of(fake_clips(sizes, monkeypatch), memory_gigabytes=limit / 1e9)
    next(sampler.batches(1))
    for _ in range(3):  # three times round: it does not come to rest
        seen = set()
        for step in range(1, 1000):
            sampler._refresh(step)
            seen.update(str(int(clip.rgb[0, 0, 0, 0])) for clip in sampler.pool)
            assert sampler.pool and sampler.pool_bytes <= limit + 1020 * largest
        assert seen == set(usable)


def test_data_that_fits_is_read_once(monkeypatch):
    sizes = {"0": 10, "1": None, "2": 10}
    sampler = sampler_of(fake_clips(sizes, monkeypatch))
    next(sampler.batches(1))
    clips = list(sampler.pool)
    for step in range(100):
        sampler._refresh(step)
    assert len(clips) == 2 and all(a is b for a, b in zip(sampler.pool, clips, strict=True))


def uneven_times(seed: int = 0) -> np.ndarray:
    """Presentation times of a variable frame rate: 20 ms to 250 ms apart."""
    return np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.25, size=80))


def test_pairs_are_apart_in_time_not_in_frames():
    times, rng = uneven_times(), np.random.default_rng(1)
    pairs = [_pick_times(times, (0.3, 0.7), rng) for _ in range(300)]
    gaps = np.array([times[b] - times[a] for a, b in pairs if b < len(times) - 1])
    assert all(0 <= a < b < len(times) for a, b in pairs)
    assert gaps.min() >= 0.3 - 0.13 and gaps.max() <= 0.7 + 0.13  # half of the widest spacing
    assert len({b - a for a, b in pairs}) > 3


def test_pairs_of_a_slow_video_are_neighbours():
    times, rng = np.arange(5) * 10.0, np.random.default_rng(0)
    assert {b - a for a, b in (_pick_times(times, (0.1, 0.7), rng) for _ in range(50))} == {1}
    assert _pick_times(np.array([0.0, 99.0]), (0.1, 0.7), rng) == (0, 1)


def test_views_lie_inside_the_picture_and_are_square():
    rng = np.random.default_rng(0)
    flipped = 0
    for _ in range(100):
        view = random_view((60, 90), 48, rng)
        corners = view @ np.array([[0, 47, 0, 47], [0, 0, 47, 47], [1, 1, 1, 1]])
        assert corners[0].min() >= -1e-6 and corners[0].max() <= 89 + 1e-6
        assert corners[1].min() >= -1e-6 and corners[1].max() <= 59 + 1e-6
        assert abs(abs(view[0, 0]) - view[1, 1]) < 1e-9
        flipped += view[0, 0] < 0
    assert 20 < flipped < 80


def test_perturbing_by_nothing_changes_nothing():
    view = random_view((60, 90), 48, np.random.default_rng(0))
    np.testing.assert_allclose(perturb(view, 48, np.random.default_rng(0), amount=0), view)
    assert not np.allclose(perturb(view, 48, np.random.default_rng(0), amount=1), view)


def rgb_of_view(image: torch.Tensor, view: np.ndarray, crop: int) -> torch.Tensor:
    lab = cut_view(image, view, crop)[0] * 50 + torch.tensor([50.0, 0, 0]).reshape(3, 1, 1)
    return lab_to_rgb(lab)


def test_a_straight_view_is_the_picture_itself():
    image = torch.from_numpy(still((40, 50))).permute(2, 0, 1)
    view = np.array([[1.0, 0, 5], [0, 1.0, 3], [0, 0, 1]])
    seen = rgb_of_view(image, view, 24)
    torch.testing.assert_close(seen, image[:, 3:27, 5:29] / 255, atol=5e-3, rtol=0)


@pytest.mark.parametrize("spec", [SPEC, FeatureSpec(64, 8, 3.0)], ids=["0", "3"])
def test_known_motion_points_at_the_same_content(spec):
    """A picture whose colour tells the place: corresponding places have equal colours."""
    height, width, crop = 70, 90, 48
    places = pixel_grid((height, width), stride=1, offset=0).permute(2, 0, 1)
    scale = torch.tensor([200 / width, 200 / height]).reshape(2, 1, 1)
    image = torch.cat([places * scale + 30, torch.full((1, height, width), 120.0)])
    rng = np.random.default_rng(0)
    checked = 0
    for _ in range(20):
        base = random_view((height, width), crop, rng)
        reference, target = (perturb(base, crop, rng, amount=1.0) for _ in range(2))
        known = view_correspondence(reference, target, (height, width), crop, spec)
        assert known.shape == (6, 6, 2) and known.dtype == torch.float32
        here = pixel_grid((6, 6), stride=8, offset=spec.offset).long()
        inside = torch.isfinite(known).all(-1)
        seen = rgb_of_view(image, target, crop)[:, here[..., 1], here[..., 0]]
        grid = known.nan_to_num(0) * (2 / (crop - 1)) - 1
        pointed = F.grid_sample(
            rgb_of_view(image, reference, crop)[None], grid[None], align_corners=True
        )[0]
        # 0.006 of the range is a third of a pixel; the border pixels of a view are mirrored
        assert float((seen - pointed).abs().amax(0)[inside].max()) < 0.006
        checked += int(inside.sum())
        assert float(known[inside].min()) >= 0 and float(known[inside].max()) <= crop - 1
    assert checked > 200


def test_a_view_of_itself_stands_still():
    view = random_view((70, 90), 48, np.random.default_rng(2))
    known = view_correspondence(view, view, (70, 90), 48, SPEC)
    torch.testing.assert_close(known, pixel_grid((6, 6), stride=8, offset=0), atol=1e-3, rtol=0)


def test_content_outside_the_reference_view_is_unknown():
    target = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    reference = target + np.array([[0, 0, 24], [0, 0, 0], [0, 0, 0]])
    known = view_correspondence(reference, target, (70, 90), 48, SPEC)
    assert torch.isfinite(known).all(-1).all(0).tolist() == [False] * 3 + [True] * 3
    assert known[0, 3].tolist() == [0, 0]


def test_good_data_gives_no_warning(film):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(sampler_of([film]).batches(2))
