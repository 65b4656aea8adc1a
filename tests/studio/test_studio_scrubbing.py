"""Scrubbing: near frames at once, stale requests dropped, what is known already not sent again."""

from __future__ import annotations

import asyncio
import os
import signal

import numpy as np
import pytest
from studio_client import pixels_of, project_of, studio_client
from synthetic import moving_clip
from video_clips import write_clip

from chromatrack.studio.scrubbing import Glances, OvertakenError, Turns
from chromatrack.studio.workers import StoppedJob
from chromatrack.video.random_access import FrameReader, FrameTimes
from chromatrack.video.reader import read_frame

FRAMES, GOP = 90, 30


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    frames = moving_clip(frames=FRAMES, objects=2, radius=16)
    write_clip(path, [frame.rgb for frame in frames], options={"g": str(GOP), "sc_threshold": "0"})
    return path


@pytest.fixture(scope="module")
def client(clip, tmp_path_factory):
    with studio_client(tmp_path_factory.mktemp("home")) as made:
        assert made.post("/api/open", json={"path": str(clip)}).status_code == 200
        made.clip = clip
        yield made


def _near(index):
    return round(index / GOP) * GOP


def test_a_near_picture_is_the_very_frame_it_says(clip):
    reader = FrameReader(clip, known=FrameTimes.of(clip))
    for index in (50, 70, 14, 31):
        number, near, is_sure = reader.read_near(index)
        assert number == _near(index) and is_sure
        assert (near == read_frame(clip, index=number).rgb).all()
        assert (reader.read(index) == read_frame(clip, index=index).rgb).all()
    number, near, _ = reader.read_near(32)  # the next one of those that are decoded anyway
    assert number == 32 and (near == read_frame(clip, index=32).rgb).all()
    reader.close()


def test_a_near_picture_is_there_before_the_places_of_frames_are_known(clip):
    reader = FrameReader(clip)
    for index in (50, 70, 14):
        number, near, is_sure = reader.read_near(index)
        assert number % GOP == 0 and abs(number - index) < GOP and not is_sure
        assert (near == read_frame(clip, index=number).rgb).all()
    reader.close()


def test_a_rough_answer_says_which_frame_it_is_and_is_not_kept(client, clip):
    answer = client.get("/api/frames/44", params={"rough": 1, "v": "a"})
    number = int(answer.headers["x-frame"])
    assert number in (30, 60) and answer.headers["cache-control"] == "no-store"
    exact = read_frame(clip, index=number).rgb.astype(int)
    assert np.abs(pixels_of(answer).astype(int) - exact).mean() < 6
    sharp = client.get("/api/frames/44", params={"v": "a"})
    assert sharp.headers["x-frame"] == "44" and "3600" in sharp.headers["cache-control"]
    again = client.get("/api/frames/44", params={"rough": 1, "v": "a"})
    assert again.headers["x-frame"] == "44"  # it is there by now
    assert client.get(f"/api/frames/{FRAMES}", params={"rough": 1}).status_code == 404


def test_times_are_sent_once(client):
    video = project_of(client)["video"]
    assert len(video["times"]) == FRAMES and video["exact"]
    known = {"times": video["timesKey"]}
    assert "times" not in client.get("/api/state", params=known).json()["project"]["video"]
    other = client.get("/api/state", params={"times": "another"}).json()["project"]["video"]
    assert len(other["times"]) == FRAMES


def test_only_the_newest_of_those_that_wait_has_its_turn():
    async def play():
        turns, done, gate = Turns(), [], asyncio.Event()

        async def one(tab, number):
            async with turns.of((tab, number)):
                if not done:
                    done.append((tab, number))
                    await gate.wait()
                else:
                    done.append((tab, number))

        tasks = [asyncio.ensure_future(one("a", n)) for n in range(5)]
        tasks.append(asyncio.ensure_future(one("b", 0)))
        await asyncio.sleep(0)
        gate.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        overtaken = [isinstance(end, OvertakenError) for end in ends]
        assert overtaken == [False, True, True, True, False, False]
        assert done == [("a", 0), ("b", 0), ("a", 4)]
        with pytest.raises(OvertakenError):
            async with turns.of(("a", 3)):
                pass

    asyncio.run(play())


def test_the_frame_that_stays_on_show_is_looked_at(tmp_path):
    async def play():
        seen = []

        async def look(video, index):
            seen.append(index)

        glances = Glances(look)
        for index in range(5):
            glances.shown(tmp_path, index)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.4)
        assert seen == [4]

    asyncio.run(play())


def test_a_frame_is_not_looked_at_once_another_is_asked_for(tmp_path):
    async def play():
        seen = []

        async def look(video, index):
            seen.append(index)

        glances = Glances(look)
        glances.shown(tmp_path, 1)
        glances.left()
        await asyncio.sleep(0.3)
        assert seen == []
        glances.shown(tmp_path, 2)
        await asyncio.sleep(0.3)
        assert seen == [2]

    asyncio.run(play())


def test_a_frame_that_nobody_waits_for_is_broken_off_and_the_next_one_is_exact(clip):
    reader = FrameReader(clip, known=FrameTimes.of(clip))
    packets = 0

    def after_five():
        nonlocal packets
        packets += 1
        if packets > 5:
            raise KeyboardInterrupt

    reader.watch(after_five)
    with pytest.raises(KeyboardInterrupt):
        reader.read(GOP - 1 + GOP)
    reader.watch(None)
    for index in (GOP + 7, 2 * GOP - 1, 3):
        assert (reader.read(index) == read_frame(clip, index=index).rgb).all()
    reader.close()


def test_a_page_that_turns_away_frees_the_decoder(client):
    studio = client.studio

    async def ask():
        gone = asyncio.get_running_loop().create_future()
        os.kill(studio.decoder.pid, signal.SIGSTOP)  # till both are told to it
        waits = asyncio.ensure_future(studio.frame(GOP + 14, 80, gone=gone))
        await asyncio.sleep(0.3)
        gone.set_result(None)
        await asyncio.sleep(0.3)
        os.kill(studio.decoder.pid, signal.SIGCONT)
        with pytest.raises(StoppedJob):
            await waits
        kept = asyncio.get_running_loop().create_future()
        shown = await studio.frame(GOP + 15, 80, gone=kept)
        kept.cancel()
        return shown.number

    assert client.portal.call(ask) == GOP + 15
    for index in (GOP + 14, 2):
        shown = pixels_of(client.get(f"/api/frames/{index}")).astype(int)
        assert np.abs(shown - read_frame(client.clip, index=index).rgb).mean() < 4
