"""A grey clip is coloured in the studio's page, and nothing of it is lost with the server."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from studio_browser import LONG, Server, Studio
from synthetic import moving_clip
from video_clips import write_clip

pytestmark = pytest.mark.slow


def grey_clip(path: Path, count: int = 8) -> Path:
    frames = [one.rgb for one in moving_clip(frames=count, size=(120, 200))]
    grey = [frame.mean(-1, keepdims=True).repeat(3, -1).astype("uint8") for frame in frames]
    return write_clip(path / "grey.mp4", grey)


def colour(studio: Studio, name: str, xy: tuple[float, float], to: tuple[float, float]) -> None:
    studio.page.get_by_role("button", name=name, exact=True).click()
    count = len(studio.page.query_selector_all(".object-list li"))
    studio.page.mouse.move(*studio.place(xy))
    studio.page.mouse.down()
    studio.page.mouse.move(*studio.place(to), steps=5)
    studio.page.mouse.up()
    studio.page.wait_for_selector(f".object-list li:nth-child({max(1, count)})")


def test_strokes_that_follow_fast_are_all_kept(
    browser: Any, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path, str(grey_clip(tmp_path)))
    studio = Studio(browser, server.address)
    studio.shown()
    modes = studio.page.get_by_role("group", name="What to do")
    modes.get_by_role("button", name="Colours").click()
    studio.page.get_by_role("button", name="Red", exact=True).click()
    for place in range(6):
        studio.page.mouse.move(*studio.place((20 + 8 * place, 20 + 15 * place)))
        studio.page.mouse.down()
        studio.page.mouse.up()
    for _ in range(100):
        reference = studio.state()["project"]["color"]["references"].get("0")
        if reference and len(reference["strokes"]) == 6:
            break
        studio.page.wait_for_timeout(100)
    assert len(reference["strokes"]) == 6
    studio.close()


def test_a_grey_clip_is_coloured_and_survives_a_kill(
    browser: Any, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path, str(grey_clip(tmp_path)))
    studio = Studio(browser, server.address)
    page = studio.page
    studio.shown()
    if "color" not in studio.state()["project"]:
        studio.close()
        pytest.skip("this server does not colour")
    modes = page.get_by_role("group", name="What to do")
    modes.get_by_role("button", name="Colours").click()
    colour(studio, "Red", (40, 40), (120, 45))
    colour(studio, "Grass", (40, 90), (160, 95))
    for _ in range(100):
        reference = studio.state()["project"]["color"]["references"].get("0")
        if reference and len(reference["strokes"]) == 2:
            break
        page.wait_for_timeout(100)
    assert [one["color"] for one in reference["strokes"]] == ["#a83a32", "#6d8a3f"]
    page.wait_for_selector('canvas.base[data-coloured="0"]')
    studio.shot("color-reference")
    assert studio.violations() == []

    page.locator(".track-group").get_by_role("button", name="Colour").click()
    page.wait_for_selector(".track-group button:has-text('Coloured')", timeout=LONG)
    studio.go_to(5)
    page.wait_for_selector('canvas.base[data-coloured="5"]')
    studio.shot("coloured")
    page.keyboard.press("Control+e")
    page.get_by_role("radio", name="Coloured video").check()
    page.wait_for_selector(".preview img")
    studio.shot("color-export")
    page.get_by_role("dialog").get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).stat().st_size > 1000

    before = studio.state()["project"]
    server.kill(signal.SIGKILL)
    studio.close()
    server = start(tmp_path, before["path"])
    studio = Studio(browser, server.address)
    studio.shown()
    after = studio.state()["project"]
    assert after["color"] == before["color"]
    assert after["undo"] == before["undo"]
    studio.close()


SEEN = """() => {
  window.seen = [];
  const base = document.querySelector("canvas.base");
  const look = () => {
    const { frame, coloured } = base.dataset;
    if (frame !== "" && window.seen.at(-1)?.[0] !== frame) window.seen.push([frame, coloured]);
    else if (frame !== "") window.seen.at(-1)[1] = coloured;
    requestAnimationFrame(look);
  };
  look();
}"""


PAINTED = """() => {
  window.greys = 0;
  window.said = [];
  const base = document.querySelector("canvas.base");
  const line = document.querySelector(".tool-hint");
  const look = () => {
    if (base.dataset.coloured === "") window.greys += 1;
    const text = `${line.ariaBusy} ${line.textContent}`;
    if (window.said.at(-1) !== text) window.said.push(text);
    requestAnimationFrame(look);
  };
  look();
}"""


def test_colours_are_on_show_while_they_come_and_while_it_plays(
    browser: Any, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path, str(grey_clip(tmp_path, 20)))
    studio = Studio(browser, server.address)
    page = studio.page
    studio.shown()
    modes = page.get_by_role("group", name="What to do")
    modes.get_by_role("button", name="Colours").click()
    colour(studio, "Red", (40, 40), (120, 45))
    page.wait_for_selector('canvas.base[data-coloured="0"]')
    page.evaluate(SEEN)
    page.locator(".track-group").get_by_role("button", name="Colour").click()
    page.wait_for_selector(".track-group button:has-text('Coloured')", timeout=LONG)
    page.wait_for_function("window.seen.some(([, coloured]) => coloured === '19')")
    page.wait_for_selector('canvas.base[data-coloured="0"]')  # back to where one painted
    coming = page.evaluate("window.seen")
    assert all(frame == coloured for frame, coloured in coming), coming

    page.keyboard.press("Home")
    page.wait_for_selector('canvas.base[data-coloured="0"]')
    page.evaluate("window.seen.length = 0")
    page.keyboard.press("Space")
    page.wait_for_selector('canvas.base[data-coloured="19"]')
    page.get_by_role("button", name="Play").wait_for()
    played = page.evaluate("window.seen")
    assert len(played) > 2 and all(frame == coloured for frame, coloured in played), played

    studio.go_to(5)
    page.wait_for_selector('canvas.base[data-coloured="5"]')
    page.get_by_role("button", name="Deep blue", exact=True).click()
    page.evaluate(PAINTED)
    page.mouse.click(*studio.place((30, 100)))
    page.wait_for_selector(".object-list :text('corrected')")
    page.wait_for_selector(".tool-hint:not(.busy)")
    quiet, *said = page.evaluate("window.said")
    assert quiet.startswith("false")
    assert said == ["true Spreading the colours ...", quiet]
    assert page.evaluate("window.greys") == 0, "never grey while the stroke's colours come"
    reference = studio.state()["project"]["color"]["references"]["5"]
    assert reference["copied"] and len(reference["strokes"]) == 1
    page.keyboard.press("Control+e")
    page.wait_for_selector(".dialog .note:has-text('older than what you painted')")
    studio.shot("color-out-of-date")
    page.keyboard.press("Escape")

    page.get_by_label("View", exact=True).select_option("Confidence")
    page.wait_for_selector(".legend:has-text('Unsure')")
    studio.go_to(7)
    page.wait_for_selector('canvas.base[data-coloured="7"]')
    studio.shot("color-confidence")
    assert studio.violations() == []
    page.get_by_label("View", exact=True).select_option("Coloured")
    page.wait_for_selector(".legend", state="detached")

    page.get_by_role("slider", name="Saturation").fill("1.5")
    page.wait_for_selector("output:has-text('150 %')")
    page.reload()
    studio.shown()
    assert studio.state()["project"]["settings"]["saturation"] == 1.5
    page.wait_for_selector("output:has-text('150 %')")
    studio.shot("color-panel")
    studio.close()

    other = Studio(browser, server.address)  # has no settings: it opens for what is there
    other.shown()
    modes = other.page.get_by_role("group", name="What to do")
    colours = modes.get_by_role("button", name="Colours")
    assert colours.get_attribute("aria-pressed") == "true"
    other.page.keyboard.press("Control+z")
    other.page.wait_for_selector("output:has-text('100 %')")
    other.close()


def test_who_looks_elsewhere_while_it_colours_is_told_and_brought_back(
    browser: Any, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path, str(grey_clip(tmp_path, 40)))
    studio = Studio(browser, server.address)
    page = studio.page
    studio.shown()
    modes = page.get_by_role("group", name="What to do")
    modes.get_by_role("button", name="Colours").click()
    studio.go_to(3)
    colour(studio, "Red", (40, 40), (120, 45))
    page.wait_for_selector('canvas.base[data-coloured="3"]')
    page.locator(".track-group").get_by_role("button", name="Colour").click()
    page.wait_for_selector(".hints li:has-text('Colouring: the picture goes along')")
    modes.get_by_role("button", name="Objects").click()
    page.wait_for_selector(".hints li:has-text('Colouring first, then press Track')")
    studio.shot("color-elsewhere")
    page.wait_for_selector(".track-group button:has-text('Track')", timeout=LONG)
    page.wait_for_selector('canvas.base[data-frame="3"]')
    assert page.locator(".hints li:has-text('Press Track')").count() == 1
    modes.get_by_role("button", name="Colours").click()
    page.wait_for_selector('canvas.base[data-coloured="3"]')
    studio.close()


def test_strokes_are_erased_and_recoloured(
    browser: Any, tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(tmp_path, str(grey_clip(tmp_path)))
    studio = Studio(browser, server.address)
    page = studio.page
    studio.shown()
    modes = page.get_by_role("group", name="What to do")
    modes.get_by_role("button", name="Colours").click()
    colour(studio, "Red", (40, 40), (120, 45))
    colour(studio, "Grass", (40, 90), (160, 95))

    def until(wanted: list[str | None]) -> None:
        for _ in range(100):
            given = studio.state()["project"]["color"]["references"].get("0", {"strokes": []})
            if [one["color"] for one in given["strokes"]] == wanted:
                return
            page.wait_for_timeout(100)
        raise AssertionError(f"{given} has not the colours {wanted}")

    until(["#a83a32", "#6d8a3f"])
    page.get_by_role("button", name="Used colour #a83a32").click()
    chooser = page.get_by_label("Change this colour on all frames")
    chooser.evaluate("e => { e.value = '#112233'; e.dispatchEvent(new Event('change')); }")
    until(["#112233", "#6d8a3f"])
    page.keyboard.press("e")
    page.wait_for_selector(".tool[aria-pressed=true]:has-text('Eraser')")
    page.mouse.move(*studio.place((80, 20)))
    page.mouse.down()
    page.mouse.move(*studio.place((80, 70)), steps=5)
    page.mouse.up()
    until(["#112233", "#6d8a3f", None])
    studio.shot("color-eraser")
    assert studio.violations() == []
    page.keyboard.press("Control+z")
    until(["#112233", "#6d8a3f"])
    page.mouse.click(*studio.place((80, 42)))  # on the line of the first
    until(["#6d8a3f"])
    page.mouse.click(*studio.place((10, 10)))
    page.get_by_text("There is no stroke here").wait_for()
    until(["#6d8a3f"])
    page.keyboard.press("Delete")
    until([])
    for _ in range(3):  # faster than they are done: the strokes come back, and their colour
        page.keyboard.press("Control+z")
    until(["#a83a32", "#6d8a3f"])
    page.wait_for_selector("[aria-label='Used colour #a83a32'][aria-pressed=true]")
    page.keyboard.press("Control+Shift+z")
    page.wait_for_selector("[aria-label='Used colour #112233'][aria-pressed=true]")
    studio.close()
