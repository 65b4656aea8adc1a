"""The studio's page with pen, keys alone, two windows, and files that are dropped on it."""

from __future__ import annotations

import base64
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


FRAMES, SIZE, RADIUS = 6, (180, 320), 30


@pytest.fixture
def studio(browser: Any, start: Callable[..., Server], tmp_path: Path) -> Iterator[Studio]:
    """A page with a small clip of three discs, on a server of its own."""
    frames = moving_clip(frames=FRAMES, size=SIZE, radius=RADIUS, objects=3, seed=0)
    clip = write_clip(tmp_path / "discs.mp4", [one.rgb for one in frames], options={"qp": "10"})
    studio = Studio(browser, start(tmp_path / "home", str(clip)).address)
    studio.shown()
    studio.centres = frames[0].centres
    yield studio
    studio.close()


def test_a_video_is_dropped_and_opens(browser: Any, server: Server, tmp_path: Path) -> None:
    frames = [one.rgb for one in moving_clip(frames=4, size=(90, 160))]
    clip = write_clip(tmp_path / "dropped.mp4", frames)
    studio = Studio(browser, server.address)
    studio.page.evaluate(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "dropped.mp4", { type: "video/mp4" }));
          const init = { dataTransfer: transfer, bubbles: true, cancelable: true };
          document.querySelector(".drop").dispatchEvent(new DragEvent("drop", init));
        }""",
        base64.b64encode(clip.read_bytes()).decode(),
    )
    studio.shown()
    assert studio.state()["project"]["video"]["frames"] == 4
    studio.close()


def test_a_colour_that_is_the_objects_own_gives_way(
    browser: Any, start: Callable[..., Server], tmp_path: Path
) -> None:
    orange = np.full((96, 160, 3), (0xE6, 0x9F, 0x00), np.uint8)
    clip = write_clip(tmp_path / "orange.mp4", [orange] * 2)
    studio = Studio(browser, start(tmp_path / "home", str(clip)).address)
    studio.shown()
    studio.paint((40, 40), (80, 60))
    studio.wait_marked(0, 1)
    [one] = studio.state()["project"]["objects"]
    assert one["color"] == "#0072b2"  # blue: the farthest of the seven
    studio.page.wait_for_selector(".dot[style*='rgb(0, 114, 178)']")
    studio.page.keyboard.press("Control+z")
    studio.page.get_by_text("None yet").wait_for()
    studio.close()


def test_a_second_click_beside_a_mark_is_for_a_new_object(studio: Studio) -> None:
    page = studio.page
    for number in (1, 2):
        studio.click(studio.centres[number])
        studio.wait_marked(0, number)
    assert studio.marks(0)["objects"] == [1, 2]
    disc = 3.14 * 30**2
    assert 1.6 * disc < studio.area(0) < 2.4 * disc
    colors = [one["color"] for one in studio.state()["project"]["objects"]]
    assert colors == ["#e69f00", "#56b4e9"]

    page.keyboard.press("1")  # object 1 is picked, and the click is in the other one's mark
    x, y = studio.centres[2]
    page.keyboard.press("s")
    page.mouse.click(*studio.place((x + 9, y)))
    studio.found()
    assert page.get_by_role("combobox", name="For").input_value() == "object:2"
    page.get_by_role("group", name="A click").get_by_role("button", name="Take away").click()
    page.wait_for_selector(".tool-hint:has-text('what is too much')")
    page.keyboard.press("Escape")
    assert studio.marks(0)["objects"] == [1, 2]

    page.get_by_role("button", name="More for object 2").click()
    page.get_by_role("menuitem", name="Merge into object 1").click()
    page.wait_for_selector(".object:nth-child(2)", state="detached")
    assert studio.marks(0)["objects"] == [1]
    page.keyboard.press("Control+z")
    page.wait_for_selector(".object:nth-child(2)")
    assert studio.marks(0)["objects"] == [1, 2]


def wait_for(studio: Studio, found: Callable[[], bool]) -> None:
    for _ in range(100):
        if found():
            return
        studio.page.wait_for_timeout(100)
    raise AssertionError(studio.state()["project"]["marks"])


def test_a_point_or_box_put_elsewhere_is_another_one_and_one_nearby_the_same(
    studio: Studio,
) -> None:
    page = studio.page

    def points() -> dict[str, list[float]]:
        return studio.marks(0).get("points", {})

    def boxes() -> dict[str, list[float]]:
        return studio.marks(0).get("boxes", {})

    def drag(xy: tuple[float, float], to: tuple[float, float]) -> None:
        page.mouse.move(*studio.place(xy))
        page.mouse.down()
        page.mouse.move(*studio.place(to), steps=4)
        page.mouse.up()

    page.keyboard.press("o")
    page.mouse.click(*studio.place((50, 60)))
    wait_for(studio, lambda: set(points()) == {"1"})
    page.mouse.click(*studio.place((200, 120)))  # far off: the next one
    wait_for(studio, lambda: set(points()) == {"1", "2"})
    page.mouse.click(*studio.place((203, 121)))  # nearby: better put
    wait_for(studio, lambda: abs(points()["2"][0] - 203) < 1)
    drag((50, 60), (90, 100))
    wait_for(studio, lambda: abs(points()["1"][0] - 90) < 1 and abs(points()["1"][1] - 100) < 1)
    assert set(points()) == {"1", "2"}
    page.keyboard.press(".")
    studio.shown(1)
    page.mouse.click(*studio.place((150, 60)))  # on another frame it is the one that is picked
    wait_for(studio, lambda: set(studio.marks(1).get("points", {})) == {"1"})

    studio.go_to(0)
    page.keyboard.press("r")
    drag((20, 20), (60, 60))
    wait_for(studio, lambda: set(boxes()) == {"1"})
    drag((120, 20), (180, 80))  # apart: the next one
    wait_for(studio, lambda: set(boxes()) == {"1", "2"})
    drag((110, 10), (190, 90))  # over it: better drawn
    wait_for(studio, lambda: abs(boxes()["2"][2] - 80) < 2)
    assert set(boxes()) == {"1", "2"}


def test_a_correction_of_a_part_leaves_the_rest_till_it_is_wanted_too(studio: Studio) -> None:
    page = studio.page
    studio.click(studio.centres[1])
    studio.wait_marked(0, 1)
    page.keyboard.press("t")
    page.locator(".track-group button:has-text('Tracked')").wait_for()
    assert page.locator(".hints li.done").count() == 2
    studio.go_to(2)
    page.get_by_role("button", name="Loop from here").click()
    studio.go_to(3)
    page.get_by_role("button", name="to here").click()
    page.get_by_role("button", name="Only this part").click()
    studio.paint(studio.centres[2], (studio.centres[2][0] + 8, studio.centres[2][1]))
    button = page.locator(".track-group button")
    page.locator(".track-group button:has-text('Track again (frames 2-3)')").wait_for()
    assert page.locator(".hints li.done").count() == 1
    before = studio.state()["project"]["result"]["key"]
    button.click()
    page.locator(".track-group button:has-text('Tracked')").wait_for()
    assert studio.state()["project"]["result"]["key"] != before
    studio.shot("held")
    page.get_by_role("button", name="Only this part").click()
    page.locator(".track-group button:has-text('The rest too (2 stretches)')").wait_for()
    assert page.locator(".hints li.done").count() == 2
    assert studio.state()["project"]["result"]["held"] == [[1, 2], [4, FRAMES]]
    studio.shot("held-let-go")
    button.click()
    page.locator(".track-group button:has-text('Tracked')").wait_for()
    assert studio.state()["project"]["result"]["held"] == []


def test_a_region_is_added_to_an_object_and_takes_nothing_from_others(studio: Studio) -> None:
    page = studio.page
    studio.click(studio.centres[1])
    studio.wait_marked(0, 1)
    studio.click(studio.centres[2])
    studio.wait_marked(0, 2)
    both = studio.area(0)
    page.keyboard.press("1")
    page.mouse.click(*studio.place(studio.centres[3]))
    page.wait_for_selector(".tool-hint:has-text('A new object')")
    page.get_by_role("combobox", name="For").select_option(label="object 1")
    page.keyboard.press("Enter")
    page.wait_for_selector(".frame-marks li:nth-child(2)")
    for _ in range(100):
        if studio.area(0) > 1.3 * both:
            break
        page.wait_for_timeout(100)
    assert studio.area(0) > 1.3 * both, "the third disc came to what was marked"
    assert studio.marks(0)["objects"] == [1, 2]
    picked = page.locator(".object.picked .text").inner_text()
    assert picked == "object 1"


def test_a_loop_selects_what_is_in_it_and_takes_away_all_that_is_in_it(studio: Studio) -> None:
    page, (one, other) = studio.page, (studio.centres[n] for n in (1, 2))
    disc = round(3.14 * RADIUS**2)
    studio.loop(one, 1.25 * RADIUS)
    studio.wait_marked(0, 1)
    studio.wait_area(0, lambda area: 0.8 * disc < area < 1.25 * disc)
    studio.loop(other, 1.25 * RADIUS)  # beside what is marked: another object
    studio.wait_marked(0, 2)
    studio.wait_area(0, lambda area: 1.6 * disc < area < 2.5 * disc)
    studio.loop(one, 1.25 * RADIUS, accept=False)  # round what is marked: the same, anew
    assert page.get_by_role("combobox", name="For").input_value() == "object:1"
    assert page.get_by_role("slider", name="Size of the region").count() == 0
    page.get_by_role("button", name="Take away").click()
    studio.loop((one[0] + RADIUS, one[1]), RADIUS)
    studio.wait_area(0, lambda area: 1.2 * disc < area < 1.85 * disc)
    assert studio.marks(0)["objects"] == [1, 2]


def test_clicks_correct_what_the_object_has_and_are_undone_and_redone(studio: Studio) -> None:
    page = studio.page
    studio.click(studio.centres[1])
    studio.wait_marked(0, 1)
    one = studio.area(0)
    accept = page.get_by_role("button", name="Accept")
    accept.wait_for(state="detached")
    clicks = page.get_by_role("group", name="A click")
    clicks.get_by_role("button", name="Add").click()  # so a click elsewhere is for this object
    page.mouse.click(*studio.place(studio.centres[2]))
    studio.found()
    assert page.get_by_role("combobox", name="For").input_value() == "object:1"
    page.keyboard.press("Control+z")
    accept.wait_for(state="detached")
    page.keyboard.press("Control+Shift+z")
    studio.found()
    page.keyboard.press("Enter")
    studio.wait_area(0, lambda area: area > 1.5 * one)
    assert studio.marks(0)["objects"] == [1]
    accept.wait_for(state="detached")
    two = studio.area(0)

    page.mouse.click(*studio.place(studio.centres[2]), button="right")  # the first one may be
    accept.click()  # pressed while it looks, it counts when that is done
    studio.wait_area(0, lambda area: area < two)
    assert studio.area(0) > 0.9 * one and studio.marks(0)["objects"] == [1]


def test_pieces_out_of_sight_that_become_marked_are_told_and_removed(studio: Studio) -> None:
    page = studio.page
    line = page.locator(".toast", has_text="marked too")
    studio.click(studio.centres[1])
    studio.wait_marked(0, 1)
    one = studio.area(0)
    page.get_by_role("group", name="A click").get_by_role("button", name="Add").click()
    studio.click(studio.centres[2])
    studio.wait_area(0, lambda area: area > 1.5 * one)
    page.get_by_role("combobox", name="Quality").select_option("fast")
    page.get_by_role("button", name="Track", exact=True).click()
    page.wait_for_selector("button:has-text('Tracked')")
    page.keyboard.press("b")

    studio.go_to(1)
    page.mouse.click(*studio.place(studio.centres[1]))
    studio.wait_marked(1, 1)
    both = studio.area(1)
    assert line.count() == 0, "all of it is in view, and large"

    studio.go_to(2)
    page.mouse.move(*studio.place(studio.centres[1]))
    for _ in range(3):
        page.mouse.wheel(0, -400)
    page.mouse.down()
    page.mouse.up()
    line.wait_for()
    assert "on frame 2" in line.inner_text()
    studio.wait_marked(2, 1)
    assert studio.area(2) > 0.8 * both
    studio.shot("pieces")
    assert studio.violations() == []
    line.get_by_role("button", name="Show").click()
    studio.shot("pieces-shown")
    studio.go_to(3)  # it is of the frame that it names
    line.get_by_role("button", name="Remove").click()
    line.wait_for(state="detached")
    studio.shown(2)
    studio.wait_area(2, lambda area: area < 0.7 * both)
    studio.shot("pieces-removed")
    page.keyboard.press("Control+z")
    studio.wait_area(2, lambda area: area > 0.8 * both)
    page.keyboard.press("Control+z")
    for _ in range(100):
        if not studio.marks(2):
            break
        page.wait_for_timeout(100)
    assert studio.marks(2) == {}


def test_sliders_give_the_keys_back_and_undo_goes_to_its_frame(studio: Studio) -> None:
    page = studio.page
    studio.click(studio.centres[1])
    studio.wait_marked(0, 1)
    page.keyboard.press("b")
    box = page.get_by_role("slider", name="Brush size").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
    page.keyboard.press("ArrowRight")
    studio.shown(1)
    frame = page.get_by_role("spinbutton", name="Frame")
    frame.click()
    page.keyboard.press("Control+z")
    page.wait_for_selector(".object", state="detached")
    assert studio.marks(0) == {}
    studio.shown()
    assert frame.input_value() == "0"


def test_undo_goes_back_to_what_was_picked(studio: Studio) -> None:
    page = studio.page
    for number in (1, 2):
        studio.click(studio.centres[number])
        studio.wait_marked(0, number)
    page.keyboard.press("2")
    studio.click(studio.centres[3])
    studio.wait_marked(0, 3)
    assert page.locator(".object.picked .text").inner_text() == "object 3"
    page.keyboard.press("Control+z")
    page.wait_for_selector(".object:nth-child(3)", state="detached")
    assert page.locator(".object.picked .text").inner_text() == "object 2"


def test_an_own_skeleton_is_written_and_placed(studio: Studio) -> None:
    page = studio.page
    page.keyboard.press("k")
    page.get_by_role("button", name="Edit", exact=True).click()
    text = page.get_by_role("textbox", name="Joints")
    text.fill("head\ntail: nobody")
    page.get_by_role("button", name="Save").click()
    page.get_by_text('"nobody" must stand above "tail"').wait_for()
    text.fill("head\ntail: head")
    studio.shot("own-skeleton")
    assert studio.violations() == []
    page.get_by_role("button", name="Save").click()
    page.mouse.click(*studio.place((100, 60)))
    page.wait_for_selector(".tool-hint:has-text('tail (2 of 2)')")
    page.mouse.click(*studio.place((180, 70)))
    page.wait_for_selector(".frame-marks .tag")
    item = studio.state()["project"]["objects"][0]
    assert (item["joints"], item["edges"]) == (["head", "tail"], [[0, 1]])


def test_two_windows_show_the_same_project(browser: Any, studio: Studio) -> None:
    one = studio
    other = Studio(browser, studio.address)
    other.shown()
    one.paint((100, 40), (140, 50))
    other.page.wait_for_selector(".object-name:has-text('object 1')")
    other.page.get_by_role("button", name="More for object 1").click()
    other.page.get_by_role("menuitem", name="Remove").click()
    one.page.wait_for_selector(".object", state="detached")
    one.page.keyboard.press("Control+z")
    other.page.wait_for_selector(".object-name:has-text('object 1')")
    other.close()


def test_a_pen_that_presses_harder_paints_wider(studio: Studio) -> None:
    page = studio.page
    page.keyboard.press("b")
    pen = studio.context.new_cdp_session(page)
    areas = []
    for frame, force in ((3, 0.1), (4, 1.0)):
        studio.go_to(frame)
        for kind, dx in (("mousePressed", 0), ("mouseMoved", 60), ("mouseReleased", 60)):
            x, y = studio.place((100 + dx, 60))
            event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1}
            pen.send(
                "Input.dispatchMouseEvent",
                event | {"pointerType": "pen", "force": force, "clickCount": 1},
            )
        studio.wait_marked(frame, 1)
        areas.append(studio.area(frame))
    assert areas[0] < 0.7 * areas[1]


def test_keys_alone_look_around(studio: Studio) -> None:
    page = studio.page
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "(document.activeElement.getAttribute('aria-label')"
                " ?? document.activeElement.textContent).trim()"
            )
        )
    for name in ("View", "Quality", "Smart select", "Brush", "Add", "Play", "Loop from here"):
        assert name in seen, (name, seen)
    assert seen.index("Smart select") < seen.index("Add") < seen.index("Play")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(".")
    studio.shown(1)
    page.keyboard.press("End")
    studio.shown(FRAMES - 1)
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")


def test_scrubbing_has_one_request_under_way_and_ends_on_the_frame(studio: Studio) -> None:
    page = studio.page
    under_way: set[Any] = set()
    most = 0

    def begun(request: Any) -> None:
        nonlocal most
        if "rough=1" in request.url:
            under_way.add(request)
            most = max(most, len(under_way))

    page.on("request", begun)
    page.on("requestfinished", lambda request: under_way.discard(request))
    page.on("requestfailed", lambda request: under_way.discard(request))
    box = page.get_by_role("slider", name="Frame").bounding_box()
    y = box["y"] + box["height"] - 10
    page.mouse.move(box["x"] + 5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], y, steps=25)
    page.mouse.up()
    studio.shown(int(0.7 * FRAMES))
    assert most <= 1


def test_the_list_for_other_videos_is_written(studio: Studio, tmp_path: Path) -> None:
    frames = [one.rgb for one in moving_clip(frames=3, size=SIZE)]
    other = write_clip(tmp_path / "other.mp4", frames)
    page = studio.page
    if "copied" not in studio.state()["project"]["video"]:
        pytest.skip("this server writes no lists")
    studio.click(studio.centres[1])
    studio.wait_marked(0, 1)
    page.get_by_role("button", name="Project ").click()
    page.get_by_role("menuitem", name="Run on other videos").click()
    paths = page.get_by_role("textbox", name="Paths of videos")
    write = page.get_by_role("button", name="Write the list")
    paths.fill(str(tmp_path / "none.mp4"))
    write.click()
    page.locator(".toast.bad").wait_for()
    paths.fill(str(other))
    write.click()
    page.locator(".written pre:has-text('chromatrack batch')").wait_for()
    studio.shot("batch")
    assert studio.violations() == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert str(other) in Path(download.value.path()).read_text(encoding="utf-8")
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Project ").click()
    page.get_by_role("menuitem", name="Copy the video into the project").click()
    for _ in range(300):
        if studio.state()["project"]["video"]["copied"]:
            break
        page.wait_for_timeout(100)
    assert studio.state()["project"]["video"]["copied"]


def test_a_picture_is_placed_and_its_corner_dragged(studio: Studio, tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    Image.new("RGBA", (40, 20), (200, 30, 30, 255)).save(logo)
    page = studio.page
    page.get_by_label("Choose a picture to place on the video").set_input_files(str(logo))
    page.wait_for_selector(".pictures .object-name:has-text('logo')")
    before = studio.state()["project"]["textures"][0]["quad"]
    corner = before[2]
    page.mouse.move(*studio.place(corner))
    page.mouse.down()
    page.mouse.move(*studio.place((corner[0] + 30, corner[1] + 20)), steps=4)
    page.mouse.up()
    for _ in range(100):
        after = studio.state()["project"]["textures"][0]["quad"]
        if after != before:
            break
        page.wait_for_timeout(100)
    assert after[2] == pytest.approx([corner[0] + 30, corner[1] + 20], abs=1)
    assert after[:2] == before[:2]
    studio.shot("picture")
    assert studio.violations() == []
    page.keyboard.press("Control+e")
    page.get_by_role("radio", name="Video with the picture on it").check()
    page.wait_for_selector(".preview img")
    page.keyboard.press("Escape")
