"""How soon the studio shows, finds and tracks: wall and CPU seconds, median and 95th percentile.

    python benchmarks/studio.py CLIP [--jumps 40] [--parts open,scrub,drag,select,track,copy]

Starts the server as a process of its own on the loopback and talks to it as the page does. CPU
seconds are those of server, decoder and model apart, for a machine that does other things too.
CLIP: a long video; `--make` renders one of an hour first (1080p, two minutes). `copy` makes the
small copy of it (half an hour for that one) and scrubs again; the other parts do without. `--cache`
keeps it in a folder, from where a later measurement has it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import websockets
from PIL import Image

_TICK = os.sysconf("SC_CLK_TCK")
_WIDTH = 1280
_QUIET = ("--no-browser", "--port", "0")
_PARTS = ("open", "scrub", "drag", "select", "track", "copy")
_WORKERS = ("server", "decoder", "model", "small copy")


def make_clip(path: Path, *, seconds: int = 3600, part_seconds: int = 20) -> None:
    """Render a part of a 1080p clip and repeat its packets: each part begins with a keyframe."""
    width, height, fps = 1920, 1080, 30
    rng = np.random.default_rng(0)
    blocks = rng.integers(40, 200, (height // 60, width // 60, 3), dtype=np.uint8)
    ground = np.kron(blocks, np.ones((60, 60, 1), dtype=np.uint8))
    noise = [rng.normal(0, 5, (height, width, 3)).astype(np.int16) for _ in range(4)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_type = "FRAME"  # else the encoder cuts each picture into slices, as few do
        stream.options = {"preset": "veryfast", "crf": "20", "g": "250", "threads": "2"}
        packets = []
        for index in range(part_seconds * fps):
            picture = ground.copy()
            x, y = index * 5 % (width - 200), int(300 + 200 * np.sin(index / 20))
            picture[y : y + 200, x : x + 200] = (220, 60, 40)
            picture = np.clip(picture.astype(np.int16) + noise[index % 4], 0, 255)
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")
            frame.pts = index
            packets += list(stream.encode(frame))
        packets += list(stream.encode(None))
        rows = [(bytes(p), p.pts or 0, p.dts or 0, p.is_keyframe, p.time_base) for p in packets]
        step = round(1 / fps / rows[0][4])
        for number in range(seconds // part_seconds):
            shift = number * part_seconds * fps * step
            for content, pts, dts, is_key, base in rows:
                packet = av.Packet(content)
                packet.stream, packet.time_base = stream, base
                packet.pts, packet.dts, packet.is_keyframe = pts + shift, dts + shift, is_key
                container.mux(packet)


class Served:
    """A studio in a process of its own; its workers are told apart by the order they begin in."""

    def __init__(self, home: Path, cache: Path | None = None) -> None:
        """Start it, and wait until it answers; cache: for small copies, None: it makes none."""
        self.process = subprocess.Popen(
            [
                sys.executable,
                *["-m", "chromatrack", "studio", "--no-browser", "--port", "0"],
                "--home",
                home,
                *(["--no-small-copy"] if cache is None else []),
            ],
            env={**os.environ, **({} if cache is None else {"XDG_CACHE_HOME": str(cache)})},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        address = self.process.stdout.readline().strip()
        found = re.fullmatch(r"(http://127\.0\.0\.1:(\d+))/\?token=(.+)", address)
        assert found is not None, address
        self.base, self.port, self.token = found[1], int(found[2]), found[3]

    def processor(self) -> dict[str, float]:
        """CPU seconds so far of server, decoder, model and what makes small copies."""
        found = {"server": _processor(self.process.pid)}
        children = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                line = (place / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == self.process.pid and b"spawn_main" in line:
                children.append(int(place.name))
        for name, pid in zip(_WORKERS[1:], sorted(children), strict=False):
            found[name] = _processor(pid)
        return found

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(20)


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


class Watch:
    """Wall and CPU seconds of things that are done one after another."""

    def __init__(self, served: Served) -> None:
        """Nothing is measured yet."""
        self._served = served
        self.walls: list[float] = []
        self.spent: dict[str, float] = dict.fromkeys(_WORKERS[:3], 0.0)

    async def of(self, work: Any) -> Any:
        """Measure one thing; its answer."""
        before, began = self._served.processor(), time.perf_counter()
        answer = await work
        self.walls.append(time.perf_counter() - began)
        for name, value in self._served.processor().items():
            self.spent[name] = self.spent.get(name, 0.0) + value - before.get(name, 0.0)
        return answer

    def line(self, name: str) -> str:
        """What came of it."""
        walls = np.asarray(self.walls) * 1000
        each = {name: value / len(walls) * 1000 for name, value in self.spent.items()}
        cpu = "  ".join(f"{name} {value:6.0f}" for name, value in each.items())
        return (
            f"{name:<24} n {len(walls):3d}  wall ms p50 {np.percentile(walls, 50):7.0f}  "
            f"p95 {np.percentile(walls, 95):7.0f}   CPU ms each: {cpu}"
        )


class Page:
    """What the page asks of the server."""

    def __init__(self, served: Served, client: httpx.AsyncClient) -> None:
        """client: has the cookie."""
        self.served, self.client = served, client

    async def frame(self, index: int, **more: object) -> httpx.Response:
        """A frame as it is shown."""
        asked: dict[str, Any] = {"width": _WIDTH, "v": "bench", **more}
        answer = await self.client.get(f"/api/frames/{index}", params=asked)
        assert answer.status_code in (200, 409), answer.text
        return answer

    async def open(self, video: Path) -> None:
        """Open a video and see its first frame."""
        answer = await self.client.post("/api/open", json={"path": str(video)})
        assert answer.status_code == 200, answer.text
        await self.frame(0)

    async def video(self) -> dict[str, Any]:
        """What the state says of the video."""
        return (await self.client.get("/api/state")).json()["project"]["video"]

    async def ready(self) -> None:
        """Wait until the model and the times of all frames are there."""
        while (await self.video()).get("exact") is False:
            await asyncio.sleep(0.1)
        await self.client.get("/api/pointer/0", params={"x": 10, "y": 10})


async def opening(page: Page, clip: Path, place: Path, *, times: int) -> list[str]:
    """Open copies of the clip in folders of their own, so that each is a new project."""
    watch = Watch(page.served)
    for number in range(times):
        folder = place / f"open-{number}"
        folder.mkdir()
        video = folder / clip.name
        video.symlink_to(clip.resolve())
        await watch.of(page.open(video))
        await page.ready()
    state = await page.client.get("/api/state")
    return [watch.line("open to first frame"), f"{'state':<24} {len(state.content) >> 10} KiB"]


async def scrubbing(page: Page, *, jumps: int) -> list[str]:
    """Jump to frames anywhere, one after another, and step from one to its neighbours."""
    frames, dice = (await page.video())["frames"], random.Random(1)
    exact, rough, steps = Watch(page.served), Watch(page.served), Watch(page.served)
    for number in range(jumps):
        await exact.of(page.frame(dice.randrange(frames), tab="jump", seq=number))
    for number in range(jumps):
        await rough.of(page.frame(dice.randrange(frames), tab="rough", seq=number, rough=1))
    for number in range(jumps):
        await steps.of(page.frame(frames // 3 + number))
    return [exact.line("jump, exact"), rough.line("jump, near"), steps.line("step")]


async def dragging(page: Page, *, seconds: float = 4.0) -> list[str]:
    """Drag the handle over the timeline: a request every 16 ms, older ones given up."""
    frames = (await page.video())["frames"]
    waits: list[float] = []
    dropped, number, newest, exact = 0, 0, 0, 0
    began, before = time.perf_counter(), page.served.processor()

    async def one(index: int, sequence: int) -> None:
        nonlocal dropped, newest, exact
        asked = time.perf_counter()
        answer = await page.frame(index, tab="drag", seq=sequence, rough=1)
        if answer.status_code == 409:
            dropped += 1
        elif sequence > newest:
            newest = sequence
            exact += answer.headers["x-frame"] == str(index)
            waits.append(time.perf_counter() - asked)

    tasks = []
    while time.perf_counter() - began < seconds:
        share = (time.perf_counter() - began) / seconds
        tasks.append(asyncio.ensure_future(one(int(share * (frames - 1)), number)))
        number += 1
        await asyncio.sleep(0.016)
    rest = time.perf_counter()
    await asyncio.gather(*tasks)
    await page.frame(frames - 40, tab="drag", seq=number)
    settled = time.perf_counter() - rest
    after = page.served.processor()
    spent = {name: after[name] - before.get(name, 0.0) for name in after}
    shown = np.asarray(waits) * 1000
    return [
        f"{'drag':<24} asked {number}  shown {len(shown)} ({len(shown) / seconds:.0f} per s)  "
        f"dropped {dropped}  wall ms p50 {np.percentile(shown, 50):.0f}  p95 "
        f"{np.percentile(shown, 95):.0f}  of the very frame {exact}  whole one "
        f"{settled * 1000:.0f} ms after the end  CPU s "
        + "  ".join(f"{name} {value:.2f}" for name, value in spent.items())
    ]


async def selecting(page: Page, *, times: int) -> list[str]:
    """Show a frame, look at it for a second, click; then click again on the same frame."""
    video, dice = await page.video(), random.Random(2)
    first, again = Watch(page.served), Watch(page.served)
    for _ in range(times):
        index = dice.randrange(video["frames"])
        await page.frame(index)
        await asyncio.sleep(1.0)
        for watch, at in ((first, 0.5), (again, 0.45)):
            place = [video["width"] * at, video["height"] * 0.5]
            given = {"frame": index, "strokes": [{"places": [place]}]}
            answer = await watch.of(page.client.post("/api/select", json=given))
            assert answer.status_code == 200, answer.text
    return [first.line("select, 1 s after"), again.line("select, again")]


async def tracking(page: Page, *, times: int) -> list[str]:
    """Mark an object, track, wait for the first frame with its mask; then stop."""
    video, watch = await page.video(), Watch(page.served)
    frames = video["frames"]
    mask = np.zeros((video["height"], video["width"]), dtype=np.uint8)
    mask[300:500, 100:300] = 255
    out = io.BytesIO()
    Image.fromarray(mask).save(out, format="PNG")
    png = base64.b64encode(out.getvalue()).decode()
    address = f"ws://127.0.0.1:{page.served.port}/api/events"
    cookie = {"cookie": "; ".join(f"{k}={v}" for k, v in page.client.cookies.items())}

    async def act(**action: object) -> dict[str, Any]:
        answer = await page.client.post("/api/actions", json=action)
        assert answer.status_code == 200, answer.text
        return answer.json()

    await act(type="add", kind="object")
    for number in range(times):
        begin = number * frames // (times + 1)
        await page.frame(begin)
        await act(type="mask", id=1, frame=begin, png=png)
        await asyncio.sleep(1.0)
        async with websockets.connect(address, additional_headers=cookie, max_size=None) as ws:

            async def first() -> None:
                given = {"from": begin, "to": min(frames, begin + 300)}  # noqa: B023
                answer = await page.client.post("/api/track", json=given)
                assert answer.status_code == 202, answer.text
                while True:
                    told = json.loads(await ws.recv())
                    assert told["type"] not in ("done", "failed"), told
                    if told["type"] == "progress" and told["stage"] == "track":
                        shown = await page.client.get(f"/api/masks/{told['frame']}")
                        assert shown.status_code == 200
                        return

            await watch.of(first())
            await page.client.post("/api/stop")
            while json.loads(await ws.recv())["type"] != "stopped":
                pass
    return [watch.line("track to first frame")]


async def copying(page: Page, clip: Path, place: Path, *, jumps: int, cache: Path) -> list[str]:
    """Wait for the small copy of the clip; then jump to frames, and drag over all of it."""
    folder = place / "copied"
    folder.mkdir()
    video = folder / clip.name
    video.symlink_to(clip.resolve())
    await page.open(video)
    await page.ready()
    known = {"times": (await page.video())["timesKey"]}
    began, before = time.perf_counter(), page.served.processor()
    while True:
        state = (await page.client.get("/api/state", params=known)).json()
        copy = state["project"]["smallCopy"]
        if copy is not None and not copy["making"] and copy["there"]:
            break
        await asyncio.sleep(1.0)
    wall = time.perf_counter() - began
    spent = page.served.processor().get("small copy", 0.0) - before.get("small copy", 0.0)
    there = sum(end - start for start, end in copy["there"])
    size = sum(path.stat().st_size for path in cache.rglob("*.chunk"))
    frames, dice, watch = (await page.video())["frames"], random.Random(3), Watch(page.served)
    exact = 0
    for number in range(jumps):
        index = dice.randrange(frames)
        answer = await watch.of(page.frame(index, tab="small", seq=number, rough=1))
        exact += answer.headers["x-frame"] == str(index)
    return [
        f"{'small copy':<24} frames {there} of {frames}  {wall:.0f} s  CPU s {spent:.0f}  "
        f"MB {size / 1e6:.0f}",
        f"{watch.line('jump, small')}   of the very frame {exact}",
        await _busy_jumps(page, jumps=jumps),
        *await dragging(page),
    ]


async def _busy_jumps(page: Page, *, jumps: int) -> str:
    """Jump to frames whose whole pictures are asked for too, as the page does after a click."""
    frames, dice, watch = (await page.video())["frames"], random.Random(4), Watch(page.served)
    for number in range(jumps):
        index = dice.randrange(frames)
        whole = asyncio.ensure_future(page.frame(index))
        await watch.of(page.frame(index, tab="click", seq=number, rough=1))
        await whole
    return watch.line("click, small one first")


async def measure(
    served: Served, clip: Path, place: Path, parts: Sequence[str], jumps: int, cache: Path | None
) -> None:
    """Print a line for everything that is measured; cache: where the small copy is kept."""
    headers = {"origin": served.base}
    async with httpx.AsyncClient(base_url=served.base, headers=headers, timeout=120) as client:
        answer = await client.get("/", params={"token": served.token})
        assert answer.status_code == 303
        page = Page(served, client)
        work = {
            "open": lambda: opening(page, clip, place, times=5),
            "scrub": lambda: scrubbing(page, jumps=jumps),
            "drag": lambda: dragging(page),
            "select": lambda: selecting(page, times=max(4, jumps // 5)),
            "track": lambda: tracking(page, times=5),
        }
        if cache is not None:
            work = {"copy": lambda: copying(page, clip, place, jumps=jumps, cache=cache)}
        for name in parts:
            for line in await work[name]():
                print(line, flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--make", action="store_true", help="render CLIP first")
    parser.add_argument("--jumps", type=int, default=40)
    parser.add_argument("--parts", default=",".join(_PARTS))
    parser.add_argument("--cache", type=Path, help="folder that keeps the small copy")
    given = parser.parse_args()
    if given.make:
        make_clip(given.clip)
    place = Path(tempfile.mkdtemp(prefix="studio-benchmark-"))
    parts = [part for part in given.parts.split(",") if part not in ("open", "copy")]
    runs: list[tuple[list[str], Path | None]] = []
    if parts or "open" in given.parts:
        runs.append((["open", *parts], None))
    if "copy" in given.parts.split(","):
        runs.append((["copy"], given.cache or place / "cache"))
    try:
        for wanted, cache in runs:
            served = Served(place / "home", cache)
            try:
                asyncio.run(measure(served, given.clip, place, wanted, given.jumps, cache))
            finally:
                served.end()
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
