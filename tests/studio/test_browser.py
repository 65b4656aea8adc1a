"""The studio in a real browser, on a real server with the real model.

`pytest -m slow tests/studio/test_browser.py` runs them where Chromium and `playwright` are;
elsewhere they are skipped. Pictures to look at are kept in the folder that STUDIO_SHOTS names.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

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
WAIT = 60_000  # ms
LONG = 600_000  # ms: tracking, on a machine that does other things too


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers; whatever happens, none is left behind."""
    servers: list[Server] = []

    def run(*given: Any) -> Server:
        servers.append(Server(*given))
        return servers[-1]

    yield run
    for server in servers:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("studio"))
    yield server
    server.kill()


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
        self.shown(0)

    def shown(self, frame: int) -> None:
        """Wait till a frame is on the screen."""
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

    def select(self, xy: tuple[float, float], to: tuple[float, float]) -> None:
        self.page.keyboard.press("s")
        self.page.mouse.move(*self.place(xy))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(to), steps=8)
        self.page.mouse.up()
        self.page.wait_for_selector("button.primary:has-text('Accept'):enabled")
        self.page.keyboard.press("Enter")

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


def test_a_person_marks_tracks_corrects_undoes_and_exports(
    browser: Any, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path)
    studio = Studio(browser, server.address)
    page = studio.page
    studio.shot("first-screen")
    studio.open_demo()
    studio.shot("opened")

    studio.select(*BALL)
    studio.wait_marked(0, 1)
    studio.go_to(20)
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("menuitem", name="Object").click()
    page.wait_for_selector(".object:nth-child(2).picked")
    studio.select(*FISH)
    studio.wait_marked(20, 2)
    studio.shot("marked")

    page.get_by_role("combobox", name="Quality").select_option("fast")
    page.get_by_role("button", name="Track", exact=True).click()
    page.get_by_role("button", name="Stop").wait_for()
    page.wait_for_selector("button:has-text('Tracked')", timeout=LONG)
    result = studio.state()["project"]["result"]
    assert (result["start"], result["end"], result["stale"]) == (0, 48, [])
    assert set(result["reliability"]) == {"object:1", "object:2"}
    studio.shot("tracked")

    page.keyboard.press("Home")
    page.keyboard.press(" ")
    page.wait_for_selector("button[aria-label='Pause']")
    page.wait_for_selector("button[aria-label='Play']")
    studio.shown(47)

    studio.go_to(40)
    page.keyboard.press("1")
    studio.paint((300, 250), (340, 250))
    studio.wait_marked(40, 1)
    again = page.locator("button.primary:has-text('Track again (frames')")
    again.wait_for()
    assert studio.state()["project"]["result"]["stale"] == [[1, 48]]
    studio.shot("corrected")
    page.keyboard.press("Control+z")
    page.wait_for_selector("button:has-text('Tracked')")
    assert studio.marks(40) == {}
    page.keyboard.press("Control+Shift+Z")
    again.wait_for()
    page.keyboard.press("Control+z")
    page.wait_for_selector("button:has-text('Tracked')")

    page.keyboard.press("Control+e")
    page.get_by_role("dialog", name="Export").wait_for()
    page.get_by_role("radio", name="tidy-csv").check()
    page.wait_for_selector(".preview pre:has-text('frame')")
    studio.shot("export")
    page.get_by_role("dialog").get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    rows = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(rows) > 48
    page.keyboard.press("Escape")

    before = studio.state()["project"]
    server.kill(signal.SIGKILL)
    page.get_by_text("Connection lost").wait_for()
    studio.close()
    server = start(tmp_path, before["path"])
    studio = Studio(browser, server.address)
    studio.shown(0)
    after = studio.state()["project"]
    for what in ("objects", "marks", "result", "undo", "settings"):
        assert after[what] == before[what], what
    studio.close()


def test_each_kind_of_mark_is_made_with_its_tool(browser: Any, server: Server) -> None:
    studio = Studio(browser, server.address)
    page = studio.page
    studio.open_demo()
    studio.go_to(5)

    page.keyboard.press("p")
    for corner in ((100, 100), (140, 100), (140, 150)):
        page.mouse.click(*studio.place(corner))
    page.keyboard.press("Enter")
    studio.wait_marked(5, 1)

    page.keyboard.press("o")
    page.mouse.click(*studio.place((200, 90)))
    page.wait_for_selector(".object-name:has-text('point 1')")
    page.keyboard.press("r")
    page.mouse.move(*studio.place((250, 100)))
    page.mouse.down()
    page.mouse.move(*studio.place((310, 180)), steps=3)
    page.mouse.up()
    page.wait_for_selector(".object-name:has-text('box 1')")
    page.keyboard.press("k")
    page.get_by_role("combobox", name="Skeleton").select_option("quadruped")
    page.mouse.click(*studio.place((400, 100)))
    page.wait_for_selector(".tool-hint:has-text('neck (2 of 13)')")
    page.mouse.click(*studio.place((420, 120)))
    page.wait_for_selector(".tool-hint:has-text('back (3 of 13)')")
    studio.shot("kinds")

    marks = studio.marks(5)
    assert marks["points"]["1"] == pytest.approx([200, 90], abs=1)
    assert marks["boxes"]["1"] == pytest.approx([250, 100, 60, 80], abs=1.5)
    assert marks["keypoints"]["1"][0] == pytest.approx([400, 100], abs=1)
    assert marks["keypoints"]["1"][1] == pytest.approx([420, 120], abs=1)
    assert marks["keypoints"]["1"][2:] == [None] * 11

    page.keyboard.press("g")
    page.wait_for_selector(".tag.gone")
    page.keyboard.press("Delete")
    page.wait_for_selector(".tag.gone", state="detached")
    studio.close()


def test_the_brush_answers_within_a_display_frame(browser: Any, server: Server) -> None:
    studio = Studio(browser, server.address)
    studio.open_demo()
    studio.go_to(9)
    studio.page.keyboard.press("b")
    x, y = studio.place((320, 180))
    studio.page.mouse.move(x, y)
    studio.page.mouse.down()
    took = studio.page.evaluate(
        """async ([x, y]) => {
          const canvas = document.querySelector("canvas.over");
          const took = [];
          for (let n = 0; n < 60; n++) {
            const [clientX, clientY] = [x + 60 * Math.sin(n / 6), y + 40 * Math.cos(n / 6)];
            const where = { clientX, clientY, pointerId: 1, bubbles: true };
            const event = new PointerEvent("pointermove", where);
            const start = performance.now();
            canvas.dispatchEvent(event);
            took.push(performance.now() - start);
            await new Promise(requestAnimationFrame);
          }
          return took;
        }""",
        [x, y],
    )
    studio.page.mouse.up()
    assert statistics.median(took) < 16
    studio.page.wait_for_selector(".frame-marks .tag")
    area = studio.page.evaluate(
        """async () => {
          const answer = await fetch("/api/masks/9?of=marks");
          const picture = await createImageBitmap(await answer.blob());
          const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
          context.drawImage(picture, 0, 0);
          const { data } = context.getImageData(0, 0, picture.width, picture.height);
          return data.filter((value, n) => n % 4 === 0 && value > 0).length;
        }"""
    )
    assert area > 2000, "the ring that was drawn is in the mask that was sent"
    studio.close()


def test_fingers_zoom_and_paint(browser: Any, server: Server) -> None:
    studio = Studio(browser, server.address, has_touch=True, device_scale_factor=2)
    page = studio.page
    studio.open_demo()
    studio.go_to(12)
    page.get_by_role("button", name="Brush", exact=True).tap()
    x, y = studio.place((500, 120))
    touch = studio.context.new_cdp_session(page)

    def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    count = len(studio.state()["project"]["objects"])
    fingers("touchStart", (x - 20, y), (x + 20, y))
    fingers("touchMove", (x - 60, y), (x + 60, y))
    fingers("touchEnd")
    page.wait_for_timeout(300)
    studio.shot("touch-zoomed")
    assert len(studio.state()["project"]["objects"]) == count, "a pinch must not paint"
    assert studio.marks(12) == {}
    fingers("touchStart", (x, y))
    fingers("touchMove", (x + 30, y + 5))
    fingers("touchEnd")
    page.wait_for_selector(".frame-marks .tag")
    studio.shot("touch-painted")
    studio.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, server: Server, scheme: str) -> None:
    size = {"width": 1920, "height": 1080}
    studio = Studio(browser, server.address, color_scheme=scheme, viewport=size)
    page = studio.page
    studio.open_demo()
    studio.shot(f"workspace-{scheme}")
    assert studio.violations() == []
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    studio.shot(f"keys-{scheme}")
    assert studio.violations() == []
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("button", name="Project ").click()
    page.get_by_role("menuitem").first.click()
    page.wait_for_selector(".first")
    studio.shot(f"first-{scheme}")
    assert studio.violations() == []
    studio.close()


@pytest.mark.parametrize("width", [1280, 1366, 1920])
def test_nothing_overlaps_or_is_cut_off(browser: Any, server: Server, width: int) -> None:
    studio = Studio(browser, server.address, viewport={"width": width, "height": 800})
    studio.open_demo()
    outside = studio.page.evaluate(
        """() => {
          const bars = [".topbar", ".tool-line", ".transport", ".side", ".toolbar"];
          const found = [];
          for (const bar of bars.map((name) => document.querySelector(name))) {
            const parts = [...bar.querySelectorAll("button, select, input, output, h2, .time")]
              .filter((part) => part.offsetParent && !part.closest(".sr-only, .swatch"));
            const boxes = parts.map((part) => part.getBoundingClientRect());
            boxes.forEach((a, n) => {
              const name = parts[n].getAttribute("aria-label") ?? parts[n].textContent;
              if (a.left < 0 || a.right > innerWidth + 0.5) found.push(`${name} is outside`);
              boxes.slice(n + 1).forEach((b, m) => {
                const other = parts[n + 1 + m];
                if (parts[n].contains(other)) return;
                const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                if (wide > 1 && high > 1) found.push(`${name} lies over ${other.textContent}`);
              });
            });
          }
          return found;
        }"""
    )
    assert outside == []
    studio.close()
