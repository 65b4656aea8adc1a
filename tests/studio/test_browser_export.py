"""Results taken away: the export dialog, and the way along the doubtful stretches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from studio_browser import LONG, Server, Studio
from synthetic import moving_clip
from video_clips import write_clip

pytestmark = pytest.mark.slow

NAME = "A clip of a moving disc, with a rather long name.mp4"
IN_VIEW = """list => {
  const row = list.querySelector(":checked").closest(".format").getBoundingClientRect();
  const box = list.getBoundingClientRect();
  return row.top >= box.top - 1 && row.bottom <= box.bottom + 1;
}"""


@pytest.fixture(scope="module")
def tracked(browser: Any, tmp_path_factory: pytest.TempPathFactory, server: Server) -> Any:
    """A short clip that was dropped into the page, with an object that is tracked."""
    folder = tmp_path_factory.mktemp("export")
    frames = [one.rgb for one in moving_clip(frames=5, size=(120, 200))]
    video = write_clip(folder / NAME, frames)
    studio = Studio(browser, server.address)
    page = studio.page
    page.locator("input[type=file]").first.set_input_files(str(video))
    studio.shown()
    studio.paint((60, 60), (80, 60))
    studio.wait_marked(0, 1)
    page.get_by_role("combobox", name="Quality").select_option("fast")
    page.get_by_role("button", name="Track", exact=True).click()
    page.wait_for_selector("button:has-text('Tracked')", timeout=LONG)
    yield studio
    studio.close()


@pytest.fixture
def dialog(tracked: Studio) -> Any:
    """The export dialog."""
    tracked.page.keyboard.press("Control+e")
    found = tracked.page.get_by_role("dialog", name="Export")
    found.wait_for()
    yield found
    tracked.page.keyboard.press("Escape")
    found.wait_for(state="detached")


def test_an_upload_is_kept_under_its_own_name(tracked: Studio) -> None:
    project = tracked.state()["project"]
    assert project["folder"] == "A-clip-of-a-moving-disc-with-a-rather-long-name-chromatrack"
    assert project["name"] == Path(NAME).stem


def test_the_chosen_format_stays_in_view(tracked: Studio, dialog: Any) -> None:
    formats = dialog.get_by_role("radiogroup", name="Format")
    for title in ("Table, CSV", "COCO pycocotools", "Mattes, PNG"):
        formats.get_by_role("radio", name=title).check()
        dialog.locator(".preview :is(pre, img)").wait_for()
        assert formats.evaluate(IN_VIEW), title
    tracked.shot("export-chosen")
    tracked.page.keyboard.press("ArrowDown")  # on from there, past what cannot be chosen
    assert formats.evaluate("list => list.querySelector(':checked') === document.activeElement")
    assert formats.evaluate(IN_VIEW)


def test_formats_are_in_groups_and_found_by_what_is_typed(tracked: Studio, dialog: Any) -> None:
    groups = dialog.get_by_role("radiogroup").get_by_role("group")
    titles = [groups.nth(n).locator("legend").inner_text() for n in range(groups.count())]
    assert titles == [
        *("Video", "Masks and boxes", "Points and skeletons", "Film and compositing", "Tables")
    ]
    assert tracked.violations() == []
    field = dialog.get_by_role("searchbox", name="Find a format")
    field.fill("spreadsheet")
    assert groups.locator("legend").all_inner_texts() == ["Tables"]
    assert dialog.get_by_role("radio", name="Table, CSV").is_checked()  # the first that fits
    tracked.shot("export-filter")
    field.fill("nothing of the kind")
    dialog.get_by_text("Nothing else is called").wait_for()
    assert dialog.get_by_role("radio").count() == 1
    field.press("Escape")
    assert field.input_value() == "" and dialog.is_visible()
    assert groups.count() == len(titles)


def test_where_it_was_saved_can_be_read_and_copied(tracked: Studio, dialog: Any) -> None:
    dialog.get_by_role("radio", name="COCO pycocotools").check()
    dialog.get_by_role("button", name="Export", exact=True).click()
    saved = dialog.locator(".saved")
    saved.wait_for()
    path = saved.get_attribute("title")
    assert json.loads(Path(path).read_text())["images"]
    file = saved.locator(".file")
    assert file.inner_text() == "/coco.json"
    assert file.evaluate("one => one.scrollWidth <= one.clientWidth || one.clientWidth === 0")
    inside = "one => one.getBoundingClientRect().right <= one.closest('dialog').clientWidth + "
    inside += "one.closest('dialog').getBoundingClientRect().left"
    assert file.evaluate(inside)
    tracked.shot("export-saved")
    assert tracked.violations() == []
    tracked.context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog.get_by_role("button", name="Copy").click()
    dialog.get_by_role("button", name="Copied").wait_for()
    assert tracked.page.evaluate("navigator.clipboard.readText()") == path


def test_what_an_export_replaces_is_said_before(tracked: Studio, dialog: Any) -> None:
    dialog.get_by_role("radio", name="Table, CSV").check()
    export = dialog.get_by_role("button", name="Export", exact=True)
    line = dialog.get_by_text("table.csv was made today at")
    replace = dialog.get_by_role("button", name="Replace it")
    dialog.locator(".preview pre").wait_for()
    assert line.count() == 0
    export.click()
    dialog.locator(".saved").wait_for()
    line.wait_for()
    made = Path(dialog.locator(".saved").get_attribute("title"))
    made.write_text("mine")
    assert export.count() == 0 and replace.is_visible()
    keep = dialog.get_by_role("button", name="Keep both")
    assert keep.get_attribute("title") == "The new one goes to table-2.csv; table.csv stays"
    tracked.shot("export-replaces")
    keep.click()
    dialog.locator(".saved[title$='table-2.csv']").wait_for()
    assert made.read_text() == "mine"
    replace.click()
    dialog.locator(".saved[title$='table.csv']").wait_for()
    assert made.read_text() != "mine"


def test_n_visits_every_doubtful_stretch_and_picks_its_object(tracked: Studio) -> None:
    """What the server says of the tracks is replaced by stretches that overlap."""
    page = tracked.page
    sure = {
        "object:1": [0.9, 0.1, 0.1, 0.1, 0.1],
        "object:2": [0.9, 0.1, 0.1, None, 0.1],
    }

    def replaced(route: Any) -> None:
        told = route.fetch().json()
        one = told["project"]["objects"][0]
        told["project"]["objects"] = [one, one | {"key": "object:2", "id": 2, "name": "two"}]
        told["project"]["result"] |= {"key": "made", "reliability": sure, "cuts": []}
        told["project"]["result"]["present"] = {key: [True] * 5 for key in sure}
        route.fulfill(json=told)

    page.route("**/api/state*", replaced)
    page.reload()
    page.get_by_role("button", name="Next doubtful (3)").wait_for()
    tracked.shown()
    tracked.go_to(0)
    visited = []
    for _ in range(4):
        page.keyboard.press("n")
        page.wait_for_timeout(200)
        frame = page.get_by_role("spinbutton", name="Frame").input_value()
        visited.append((int(frame), page.locator(".strip-label.picked").inner_text()))
    assert visited == [(1, "object 1"), (1, "two"), (4, "two"), (1, "object 1")]
    page.get_by_text("Back at the first doubtful frames").wait_for()
    page.unroute("**/api/state*")
