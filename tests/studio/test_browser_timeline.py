"""The timeline of a film that has more frames than the timeline has pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studio_browser import Server, Studio
from video_clips import write_clip

pytestmark = pytest.mark.slow

FRAMES = 6000


@pytest.fixture
def studio(browser: Any, start: Callable[..., Server], tmp_path: Path) -> Iterator[Studio]:
    shades = (np.full((48, 64, 3), 40 + n % 170, np.uint8) for n in range(FRAMES))
    clip = write_clip(tmp_path / "long.mp4", list(shades))
    studio = Studio(browser, start(tmp_path / "home", str(clip)).address)
    studio.shown()
    yield studio
    studio.close()


def lane(studio: Studio) -> dict[str, float]:
    return studio.page.locator("canvas.main-lane").bounding_box()


def frame_at(studio: Studio, part: float) -> int:
    """Where a click on this part of the timeline goes to, 0 to 1."""
    box = lane(studio)
    studio.page.mouse.click(box["x"] + part * (box["width"] - 1), box["y"] + box["height"] - 8)
    return frame(studio)


def frame(studio: Studio) -> int:
    return int(studio.page.get_by_role("spinbutton", name="Frame").input_value())


def ends(studio: Studio) -> tuple[int, int]:
    return frame_at(studio, 0), frame_at(studio, 1)


def test_a_long_film_is_zoomed_into_till_each_frame_has_room(studio: Studio) -> None:
    page = studio.page
    first, last = ends(studio)
    assert (first, last > FRAMES - 20) == (0, True)

    studio.go_to(3000)
    for _ in range(7):
        page.keyboard.press("Shift+ArrowUp")
    box = lane(studio)
    each = box["width"] / (FRAMES / 2**7)  # px
    middle = box["x"] + box["width"] / 2
    for by in (1, -3, 5):
        page.mouse.click(middle + by * each, box["y"] + 36)
        assert frame(studio) == 3000 + by
    studio.shot("timeline-zoomed")

    first, last = ends(studio)
    assert 40 <= last - first <= 50
    page.keyboard.press(".")  # beyond what is in sight: it comes along
    assert frame(studio) == last + 1
    assert frame_at(studio, 0) > first + 20

    page.keyboard.press("Shift+Z")
    first, last = ends(studio)
    assert (first, last > FRAMES - 20) == (0, True)


def test_the_wheel_zooms_where_it_points_and_the_line_over_it_moves_what_is_shown(
    studio: Studio,
) -> None:
    page = studio.page
    box = lane(studio)
    at = box["x"] + 0.25 * box["width"]
    page.mouse.move(at, box["y"] + 36)
    for _ in range(8):
        page.mouse.wheel(0, -150)
    page.mouse.click(at, box["y"] + 36)
    assert abs(frame(studio) - FRAMES / 4) <= 3, "what is under the pointer stays there"
    first, last = ends(studio)
    assert last - first < 200

    page.mouse.move(at, box["y"] + 36)
    page.keyboard.down("Shift")
    page.mouse.wheel(0, 300)
    page.keyboard.up("Shift")
    moved = frame_at(studio, 0)
    assert moved > first + 10

    line = page.locator(".overview").bounding_box()
    page.mouse.click(line["x"] + 0.75 * line["width"], line["y"] + 5)
    first, last = ends(studio)
    assert abs((first + last) / 2 - 0.75 * FRAMES) < 20
    page.mouse.move(line["x"] + 0.75 * line["width"], line["y"] + 5)
    page.mouse.down()
    page.mouse.move(line["x"] + 0.5 * line["width"], line["y"] + 5, steps=4)
    page.mouse.up()
    first, last = ends(studio)
    assert abs((first + last) / 2 - 0.5 * FRAMES) < 20

    page.mouse.dblclick(line["x"] + 0.5 * line["width"], line["y"] + 5)
    first, last = ends(studio)
    assert (first, last > FRAMES - 20) == (0, True)


def test_a_short_loop_of_a_long_film_can_be_seen(studio: Studio) -> None:
    page = studio.page
    studio.go_to(4000)
    page.keyboard.press("i")
    studio.go_to(4059)
    page.keyboard.press("u")
    first, last = ends(studio)
    assert 3980 < first < 4000
    assert 4059 < last < 4080
    page.wait_for_timeout(1000)  # till the place is kept
    page.reload()
    studio.shown()
    first, last = ends(studio)
    assert 3980 < first < 4000, "it is zoomed to when the film is opened again"
    page.get_by_role("button", name="All").click()
    assert frame_at(studio, 0) == 0
    page.get_by_role("button", name="Part", exact=True).click()
    assert 3980 < frame_at(studio, 0) < 4000

    # A handle that is held beyond the end takes the timeline along.
    box = lane(studio)
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 36)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] + 25, box["y"] + 36, steps=3)
    page.wait_for_function(
        "() => Number(document.querySelector('.frame-field input').value) > 4100"
    )
    page.mouse.up()
