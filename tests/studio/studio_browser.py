"""A real server and a page in Debian's Chromium, and the few things that a person does on it.

Pictures to look at are kept in the folder that STUDIO_SHOTS names.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
if CHROMIUM is None:
    pytest.skip("there is no chromium here", allow_module_level=True)

ROOT = Path(__file__).parents[2]
AXE = ROOT / "studio-ui" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BALL, FISH = ((145, 195), (190, 230)), ((290, 162), (412, 176))  # px of the demo clip to drag over
ON_BALL = (165, 210)  # its middle, where four of its colours meet
WAIT = 180_000  # ms, on a machine that does other things too
LONG = 900_000  # ms: tracking


class Server:
    """`chromatrack studio` in a process of its own."""

    def __init__(self, home: Path, *more: str) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "chromatrack", "studio", *more),
                *("--port", "0", "--no-browser", "--home", str(home)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), self.address

    def kill(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(30)


class Studio:
    """A page with the studio, and the few things that a person does on it."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        context = {"viewport": {"width": 1280, "height": 800}, "bypass_csp": True} | context
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.failures: list[str] = []
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))
        self.page.on("response", self._note)
        self.address = address
        self.centres: dict[int, tuple[float, float]] = {}
        self.page.goto(address)
        self.page.wait_for_selector(".first, .workspace")

    def _note(self, response: Any) -> None:
        if response.status >= 500:
            self.failures.append(f"{response.status} {response.url}")

    def close(self) -> None:
        self.context.close()
        assert self.failures == []

    def open_demo(self) -> None:
        if self.page.query_selector(".workspace"):
            self.page.get_by_role("button", name="Project ").click()
            self.page.get_by_role("menuitem", name="Open something else").click()
        self.page.get_by_role("button", name="Try the demo clip").click()
        self.shown()
        self.go_to(0)

    def shown(self, frame: int | None = None) -> None:
        """Wait till a frame is on the screen; None: the one where one was when it was closed."""
        if frame is None:
            self.page.wait_for_selector(".workspace")
            frame = self.state()["project"]["place"].get("frame", 0)
        self.page.wait_for_selector(f'canvas.base[data-frame="{frame}"]')
        self.page.wait_for_selector(f'canvas.base[data-masks="{frame}"]')

    def go_to(self, frame: int) -> None:
        field = self.page.get_by_role("spinbutton", name="Frame")
        field.click()
        assert field.evaluate("field => field === document.activeElement")
        field.fill(str(frame))
        field.press("Enter")
        self.shown(frame)

    def place(self, xy: tuple[float, float]) -> tuple[float, float]:
        """Where a pixel of the video is on the page, with the picture fitted to the window."""
        self.page.keyboard.press("0")
        box = self.page.locator("canvas.over").bounding_box()
        video = self.state()["project"]["video"]
        room = (box["width"] - 48) / video["width"], (box["height"] - 48) / video["height"]
        scale = min(room)
        left = box["x"] + (box["width"] - scale * video["width"]) / 2
        top = box["y"] + (box["height"] - scale * video["height"]) / 2
        return left + (xy[0] + 0.5) * scale, top + (xy[1] + 0.5) * scale

    def state(self) -> dict[str, Any]:
        return self.page.evaluate("fetch('/api/state').then((answer) => answer.json())")

    def marks(self, frame: int) -> dict[str, Any]:
        return self.state()["project"]["marks"].get(str(frame), {})

    def wait_marked(self, frame: int, identifier: int) -> None:
        self.page.wait_for_selector(".frame-marks .tag")
        for _ in range(100):
            if identifier in self.marks(frame).get("objects", []):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"object {identifier} is not marked on frame {frame}")

    def wait_area(self, frame: int, fits: Callable[[int], bool]) -> None:
        """Wait till the pixels that are marked on a frame are as many as they should be."""
        for _ in range(100):
            if fits(self.area(frame)):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{self.area(frame)} pixels are marked on frame {frame}")

    def select(self, xy: tuple[float, float], to: tuple[float, float]) -> None:
        self.page.keyboard.press("s")
        self.page.mouse.move(*self.place(xy))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(to), steps=8)
        self.page.mouse.up()
        self.found()
        self.page.keyboard.press("Enter")

    def click(self, *places: tuple[float, float]) -> None:
        """Smart select by clicks alone."""
        self.page.keyboard.press("s")
        for place in places:
            self.page.mouse.click(*self.place(place))
            self.found()
        self.page.keyboard.press("Enter")

    def loop(self, xy: tuple[float, float], radius: float, *, accept: bool = True) -> None:
        """Smart select by a loop round a place."""
        self.page.keyboard.press("s")
        angles = [2 * math.pi * n / 40 for n in range(41)]
        ring = [(xy[0] + radius * math.cos(a), xy[1] + radius * math.sin(a)) for a in angles]
        self.page.mouse.move(*self.place(ring[0]))
        self.page.mouse.down()
        for at in ring[1:]:
            self.page.mouse.move(*self.place(at))
        self.page.wait_for_selector(".tool-hint:has-text('in the loop')")
        self.page.mouse.up()
        self.found()
        if accept:
            self.page.keyboard.press("Enter")

    def found(self) -> None:
        """Wait till a region is on trial and nothing is looked for any more."""
        self.page.wait_for_selector("button.primary:has-text('Accept')")
        self.page.wait_for_selector(".tool-hint:not(.busy)")

    def area(self, frame: int) -> int:
        """Pixels of a frame's marks."""
        return self.page.evaluate(
            """async (frame) => {
              const answer = await fetch(`/api/masks/${frame}?of=marks`);
              const picture = await createImageBitmap(await answer.blob());
              const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
              context.drawImage(picture, 0, 0);
              const { data } = context.getImageData(0, 0, picture.width, picture.height);
              return data.filter((value, n) => n % 4 === 0 && value > 0).length;
            }""",
            frame,
        )

    def paint(self, xy: tuple[float, float], to: tuple[float, float]) -> None:
        self.page.keyboard.press("b")
        self.page.mouse.move(*self.place(xy))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(to), steps=8)
        self.page.mouse.up()

    def shot(self, name: str) -> None:
        if folder := os.environ.get("STUDIO_SHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))

    def violations(self) -> list[str]:
        """What axe finds serious or critical."""
        if not AXE.is_file():
            pytest.skip("axe-core is not installed: `npm ci` in studio-ui")
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run().then((result) => result.violations)")
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
