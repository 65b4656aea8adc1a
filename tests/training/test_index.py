"""What is found to learn from, what is skipped and why, and what is remembered."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import types
import warnings
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic import moving_clip, still, write_clip
from video_clips import pictures
from video_clips import write_clip as encode

from chromatrack.caches import cache_folder
from chromatrack.errors import InputError
from chromatrack.training.data import index as index_module
from chromatrack.training.data import media
from chromatrack.training.data.index import Index, build_index, stretches
from chromatrack.training.data.listing import list_shard
from chromatrack.training.data.media import MediaFile, VideoEntry

REAL = Path(__file__).parents[3] / "shared" / "data" / "train"


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """A 25 fps video of 15 frames, 80 x 64 pixels."""
    frames = moving_clip(frames=15, size=(64, 80), radius=10)
    return write_clip(tmp_path_factory.mktemp("film") / "film.mp4", frames)


def save_photo(path: Path, *, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(still((40, 50), seed=seed)).save(path)
    return path


def photo_bytes(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(still((40, 50), seed=seed)).save(buffer, format="png")
    return buffer.getvalue()


def write_shard(path: Path, files: dict[str, bytes], *, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as shard:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            shard.addfile(info, io.BytesIO(content))
    return path


def quiet(*data: Path | str, cache: Path | None = None) -> Index:
    """The index, without the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_index(data, cache=cache)


def entry(**changes: object) -> VideoEntry:
    base = VideoEntry("v.mp4", "v.mp4", 0, None, 1, 1, 64, 48, 10.0, 250, 25.0, (0.0,), None)
    return replace(base, **changes)  # type: ignore[arg-type]


# -- what is found -------------------------------------------------------------------------


def test_videos_photos_and_shards_are_found_in_nested_folders(tmp_path, film):
    save_photo(tmp_path / "a" / "b" / "deep.PNG")
    save_photo(tmp_path / "flat.jpg")
    (tmp_path / "notes.txt").write_text("nothing to learn")
    (tmp_path / ".hidden.mp4").write_bytes(b"a leftover")
    inside = {"x.png": photo_bytes(), "v.mp4": film.read_bytes(), "meta.json": b"{}"}
    write_shard(tmp_path / "a" / "shard.tar", inside)
    index = build_index([tmp_path, film], cache=None)
    assert index.problems == ()
    assert [Path(v.path).name for v in index.videos] == ["shard.tar", "film.mp4"]
    names = [(Path(p.path).name, p.length is not None) for p in index.photos]
    assert names == [("deep.PNG", False), ("shard.tar", True), ("flat.jpg", False)]


def test_a_video_is_described_as_it_is(film):
    (video,) = build_index([film], cache=None).videos
    assert (video.width, video.height, video.frames) == (80, 64, 15)
    assert video.seconds == pytest.approx(0.6) and video.fps == pytest.approx(25)
    assert video.keyframes[0] == 0.0 and video.begin == 0.0
    assert video.bytes == film.stat().st_size and video.problem is None


def test_a_video_in_a_shard_is_described_as_the_file_is(tmp_path, film):
    shard = write_shard(tmp_path / "s.tar", {"a.png": photo_bytes(), "v.mp4": film.read_bytes()})
    (inside,) = build_index([shard], cache=None).videos
    (alone,) = build_index([film], cache=None).videos
    with shard.open("rb") as file:
        file.seek(inside.start)
        assert file.read(inside.length) == film.read_bytes()
    place = {"name": "", "path": "", "start": 0, "length": None, "modified_ns": 0}
    assert replace(inside, **place) == replace(alone, **place)


@pytest.mark.parametrize("suffix", ["mkv", "avi", "ts", "gif"])
def test_any_format_is_timed(tmp_path, suffix):
    codec, pixels = ("gif", "rgb8") if suffix == "gif" else ("mpeg4", "yuv420p")
    frames = pictures(12)
    path = encode(tmp_path / f"v.{suffix}", frames, codec=codec, pixel_format=pixels)
    (video,) = build_index([path], cache=None).videos
    assert video.frames == 12 and video.seconds == pytest.approx(0.5, rel=0.1)
    assert video.fps == pytest.approx(24, rel=0.1)


def test_key_pictures_are_in_the_sources_time(tmp_path):
    frames = pictures(40)
    for name in ("v.mp4", "v.mkv"):
        path = encode(tmp_path / name, frames, options={"g": "12", "bf": "2", "sc_threshold": "0"})
        (video,) = build_index([path], cache=None).videos
        np.testing.assert_allclose(video.keyframes, [0, 0.5, 1.0, 1.5], atol=2e-3)


def test_variable_frame_rate_is_measured_in_time(tmp_path):
    ticks = [0, 1, 2, 30, 60, 90]
    path = encode(tmp_path / "v.mp4", pictures(6), ticks=ticks, time_base=Fraction(1, 30))
    (video,) = build_index([path], cache=None).videos
    assert 3.0 < video.seconds <= 4.1 and video.frames == 6


def test_a_large_file_is_timed_by_its_own_index_alike(tmp_path, monkeypatch):
    path = encode(tmp_path / "v.mp4", pictures(40), options={"g": "12", "bf": "2"})
    shard = write_shard(tmp_path / "s.tar", {"v.mp4": path.read_bytes()})
    read = build_index([path, shard], cache=None).videos
    monkeypatch.setattr(media, "_SMALL", 0)
    monkeypatch.setattr(media, "_demuxed", lambda *_: pytest.fail("the file was read through"))
    assert build_index([path, shard], cache=None).videos == read


def test_a_huge_file_without_index_is_timed_by_what_it_declares(tmp_path, monkeypatch):
    path = encode(tmp_path / "v.mkv", pictures(48), options={"g": "12"})
    monkeypatch.setattr(media, "_SMALL", 0)
    monkeypatch.setattr(media, "_READ_WHOLE", 0)
    (video,) = build_index([path], cache=None).videos
    assert video.seconds == pytest.approx(2.0, abs=0.1) and video.frames is None
    assert video.begin == 0.0


def test_portrait_is_upright(tmp_path):
    path = encode(tmp_path / "v.mp4", pictures(4, size=(48, 64)), rotation=90)
    (video,) = build_index([path], cache=None).videos
    assert (video.width, video.height) == (48, 64)


# -- what is skipped -----------------------------------------------------------------------


def test_a_users_folder_is_used_as_far_as_possible(tmp_path, film):
    good = film.read_bytes()
    for number in range(3):
        (tmp_path / f"good{number}.mp4").write_bytes(good)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "half.mp4").write_bytes(good[: len(good) // 2])
    (tmp_path / "letter.mp4").write_text("Dear reader, this is no video.\n" * 50)
    (tmp_path / "noise.mov").write_bytes(bytes(range(256)) * 40)
    encode(tmp_path / "single.mp4", pictures(1))
    encode(tmp_path / "speck.mkv", pictures(4, size=(8, 64)), codec="ffv1")
    (tmp_path / "empty.jpg").touch()
    write_shard(tmp_path / "packed.tar.gz", {"x.png": photo_bytes()}, mode="w:gz")
    with pytest.warns(UserWarning, match="training data") as told:
        index = build_index([tmp_path], cache=None)
    assert len(index.videos) == 3 and not index.photos
    assert len(index.problems) == len(told) == 8
    assert not any("\n" in problem for problem in index.problems)
    told_of = " | ".join(sorted(index.problems))
    for expected in (
        "empty.jpg: the file is empty (0 bytes)",
        "empty.mp4: the file is empty (0 bytes)",
        "half.mp4: damaged from the first frame on (the file is cut short)",
        "letter.mp4: ",
        "noise.mov: ",
        "expected an uncompressed tar shard, got a gzip file",
        "single.mp4: holds a single frame",
        "speck.mkv: expected at least 16 pixels a side, got 64x8",
    ):
        assert expected in told_of


def test_a_video_cut_short_is_used_up_to_the_cut(tmp_path):
    whole = encode(
        tmp_path / "whole.mp4",
        pictures(60),
        options={"g": "6"},
        container_options={"movflags": "+faststart"},
    )
    content = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    index = quiet(tmp_path)
    cut, full = index.videos
    assert full.problem is None and full.frames == 60
    assert cut.frames is not None and 20 < cut.frames < 55
    assert 0.8 < cut.seconds < 2.4 and "cut short" in (cut.problem or "")
    assert len(index.problems) == 1 and index.problems[0].endswith("before that are used")


def test_only_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(InputError, match="nowhere' does not exist; name files or folders"):
        quiet(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("nothing to learn")
    with pytest.raises(InputError, match=r"no video, photo or \.tar shard that can be used in"):
        quiet(tmp_path)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(InputError, match=r"empty\.mp4: the file is empty"):
        quiet(tmp_path)


def test_shards_say_what_is_wrong_with_them(tmp_path):
    packed = write_shard(tmp_path / "packed.tar", {"x.png": photo_bytes()}, mode="w:xz")
    with pytest.raises(InputError, match=r"packed\.tar: expected .* got a xz file; decompress"):
        list_shard(packed)
    (tmp_path / "empty.tar").touch()
    with pytest.raises(InputError, match=r"empty \(0 bytes\)"):
        list_shard(tmp_path / "empty.tar")
    (tmp_path / "text.tar").write_text("no tar at all" * 100)
    with pytest.raises(InputError, match="expected an uncompressed tar shard"):
        list_shard(tmp_path / "text.tar")


def test_a_shard_cut_short_gives_the_files_before(tmp_path):
    files = {f"{i}.png": photo_bytes(i) for i in range(3)}
    content = write_shard(tmp_path / "s.tar", files).read_bytes()
    second = content.index(files["1.png"])
    (tmp_path / "s.tar").write_bytes(content[: second + len(files["1.png"]) // 2])
    index = quiet(tmp_path)
    assert len(index.photos) == 1 and "cut short or damaged" in index.problems[0]


def test_folders_linked_in_a_circle_are_walked_once(tmp_path):
    save_photo(tmp_path / "data" / "x.png")
    try:
        (tmp_path / "data" / "again").symlink_to(tmp_path / "data", target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    assert len(build_index([tmp_path / "data"], cache=None).photos) == 1


def test_the_same_file_counts_once(tmp_path):
    path = save_photo(tmp_path / "x.png")
    assert len(build_index([path, tmp_path, tmp_path], cache=None).photos) == 1


# -- the digest ----------------------------------------------------------------------------


def test_the_digest_is_that_of_the_data_not_of_the_place(tmp_path, film):
    for copy in ("one", "two"):
        save_photo(tmp_path / copy / "x.png")
        (tmp_path / copy / "v.mp4").write_bytes(film.read_bytes())
        write_shard(tmp_path / copy / "s.tar", {"y.png": photo_bytes(1)})
    one, two = (build_index([tmp_path / copy], cache=None) for copy in ("one", "two"))
    assert one.digest == two.digest and one.videos[0].path != two.videos[0].path
    (tmp_path / "two" / "x.png").rename(tmp_path / "two" / "z.png")
    assert build_index([tmp_path / "two"], cache=None).digest != one.digest


# -- the cache -----------------------------------------------------------------------------


@pytest.fixture
def looks(monkeypatch) -> list[str]:
    """Names of the videos that were really looked at."""
    seen: list[str] = []
    look = index_module.look_at

    def counted(file: MediaFile) -> VideoEntry:
        seen.append(Path(file.path).name)
        return look(file)

    monkeypatch.setattr(index_module, "look_at", counted)
    return seen


def test_only_changed_and_new_videos_are_looked_at_again(tmp_path, film, looks):
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (data / name).write_bytes(film.read_bytes())
    write_shard(data / "s.tar", {"v.mp4": film.read_bytes(), "x.png": photo_bytes()})
    first = build_index([data], cache=cache)
    assert sorted(looks) == ["a.mp4", "b.mp4", "c.mp4", "s.tar"]
    looks.clear()
    assert build_index([data], cache=cache) == first and looks == []
    (data / "a.mp4").unlink()
    write_clip(data / "b.mp4", moving_clip(frames=5, size=(64, 80)))
    (data / "d.mp4").write_bytes(film.read_bytes())
    again = build_index([data], cache=cache)
    assert sorted(looks) == ["b.mp4", "d.mp4"]
    assert [Path(v.path).name for v in again.videos] == ["b.mp4", "c.mp4", "d.mp4", "s.tar"]
    assert again.videos[0].frames == 5 and again.digest != first.digest
    write_shard(data / "s.tar", {"y.png": photo_bytes(), "z.png": photo_bytes(1)})
    assert len(build_index([data], cache=cache).photos) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "changed"])
def test_a_corrupt_cache_is_built_anew(tmp_path, film, looks, damage):
    cache = tmp_path / "cache"
    first = build_index([film], cache=cache)
    (file,) = cache.iterdir()
    text = file.read_text()
    assert json.loads(text)["content"]
    changed = {
        "cut": text[: len(text) // 2],
        "empty": "",
        "text": "[1, 2]",
        "changed": text.replace('"width": 80', '"width": 8'),
    }
    assert changed[damage] != text
    file.write_text(changed[damage])
    looks.clear()
    assert build_index([film], cache=cache) == first and looks == ["film.mp4"]
    assert file.read_text() == text


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, film):
    (tmp_path / "file").write_text("not a folder")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_index([film], cache=tmp_path / "file").videos


def test_the_cache_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "chromatrack"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    if index_module.os.name != "nt":
        assert cache_folder() == tmp_path / ".cache" / "chromatrack"


# -- remote shards -------------------------------------------------------------------------


@pytest.fixture
def library(monkeypatch) -> list[str]:
    """A stand-in for webdataset that reads `pipe:cat FILE`; the urls opened."""
    opened: list[str] = []

    def gopen(url: str, mode: str):
        opened.append(url)
        return Path(url.removeprefix("pipe:cat ")).open(mode)

    def expand_urls(urls: str) -> list[str]:
        return [urls.replace("{0..1}", number) for number in ("0", "1")] if "{" in urls else [urls]

    for name, members in {
        "gopen": {"gopen": gopen},
        "shardlists": {"expand_urls": expand_urls},
    }.items():
        module = types.ModuleType(f"webdataset.{name}")
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, f"webdataset.{name}", module)
    monkeypatch.setitem(sys.modules, "webdataset", types.ModuleType("webdataset"))
    return opened


def test_remote_shards_are_fetched_once_and_used_like_local_ones(tmp_path, film, library):
    for number in range(2):
        write_shard(tmp_path / f"s{number}.tar", {"v.mp4": film.read_bytes()})
    url = f"pipe:cat {tmp_path}/s{{0..1}}.tar"
    index = build_index([url], cache=tmp_path / "cache")
    assert len(index.videos) == 2 and len(library) == 2
    assert build_index([url], cache=tmp_path / "cache") == index and len(library) == 2
    assert all(Path(v.path).parent == tmp_path / "cache" / "shards" for v in index.videos)


def test_a_shard_that_cannot_be_fetched_leaves_nothing_behind(tmp_path, film, library):
    url = f"pipe:cat {tmp_path}/gone.tar"
    index = quiet(film, url, cache=tmp_path / "cache")
    assert len(index.videos) == 1 and "cannot be fetched" in index.problems[0]
    assert not list((tmp_path / "cache" / "shards").iterdir())
    assert "need a cache folder" in quiet(film, url).problems[0]


def test_remote_shards_without_the_library(tmp_path, monkeypatch):
    for name in ("webdataset", "webdataset.gopen", "webdataset.shardlists"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"pip install chromatrack\[shards\]$"):
        build_index(["https://example.invalid/{0..9}.tar"], cache=tmp_path)


def test_the_real_library_expands_and_fetches(tmp_path, film):
    pytest.importorskip("webdataset", reason="the extra chromatrack[shards] is not installed")
    for number in range(2):
        write_shard(tmp_path / f"s-{number:03d}.tar", {"v.mp4": film.read_bytes()})
    url = f"pipe:cat {tmp_path}/s-{{000..001}}.tar"
    assert len(build_index([url], cache=tmp_path / "cache").videos) == 2
    failing = f"pipe:head -c 700 {tmp_path}/s-000.tar; exit 3"
    index = quiet(film, failing, cache=tmp_path / "other")
    assert "cannot be fetched" in index.problems[0]
    assert not list((tmp_path / "other" / "shards").iterdir())


# -- stretches -----------------------------------------------------------------------------


@given(
    length=st.floats(0.04, 500),
    seconds=st.floats(0.5, 60),
    begin=st.floats(0, 10),
    spacing=st.floats(0.3, 40),
)
def test_stretches_cover_a_video_without_gap_or_overlap(length, seconds, begin, spacing):
    keys = tuple(begin + spacing * i for i in range(int(length / spacing) + 1))
    video = entry(seconds=length, keyframes=keys)
    parts = stretches(Index((video,), (), (), ""), seconds=seconds)
    assert parts[0].start_seconds == begin
    assert parts[-1].end_seconds == pytest.approx(begin + length)
    assert all(a.end_seconds == b.start_seconds for a, b in pairwise(parts))
    for part in parts:
        span = part.end_seconds - part.start_seconds
        assert span <= seconds * 1.001
        assert span >= min(length, seconds / 4) * 0.999


def test_long_videos_are_cut_at_key_pictures_in_reach():
    video = entry(seconds=30.0, keyframes=(0.0, 3.0, 9.0, 10.5, 18.0))
    parts = stretches(Index((video, entry()), (), (), ""), seconds=10.0)
    assert [(p.video, p.start_seconds) for p in parts] == [
        (0, 0.0), (0, 9.0), (0, 18.0), (0, 27.5), (1, 0.0)
    ]  # fmt: skip


def test_the_real_clips_are_all_usable(tmp_path):
    if not REAL.exists():
        pytest.skip("the training clips are not here")
    index = build_index([REAL / "video"], cache=tmp_path)
    assert len(index.videos) == 455 and index.problems == ()
    assert sum(video.frames or 0 for video in index.videos) == 37079
