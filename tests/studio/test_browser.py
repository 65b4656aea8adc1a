"""The studio in a real browser, on a real server with the real model.

`pytest -m slow tests/studio/test_browser.py` runs them where Chromium and `playwright` are;
elsewhere they are skipped. Pictures to look at are kept in the folder that STUDIO_SHOTS names.
"""

from __future__ import annotations

import json
import math
import signal
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from studio_browser import FISH, LONG, ON_BALL, Server, Studio

pytestmark = pytest.mark.slow


def test_a_person_marks_tracks_corrects_undoes_and_exports(
    browser: Any, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path)
    studio = Studio(browser, server.address)
    page = studio.page
    studio.shot("first-screen")
    studio.open_demo()
    studio.shot("opened")

    studio.click(ON_BALL)
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
    saved = {}
    for name in ("DAVIS", "COCO", "Table, CSV"):
        page.get_by_role("radio", name=name, exact=False).first.check()
        page.wait_for_selector(".preview pre")
        page.get_by_role("dialog").get_by_role("button", name="Export").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        saved[name] = Path(download.value.path()).read_bytes()
    studio.shot("export")
    assert len(saved["Table, CSV"].splitlines()) > 48
    assert all(saved.values()) and len({*saved.values()}) == 3
    page.keyboard.press("Escape")

    before = studio.state()["project"]
    server.kill(signal.SIGKILL)
    page.get_by_text("Connection lost").wait_for()
    studio.close()
    server = start(tmp_path, before["path"])
    studio = Studio(browser, server.address)
    studio.shown()
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
    browser.start_tracing(page=studio.page, categories=["devtools.timeline"])
    for n in range(60):
        studio.page.mouse.move(x + 60 * math.sin(n / 6), y + 40 * math.cos(n / 6))
    events = json.loads(browser.stop_tracing())["traceEvents"]
    # CPU time of the page's thread, in ms: the clock on the wall also counts what others do.
    took = {"EventDispatch": [], "FireAnimationFrame": []}
    for one in events:
        told = one.get("args", {}).get("data", {}).get("type", "pointermove")
        if one["name"] in took and one["ph"] == "X" and told == "pointermove":
            took[one["name"]].append(one.get("tdur", 0) / 1000)
    studio.page.mouse.up()
    for times in took.values():
        assert len(times) > 20
        assert statistics.quantiles(times, n=20)[-1] < 8  # two of them fit in a display frame
    studio.page.wait_for_selector(".frame-marks .tag")
    area = studio.area(9)
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
