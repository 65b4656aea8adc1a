"""Boxes out of Label Studio's video tasks: the keyframes of regions `videorectangle`.

Frames count from 1, places are percent. A region ends on a keyframe that says `"enabled": false`:
on the frame after it the box is declared lost, unless a keyframe is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from chromatrack.errors import InputError
from chromatrack.formats.color_text import read_color
from chromatrack.formats.file_marks import FileMarks, GivenFile
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.label_studio import INTERFACE, REGION, TRACK
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.written_things import UNNAMED
from chromatrack.structures import BoxMark, Color


def label_studio_size(given: GivenFile) -> tuple[int, int] | None:
    """(height, width) that the first region states."""
    for task in _tasks(given):
        for region in _regions(task):
            height, width = region.get("original_height"), region.get("original_width")
            if height and width:
                return height.whole(), width.whole()
    return None


def read_label_studio(given: GivenFile, source: MarkedSource) -> FileMarks:
    """The boxes of the task of this video.

    Annotations count; where there are none, predictions. Of several the first is read, and this is
    said.

    Raises:
        InputError: not as Label Studio writes it, or several videos and none that fits.
    """
    tasks = _tasks(given)
    named = {n: {_video_of(task)} for n, task in enumerate(tasks)}
    task = tasks[source.video_among(named, f"'{given.path}'")]
    _say_others(task, source)
    regions, colors = list(_regions(task)), _label_colors(task)
    numbers = _ids([region["id"].value for region in regions])
    boxes: list[BoxMark] = []
    for region, number in zip(regions, numbers, strict=True):
        boxes += _boxes(region, number, source)
        labels = region["value"].get("labels")
        name = str(labels.items()[0].value) if labels and labels.items() else ""
        label = "" if name in UNNAMED.values() else name
        source.label("box", number, label, name=_note(region))
        source.draw_first(name, "box", number, colors.get(name))
    return FileMarks(boxes=boxes)


def _note(region: JsonValue) -> str:
    """The note beside a region that we wrote, which is a name; those of people may be anything."""
    meta = region.value.get("meta")
    texts = meta.get("text") if isinstance(meta, dict) else None
    ours = str(region.value.get("id")).startswith(TRACK)
    return str(texts[0]) if ours and isinstance(texts, list) and texts else ""


def _tasks(given: GivenFile) -> list[JsonValue]:
    return given.value.items() if isinstance(given.json, list) else [given.value]


def _video_of(task: JsonValue) -> str:
    data = task["data"].fields()
    path = next((str(data[key]) for key in ("video", "video_url") if data.get(key)), "")
    return path or str(task.value.get("id", "?"))


def _label_colors(task: JsonValue) -> dict[str, Color]:
    """{label: its background} in a labelling interface that is kept beside the task.

    One that cannot be read, and backgrounds that are no colours, are passed over: it is no more
    than how labels look.
    """
    meta = task.get("meta")
    text = meta.value.get(INTERFACE) if meta is not None and isinstance(meta.value, dict) else None
    if not isinstance(text, str):
        return {}
    found: dict[str, Color] = {}
    for tag in re.findall(r"<Label\b[^<>]*>", text):
        try:
            label = ElementTree.fromstring(f"{tag.rstrip('/>')}/>")
            color = read_color(label.get("background"), "background")
        except (ElementTree.ParseError, InputError):
            continue
        found[label.get("value", "")] = color
    return found


def _results(task: JsonValue) -> tuple[str, list[JsonValue]]:
    """What the answers are called, and those that were not thrown away."""
    for key in ("annotations", "predictions"):
        given = task.get(key)
        kept = [a for a in given.items() if not a.fields().get("was_cancelled")] if given else []
        if kept:
            return key, kept
    return "annotations", []


def _say_others(task: JsonValue, source: MarkedSource) -> None:
    key, kept = _results(task)
    if len(kept) > 1:
        source.say(f"{task.place or task.file}: has {len(kept)} {key}; the first is read")


def _regions(task: JsonValue) -> Iterator[JsonValue]:
    _, kept = _results(task)
    if kept:
        result = kept[0]["result"].items()
        yield from (one for one in result if one.fields().get("type") == REGION)


def _ids(regions: list[object]) -> list[int]:
    """The number that we wrote into a region's id; others get free ones in their order."""
    texts = [str(region) for region in regions]
    own = {
        text: int(text.removeprefix(TRACK))
        for text in texts
        if text.startswith(TRACK) and text.removeprefix(TRACK).isdecimal() and len(text) < 16
    }
    free = (n for n in range(1, len(texts) + max(own.values(), default=0) + 1))
    untaken = (n for n in free if n not in own.values())
    return [own[text] if text in own else next(untaken) for text in texts]


def _boxes(region: JsonValue, number: int, source: MarkedSource) -> Iterator[BoxMark]:
    height, width = source.size
    items = region["value"]["sequence"].items()
    keyed = {_index(item): item for item in items}
    last = region["value"].get("framesCount")
    count = last.whole() if last else None
    for index, item in sorted(keyed.items()):
        left, top = item["x"].number() * width / 100, item["y"].number() * height / 100
        wide, high = item["width"].number() * width / 100, item["height"].number() * height / 100
        if min(wide, high) <= 0:
            raise InputError(
                f"{item.place}: expected a width and height above 0 percent, got {wide:g}x{high:g}"
            )
        frame = source.frame(index, item["frame"].place)
        if turned := item.get("rotation"):
            _say_turned(turned, source)
        yield BoxMark(number, frame, left, top, wide, high)
        after = index + 1
        has_ended = item.value.get("enabled") is False and after not in keyed
        is_end = source.is_behind(after) or (count is not None and after >= count)
        if has_ended and not is_end:
            gone = source.frame(after, item["frame"].place)
            yield BoxMark(number, gone, None, None, None, None)


def _say_turned(turned: JsonValue, source: MarkedSource) -> None:
    if turned.number():
        source.say(f"{turned.place}: boxes that are turned are taken as if they were not")


def _index(item: JsonValue) -> int:
    if (frame := item["frame"].whole()) < 1:
        raise InputError(f"{item['frame'].place}: expected a frame from 1 up, got {frame}")
    return frame - 1
