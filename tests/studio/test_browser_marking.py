"""The studio's page: tools, words for fingers, and colours that are wiped, cleared and doubted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from studio_browser import Server, Studio
from synthetic import moving_clip
from video_clips import write_clip

pytestmark = pytest.mark.slow

NUMBERS = itertools.count()
FRAMES, SIZE = 6, (120, 200)
TRUTH = [one.rgb for one in moving_clip(frames=FRAMES, size=SIZE, radius=20, objects=2, seed=0)]


OPEN = """(path) => fetch("/api/open", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ path }),
})"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey clip; the truth in colour is TRUTH."""
    grey = [frame.mean(-1, keepdims=True).repeat(3, -1).astype("uint8") for frame in TRUTH]
    return write_clip(tmp_path_factory.mktemp("film") / "grey.mp4", grey, options={"qp": "10"})


@pytest.fixture
def open_film(
    browser: Any, server: Server, tmp_path: Path, film: Path
) -> Iterator[Callable[..., Studio]]:
    """Opens a page with the grey clip, in a project of its own.

    No two have one name: the page shows the one before until the server has told of the new one.
    """
    opened: list[Studio] = []

    def run(**context: Any) -> Studio:
        name = f"grey-{next(NUMBERS):02d}"
        clip = tmp_path / f"{name}.mp4"
        clip.write_bytes(film.read_bytes())
        studio = Studio(browser, server.address, **context)
        opened.append(studio)
        studio.page.evaluate(OPEN, str(clip))
        studio.page.get_by_role("button", name=f"Project {name}").wait_for()
        studio.shown()
        return studio

    yield run
    for studio in opened:
        studio.close()


def take(studio: Studio, name: str) -> None:
    studio.page.get_by_role("navigation").get_by_role("button", name=name, exact=True).click()


def in_hand(studio: Studio) -> str | None:
    return studio.page.locator(".tool[aria-pressed=true]").get_attribute("aria-label")


def colours(studio: Studio) -> None:
    modes = studio.page.get_by_role("group", name="What to do")
    modes.get_by_role("button", name="Colours").click()


def strokes(studio: Studio, frame: int = 0) -> list[Any]:
    reference = studio.state()["project"]["color"]["references"].get(str(frame))
    return reference["strokes"] if reference else []


def until(studio: Studio, check: Callable[[], bool]) -> None:
    for _ in range(600):
        if check():
            return
        studio.page.wait_for_timeout(100)
    raise AssertionError("it did not come about")


def drag(studio: Studio, xy: tuple[float, float], to: tuple[float, float]) -> None:
    studio.page.mouse.move(*xy)
    studio.page.mouse.down()
    studio.page.mouse.move(*to, steps=4)
    studio.page.mouse.up()


def wipe(studio: Studio) -> int:
    return int(studio.page.get_by_role("slider", name="Wipe").input_value())


def test_strokes_on_the_wipes_line_paint_and_its_handle_alone_drags_it(
    open_film: Callable[..., Studio],
) -> None:
    studio = open_film()
    page = studio.page
    colours(studio)
    drag(studio, studio.place((30, 30)), studio.place((60, 30)))
    until(studio, lambda: len(strokes(studio)) == 1)
    page.wait_for_selector('canvas.base[data-coloured="0"]')
    assert wipe(studio) == 0, "who paints on the grey side sees the colour there"
    page.get_by_role("slider", name="Wipe").fill("50")
    line = SIZE[1] / 2 - 0.5
    drag(studio, studio.place((line, 60)), studio.place((line + 30, 60)))
    page.mouse.click(*studio.place((line, 90)))
    until(studio, lambda: len(strokes(studio)) == 3)
    assert wipe(studio) == 50
    page.wait_for_selector('canvas.base[data-coloured="0"]')
    for tool in ("Colour brush", "Hand"):
        take(studio, tool)
        before = wipe(studio)
        grip = studio.place((before / 100 * SIZE[1] - 0.5, SIZE[0] - 0.5))
        page.mouse.move(*grip)
        cursor = page.locator("canvas.over").evaluate("canvas => canvas.style.cursor")
        assert cursor == "ew-resize"
        drag(studio, grip, (grip[0] + 100, grip[1]))
        assert wipe(studio) > before + 5
    studio.shot("wipe-handle")
    assert len(strokes(studio)) == 3


def test_cleared_colours_do_not_come_back(open_film: Callable[..., Studio]) -> None:
    studio = open_film()
    page = studio.page
    colours(studio)
    held: list[Any] = []
    drag(studio, studio.place((30, 30)), studio.place((60, 30)))
    page.wait_for_selector('canvas.base[data-coloured="0"]')
    page.route(
        "**/api/color/reference/**", lambda route: held.append(route)
    )  # from now on the server is slow
    page.get_by_role("button", name="Clear", exact=True).click()
    until(studio, lambda: strokes(studio) == [])
    page.wait_for_selector('canvas.base[data-coloured=""]')
    drag(studio, studio.place((30, 80)), studio.place((60, 80)))
    until(studio, lambda: len(strokes(studio)) == 1 and len(held) > 0)
    page.wait_for_timeout(300)
    assert page.locator("canvas.base").get_attribute("data-coloured") == ""

    page.get_by_role("button", name="Clear", exact=True).click()
    until(studio, lambda: strokes(studio) == [])
    for route in held:
        route.continue_()  # an answer to what is not asked any more
    page.wait_for_timeout(500)
    assert page.locator("canvas.base").get_attribute("data-coloured") == ""

    for y in (20, 40, 60, 80):  # faster than they are taken
        page.mouse.click(*studio.place((30, y)))
    page.get_by_role("button", name="Clear", exact=True).click()
    page.wait_for_timeout(1500)
    assert strokes(studio) == []


def test_adding_an_object_keeps_the_brush_and_shows_another_tool(
    open_film: Callable[..., Studio],
) -> None:
    studio = open_film()
    page = studio.page

    def add() -> None:
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_role("menuitem", name="Object").click()

    take(studio, "Brush")
    add()
    page.get_by_text("object 1: mark it; the tool is Brush").wait_for()
    assert in_hand(studio) == "Brush"
    take(studio, "Hand")
    add()
    page.wait_for_selector(".tool.changed[aria-label='Smart select']")
    page.get_by_text("object 2: the tool is Smart select now").wait_for()
    assert in_hand(studio) == "Smart select"


def test_another_clip_begins_with_the_first_tool_and_nothing_half_drawn(
    open_film: Callable[..., Studio],
) -> None:
    studio = open_film()
    page = studio.page
    take(studio, "Polygon")
    for corner in ((20, 20), (60, 20)):
        page.mouse.click(*studio.place(corner))
    page.wait_for_selector(".tool-hint:has-text('next corner')")
    studio.open_demo()
    assert in_hand(studio) == "Smart select"
    take(studio, "Polygon")
    page.wait_for_selector(".tool-hint:has-text('corner after corner')")
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert studio.state()["project"]["objects"] == []


def test_erasing_is_called_so_and_the_brushs_size_has_buttons(
    open_film: Callable[..., Studio],
) -> None:
    studio = open_film()
    page = studio.page
    studio.paint((60, 40), (120, 40))
    studio.wait_marked(0, 1)
    undo = page.get_by_role("button", name="Undo")
    page.wait_for_selector("[aria-label='Undo: Paint object 1 on frame 0']")
    take(studio, "Eraser")
    size = int(page.locator(".brush-size output").inner_text().split()[0])
    smaller = page.get_by_role("button", name="Smaller brush")
    assert smaller.get_attribute("title") == "Smaller brush ([)"
    assert page.get_by_role("button", name="Larger brush").get_attribute("title").endswith("(])")
    smaller.click()
    assert int(page.locator(".brush-size output").inner_text().split()[0]) < size
    drag(studio, studio.place((60, 40)), studio.place((80, 40)))
    page.wait_for_selector("[aria-label='Undo: Erase from object 1 on frame 0']")
    undo.click()
    page.get_by_text("Undone: Erase from object 1 on frame 0").wait_for()


def test_the_line_of_options_does_not_jump(open_film: Callable[..., Studio]) -> None:
    studio = open_film()
    page = studio.page
    seen = set()
    for tool in ("Smart select", "Brush", "Polygon", "Skeleton", "Hand"):
        take(studio, tool)
        boxes = [page.locator(one).bounding_box() for one in (".tool-hint", ".zoom", ".stage")]
        seen.add((boxes[0]["x"], boxes[1]["x"], boxes[2]["y"], boxes[2]["height"]))
    take(studio, "Smart select")
    page.mouse.click(*studio.place((60, 60)))
    page.wait_for_selector("button.primary:has-text('Accept'):enabled")
    boxes = [page.locator(one).bounding_box() for one in (".tool-hint", ".zoom", ".stage")]
    seen.add((boxes[0]["x"], boxes[1]["x"], boxes[2]["y"], boxes[2]["height"]))
    assert len(seen) == 1


def test_fingers_are_not_told_of_a_mouse(open_film: Callable[..., Studio]) -> None:
    studio = open_film(has_touch=True, is_mobile=True, device_scale_factor=2)
    page = studio.page
    for tool in ("Smart select", "Brush", "Polygon", "Box", "Point", "Skeleton"):
        page.get_by_role("navigation").get_by_role("button", name=tool, exact=True).tap()
        text = page.locator(".workspace").inner_text().lower()
        for word in ("click", "right button", "shift", "alt "):
            assert word not in text, (tool, word)
    studio.shot("touch-words")


def test_a_picture_of_something_else_is_told_and_taken(
    open_film: Callable[..., Studio], tmp_path: Path
) -> None:
    studio = open_film()
    page = studio.page
    colours(studio)
    field = page.get_by_label("Choose a coloured picture of this frame")
    right, wrong = tmp_path / "right.png", tmp_path / "wrong.png"
    Image.fromarray(TRUTH[0]).save(right)
    Image.fromarray(np.ascontiguousarray(TRUTH[0][::-1, ::-1])).save(wrong)
    field.set_input_files(str(wrong))
    page.get_by_text("does not look like this frame").wait_for()
    assert studio.state()["project"]["color"]["references"]["0"]["still"]
    studio.shot("unlike")
    assert studio.violations() == []
    field.set_input_files(str(right))
    page.get_by_text("Frame 0 takes its colours from right.png").wait_for()
    page.get_by_text("does not look like this frame").wait_for(state="detached")


def test_nothing_is_asked_for_that_is_not_there(open_film: Callable[..., Studio]) -> None:
    studio = open_film()
    page = studio.page
    missed: list[str] = []
    page.on("response", lambda one: missed.append(one.url) if one.status == 404 else None)
    studio.paint((60, 40), (80, 60))
    studio.wait_marked(0, 1)
    page.get_by_role("combobox", name="Quality").select_option("fast")
    page.get_by_role("button", name="Track", exact=True).click()
    page.wait_for_selector("button:has-text('Tracked')")
    studio.go_to(0)  # the picture went along with the tracker
    colours(studio)
    drag(studio, studio.place((30, 30)), studio.place((60, 30)))
    until(studio, lambda: len(strokes(studio)) == 1)
    page.locator(".track-group").get_by_role("button", name="Colour").click()
    page.wait_for_selector(".track-group button:has-text('Coloured')")
    page.wait_for_selector(f'canvas.base[data-coloured="{FRAMES - 1}"]')
    assert missed == []


def test_what_is_started_over_begins_from_nothing_with_every_tool(
    open_film: Callable[..., Studio],
) -> None:
    studio = open_film()
    page = studio.page
    studio.paint((60, 40), (120, 80))
    studio.wait_marked(0, 1)
    page.get_by_role("combobox", name="Quality").select_option("fast")
    page.get_by_role("button", name="Track", exact=True).click()
    page.wait_for_selector("button:has-text('Tracked')")
    studio.go_to(3)
    start = page.get_by_role("button", name="Start over")
    cancel = page.get_by_role("button", name="Cancel")
    undo = page.get_by_role("button", name="Undo")

    def polygon() -> None:
        for corner in ((150, 90), (170, 90), (170, 110), (150, 110)):
            page.mouse.click(*studio.place(corner))
        page.keyboard.press("Enter")

    small = 21 * 21  # px, some more for the edge
    take(studio, "Smart select")
    start.click()
    cancel.wait_for()
    take(studio, "Polygon")
    studio.shot("started-over")
    polygon()
    studio.wait_marked(3, 1)
    assert 300 < studio.area(3) <= small
    cancel.wait_for(state="detached")
    undo.click()  # one step, and what was tracked is back
    until(studio, lambda: studio.marks(3) == {})
    polygon()
    studio.wait_marked(3, 1)
    assert studio.area(3) > 1000, "corrects what is there"

    take(studio, "Brush")
    start.click()
    page.wait_for_selector("[aria-label='Undo: Start over']")
    undo.click()  # it is back, and nothing else was undone
    start.wait_for()
    assert studio.area(3) > 1000
    start.click()
    take(studio, "Eraser")
    page.mouse.click(*studio.place((90, 60)))
    page.get_by_text("object 1 has nothing to erase on this frame yet").wait_for()
    studio.paint((30, 30), (36, 30))
    studio.wait_area(3, lambda area: area < 900)
    start.click()
    take(studio, "Smart select")
    page.mouse.click(*studio.place((160, 100)))  # beside its mark, and for it all the same
    studio.found()
    assert page.get_by_role("combobox", name="For").input_value() == "object:1"
