"""The small copy of a film: its frames are exactly those of the film, and it harms nothing."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from studio_client import events, pixels_of, project_of, studio_client
from video_clips import write_clip

from chromatrack.errors import OutputError
from chromatrack.studio import small_copy, small_copy_maker
from chromatrack.studio.jobs import Job
from chromatrack.studio.small_copy import CHUNK, ChunkWriter, SmallCopy, chunk_path
from chromatrack.studio.small_copy_maker import Film, Maker, make_room, next_chunk
from chromatrack.studio.store import video_digest
from chromatrack.video.picture_order import PacketTable
from chromatrack.video.random_access import FrameReader, FrameTimes
from chromatrack.video.reader import read_frames

FRAMES = 2 * CHUNK + 37
BITS = 10


def numbered(index, size=(48, 160)):
    """A picture whose ten bars are the bits of its number."""
    bits = [(index >> place) & 1 for place in range(BITS)]
    row = np.repeat(bits, size[1] // BITS).astype(np.uint8) * 200 + 20
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (*size, 3)))


def number_of(rgb):
    """The number that a picture shows, at any size."""
    width = rgb.shape[1] / BITS
    middle = rgb[rgb.shape[0] // 2].mean(-1)
    return sum(int(middle[int((place + 0.5) * width)] > 120) << place for place in range(BITS))


CLIPS = {
    "B pictures": ("mp4", "libx264", {"g": "120", "bf": "4", "b-pyramid": "normal"}),
    "open groups": ("mp4", "libx264", {"g": "90", "bf": "3", "x264-params": "open-gop=1"}),
    "HEVC": ("mp4", "libx265", {"x265-params": "log-level=none:keyint=150:bframes=4:open-gop=1"}),
    "one key picture": ("mkv", "libx264", {"g": "9999", "bf": "2", "keyint_min": "9999"}),
}


def write_numbered(path, codec="libx264", options=None, *, frames=FRAMES, varied=False, **more):
    ticks = np.cumsum([1 + (i * 7) % 3 for i in range(frames)]).tolist() if varied else None
    pictures = [numbered(index) for index in range(frames)]
    options = {"preset": "ultrafast", **(options or {})}
    return write_clip(path, pictures, codec=codec, options=options, ticks=ticks, **more)


class Told:
    """A channel of which nothing is asked; what happens between two pictures can be given."""

    def __init__(self):
        self.is_stopped, self.news, self.between = False, [], lambda: None

    def tell(self, news):
        self.news.append(news)

    def serve_waiting(self):
        self.between()

    def serve_next(self):
        self.between()


def film_of(clip, folder):
    known = FrameTimes.of(clip)
    assert known.table is not None
    return Film(str(clip), folder, known.table, (48, 160), 1)


def made(maker, film):
    """Make all that is to be made of a film; the numbers of chunks in their order."""
    order, seen = [], small_copy.chunks_there(film.folder)
    maker.make(film)
    while maker.step():
        now = small_copy.chunks_there(film.folder)
        order, seen = [*order, *sorted(now - seen)], now
    now = small_copy.chunks_there(film.folder)
    return [*order, *sorted(now - seen)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_numbered(tmp_path_factory.mktemp("clip") / "clip.mp4", options={"g": "120"})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "small-copies" / ("a" * 64)


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("varied", [False, True])
def test_each_small_frame_is_the_frame_of_its_number(tmp_path, folder, name, varied):
    suffix, codec, options = CLIPS[name]
    clip = write_numbered(tmp_path / f"c.{suffix}", codec, options, varied=varied)
    exact = [number_of(frame.rgb) for frame in read_frames(clip)]
    assert exact == list(range(FRAMES))
    assert made(Maker(Told()), film_of(clip, folder)) == [0, 1, 2]
    copy, reader = SmallCopy(folder), FrameReader(clip, known=FrameTimes.of(clip))
    for index in [*range(0, FRAMES, 7), CHUNK - 1, CHUNK, FRAMES - 1]:
        rgb = copy.read(index)
        assert number_of(rgb) == number_of(reader.read(index)) == index
        assert np.abs(rgb.astype(int) - numbered(index, rgb.shape[:2])).mean() < 12
    reader.close()
    assert copy.read(FRAMES) is None and copy.read(10 * CHUNK) is None


@pytest.mark.parametrize("by", ["libx264", "mpeg4"])
def test_colours_survive_whatever_the_encoder_and_the_turn(tmp_path, by):
    shades = np.zeros((64, 96, 3), np.uint8)
    shades[:32, :48], shades[:32, 48:], shades[32:, :48] = (
        (200, 40, 30),
        (30, 160, 60),
        (40, 60, 190),
    )
    for number, more in enumerate(({}, {"rotation": 90}, {"describe": {"color_range": 2}})):
        clip = write_clip(tmp_path / f"{number}.mp4", [shades] * 12, **more)
        reader, exact = FrameReader(clip, is_thrifty=True), next(iter(read_frames(clip))).rgb
        writer = ChunkWriter(small_copy.small_size(exact.shape[:2]), by=by)
        for _, picture in reader.pictures_from(0):
            writer.add(picture)
        chunk_path(tmp_path, 0).write_bytes(writer.content())
        rgb = SmallCopy(tmp_path).read(9)
        assert rgb.shape == exact.shape
        assert np.abs(rgb.astype(int) - exact).mean() < 6
        reader.close()


def test_another_encoder_is_taken_where_x264_is_not(monkeypatch):
    assert small_copy.encoder() == "libx264"
    small_copy.encoder.cache_clear()
    rest = {name: how for name, how in small_copy._ENCODERS.items() if name != "libx264"}
    monkeypatch.setattr(small_copy, "_ENCODERS", {"libnothing": ("h264", {}), **rest})
    assert small_copy.encoder() == "mpeg4"
    small_copy.encoder.cache_clear()


def test_only_what_lags_gets_one():
    def table(frames, every):
        pts = list(range(frames))
        return PacketTable(pts, pts[::every], {tick: tick for tick in pts[::every]})

    full, small = (1080, 1920), (360, 640)
    worth = [small_copy.is_worth_it(table(3000, every), full) for every in (250, 60, 12, 1)]
    assert worth == [True, True, False, False]
    assert not small_copy.is_worth_it(table(3000, 250), small)
    assert small_copy.is_worth_it(table(3000, 24), (2160, 3840))
    assert not small_copy.is_worth_it(table(10, 250), full)  # no frame of it is far


def test_sizes_are_even_and_small():
    for size in ((1080, 1920), (1920, 1080), (2160, 4096), (101, 99), (1, 1), (480, 640)):
        height, width = small_copy.small_size(size)
        assert height % 2 == width % 2 == 0 and height * width <= 640 * 641 and width <= 640
        assert min(size) < 100 or abs(height / width / (size[0] / size[1]) - 1) < 0.02
    assert small_copy.small_size((1080, 1920)) == (360, 640)


def test_the_chunk_of_the_playhead_comes_first_then_those_behind_it(clip, folder):
    assert [next_chunk(900, 6, set(range(n))) for n in range(4)] == [3, 3, 3, 3]
    assert next_chunk(900, 6, {3, 4, 5}) == 0 and next_chunk(900, 6, {0, 3, 4, 5}) == 1
    assert next_chunk(10**9, 6, ()) == 5 and next_chunk(0, 6, range(6)) is None
    maker = Maker(Told())
    maker.turn(CHUNK + 20, False)
    assert made(maker, film_of(clip, folder)) == [1, 2, 0]


def test_after_a_jump_the_chunks_there_come_next(clip, folder):
    channel = Told()
    maker = Maker(channel)
    packets = 0

    def jump():
        nonlocal packets
        packets += 1
        if packets == 20:
            maker.turn(FRAMES - 1, False)

    channel.between = jump
    assert made(maker, film_of(clip, folder)) == [0, 2, 1]
    assert [one["there"] for one in channel.news] == [
        [],
        [[0, CHUNK]],
        [[0, CHUNK], [2 * CHUNK, FRAMES]],
        [[0, FRAMES]],
    ]
    assert [one["making"] for one in channel.news] == [True, True, True, False]


def test_it_stands_still_when_told_and_lets_a_film_be_at_once(clip, folder):
    channel = Told()
    maker = Maker(channel)
    steps = []

    def hold():
        steps.append(maker._is_held)
        if len(steps) == 30:
            maker.turn(0, True)
        elif len(steps) == 60:
            maker.turn(0, False)
        elif len(steps) == 90:
            maker.leave()

    channel.between = hold
    assert made(maker, film_of(clip, folder)) == [] and len(steps) == 90
    assert steps[30:60] == [True] * 30 and not maker.step()
    maker.make(film_of(clip, folder))
    maker.turn(0, True)
    assert not maker.step()


def test_what_is_there_is_kept_and_what_is_missing_made_again(clip, folder):
    film = film_of(clip, folder)
    assert made(Maker(Told()), film) == [0, 1, 2]
    stamps = {n: chunk_path(folder, n).stat().st_mtime_ns for n in range(3)}
    chunk_path(folder, 1).unlink()
    left = folder / ".00001.chunk.123.tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert made(Maker(Told()), film) == [1]
    assert {n: chunk_path(folder, n).stat().st_mtime_ns for n in (0, 2)} == {
        n: stamps[n] for n in (0, 2)
    }
    assert not left.exists()


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "a bit flipped": lambda content: content[:-9] + bytes([content[-9] ^ 4]) + content[-8:],
    "foreign": lambda _: b"something else entirely",
    "empty": lambda _: b"",
    "of another version": lambda content: content.replace(b"copy 1", b"copy 0", 1),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_or_foreign_is_thrown_away_and_made_anew(clip, folder, name):
    film = film_of(clip, folder)
    made(Maker(Told()), film)
    path = chunk_path(folder, 1)
    path.write_bytes(DAMAGES[name](path.read_bytes()))
    copy = SmallCopy(folder)
    assert copy.read(CHUNK + 3) is None and not path.exists()
    assert number_of(copy.read(3)) == 3
    assert made(Maker(Told()), film) == [1]
    assert number_of(copy.read(CHUNK + 3)) == CHUNK + 3


def test_a_full_disk_ends_it_quietly(clip, folder, monkeypatch):
    def full(path, content):
        raise OutputError(f"{path}: cannot be written") from OSError(errno.ENOSPC, "full")

    film, channel = film_of(clip, folder), Told()
    with monkeypatch.context() as patched:
        patched.setattr(small_copy_maker, "replace_file", full)
        maker = Maker(channel)
        assert made(maker, film) == [] and channel.news[-1]["making"] is False
        maker.turn(CHUNK, False)
        assert not maker.step()  # nor is it tried again and again
    assert made(Maker(Told()), film) == [0, 1, 2]


def test_little_free_room_or_no_folder_is_no_error_either(clip, folder, monkeypatch):
    film, channel = film_of(clip, folder), Told()
    with monkeypatch.context() as patched:
        patched.setattr(small_copy_maker, "SPARE_BYTES", 1 << 62)
        assert made(Maker(channel), film) == [] and channel.news[-1]["making"] is False
    folder.rmdir()
    folder.parent.rmdir()
    folder.parent.write_bytes(b"a file where a folder would be")
    assert made(Maker(channel), film) == [] and channel.news[-1]["making"] is False


def test_all_of_them_together_are_limited(folder, monkeypatch):
    def film(letter, age):
        place = folder.parent / (letter * 64)
        place.mkdir(parents=True)
        (place / "00000.chunk").write_bytes(bytes(1000))
        os.utime(place, (time.time() - age, time.time() - age))
        return place

    own, old, older, used = film("a", 9e9), film("b", 7000), film("c", 8000), film("d", 5)
    other = folder.parent / "not-ours"
    other.mkdir()
    monkeypatch.setattr(small_copy_maker, "MOST_BYTES", 4500)
    make_room(own, 400)
    assert older.exists() and old.exists()
    make_room(own, 600)
    assert not older.exists() and old.exists()
    with pytest.raises(OutputError):
        make_room(own, 3000)
    assert own.exists() and used.exists() and other.exists() and not old.exists()


def test_a_film_that_is_damaged_gets_what_can_be_made(tmp_path, folder):
    clip = write_numbered(tmp_path / "c.mp4", options={"g": "50", "bf": "0", "qp": "20"})
    film, content = film_of(clip, folder), bytearray(clip.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    clip.write_bytes(content)
    numbers = made(Maker(Told()), film)
    assert 1 not in numbers and {0, 2} <= set(numbers)
    assert number_of(SmallCopy(folder).read(FRAMES - 1)) == FRAMES - 1


# -- the studio with it --------------------------------------------------------------------------


@pytest.fixture
def small_everywhere(monkeypatch, tmp_path):
    """A cache of the test's own, and clips that are worth a small copy whatever their size."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(small_copy, "_WORTH", 0.1)
    return tmp_path / "cache" / "chromatrack" / "small-copies"


def wait_for(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_done(client):
    copy = project_of(client)["smallCopy"]
    return copy is not None and copy == {"there": [[0, FRAMES]], "making": False}


def test_the_studio_makes_it_and_answers_out_of_it(clip, tmp_path, small_everywhere):
    with studio_client(tmp_path / "home") as client:
        with events(client) as socket:
            assert client.post("/api/open", json={"path": str(clip)}).status_code == 200
            told = []
            while not told or told[-1]["making"]:
                news = socket.receive_json()
                if news["type"] == "smallCopy":
                    told.append(news)
        assert told[-1]["there"] == [[0, FRAMES]] and is_done(client)
        folder = small_everywhere / video_digest(clip)
        assert sorted(path.name for path in folder.iterdir()) == [
            f"0000{n}.chunk" for n in range(3)
        ]
        assert folder.stat().st_mode & 0o077 == 0
        for index in (500, 3, 260):
            near = client.get(f"/api/frames/{index}", params={"rough": 1})
            assert (near.headers["x-frame"], near.headers["x-small"]) == (str(index), "1")
            assert number_of(pixels_of(near)) == index
        whole = client.get("/api/frames/260")
        assert "x-small" not in whole.headers and number_of(pixels_of(whole)) == 260
        again = client.get("/api/frames/260", params={"rough": 1})
        assert "x-small" not in again.headers  # the whole one is there by now
        chunk_path(folder, 1).write_bytes(b"damaged")
        os.kill(client.studio.decoder.pid, signal.SIGKILL)  # which has read it
        wait_for(lambda: client.get("/api/frames/7").status_code == 200)
        near = client.get("/api/frames/300", params={"rough": 1})
        assert near.status_code == 200 and "x-small" not in near.headers
        wait_for(lambda: chunk_path(folder, 1).exists())
        wait_for(lambda: "x-small" in client.get("/api/frames/300", params={"rough": 1}).headers)


def test_killed_in_the_midst_it_goes_on_the_next_time(clip, tmp_path, small_everywhere):
    folder = small_everywhere / video_digest(clip)
    with studio_client(tmp_path / "home") as client:
        assert client.post("/api/open", json={"path": str(clip)}).status_code == 200
        wait_for(lambda: len(small_copy.chunks_there(folder)) >= 1)
        maker = client.studio.small._maker
        os.kill(maker.pid, signal.SIGKILL)
        wait_for(lambda: not project_of(client)["smallCopy"]["making"])
        there = small_copy.chunks_there(folder)
        assert client.get("/api/frames/100").status_code == 200
        near = client.get("/api/frames/100", params={"rough": 1})
        assert number_of(pixels_of(near)) == 100
    stamps = {n: chunk_path(folder, n).stat().st_mtime_ns for n in there}
    with studio_client(tmp_path / "home") as client:
        assert client.post("/api/open", json={"path": str(clip)}).status_code == 200
        wait_for(lambda: is_done(client))
    assert all(chunk_path(folder, n).stat().st_mtime_ns == stamps[n] for n in there)


def test_it_stands_still_while_a_job_runs_and_ends_with_the_film(clip, tmp_path, small_everywhere):
    with studio_client(tmp_path / "home") as client:
        studio = client.studio
        assert client.post("/api/open", json={"path": str(clip)}).status_code == 200
        wait_for(lambda: project_of(client)["smallCopy"] is not None)
        studio.jobs.job = Job("track", "Tracking")
        client.portal.call(_changed, studio)
        wait_for(lambda: studio.small._told[2])
        before = small_copy.chunks_there(small_everywhere / video_digest(clip))
        time.sleep(0.5)
        assert small_copy.chunks_there(small_everywhere / video_digest(clip)) == before
        studio.jobs.job = None
        client.portal.call(_changed, studio)
        wait_for(lambda: is_done(client))
        assert client.post("/api/close").status_code == 200
        wait_for(lambda: studio.small._told[0] is None)
        maker = studio.small._maker.pid
    wait_for(lambda: not Path(f"/proc/{maker}").exists())


async def _changed(studio):
    studio.changed()


def test_none_is_made_where_it_is_switched_off(clip, tmp_path, small_everywhere):
    from starlette.testclient import TestClient
    from studio_client import BASE, PORT, TOKEN

    from chromatrack.studio.app import make_app
    from chromatrack.studio.manager import Studio

    app = make_app(Studio(tmp_path / "home", small_copies=False), token=TOKEN, port=PORT)
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        client.get("/", params={"token": TOKEN})
        assert client.post("/api/open", json={"path": str(clip)}).status_code == 200
        assert project_of(client)["smallCopy"] is None
        near = client.get("/api/frames/300", params={"rough": 1})
        assert near.status_code == 200 and "x-small" not in near.headers
    assert not small_everywhere.exists()


def test_a_digest_that_is_none_names_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for digest in ("", "..", "../../x", "A" * 64, "a" * 63):
        assert small_copy.film_folder(digest) is None
    folder = small_copy.film_folder("a" * 64)
    assert folder == tmp_path / "chromatrack" / "small-copies" / ("a" * 64)
