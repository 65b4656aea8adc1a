"""Annotations of whole videos in a COCO file (YouTube-VIS): which video, frames and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chromatrack.errors import InputError
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.picture_names import NamedPicture, folder_of


class VideoAnnotation(NamedTuple):
    """An annotation, the frame of each of its video's pictures, factors of x and y to ours."""

    item: JsonValue
    frames: list[int]
    scale: tuple[float, float]


def annotations_on(
    data: JsonValue, items: Sequence[JsonValue], source: MarkedSource | None
) -> list[VideoAnnotation]:
    """The annotations of the video at hand, among those of several.

    Raises:
        InputError: an unknown video, several and none that fits, pictures that tell no frame, or a
            picture of another shape than the video.
    """
    videos = {video["id"].whole(): video for video in data["videos"].items()}
    for item in items:
        if item["video_id"].whole() not in videos:
            raise InputError(
                f"{item.place}: video {item['video_id'].value} is not among the videos; correct it"
            )
    ours = set(videos) if source is None else {source.video_among(_named(videos), data.place)}
    placed = {
        number: (_frames(video, source), _scale(video, data.place, source))
        for number, video in videos.items()
        if number in ours
    }
    return [
        VideoAnnotation(item, *placed[item["video_id"].value])
        for item in items
        if item["video_id"].value in placed
    ]


def _named(videos: dict[int, JsonValue]) -> dict[int, set[str]]:
    named = {}
    for number, video in videos.items():
        pictures = video["file_names"].items()
        texts = {str(video.value.get("name") or ""), str(number)}
        texts |= {folder_of(str(pictures[0].value))} if pictures else set()
        named[number] = texts - {""}
    return named


def _frames(video: JsonValue, source: MarkedSource | None) -> list[int]:
    """The frame of each picture: that of its name; its place in the list where names do not tell.

    In a video file of as many frames as the list has pictures it is the place, too.
    """
    pictures = video["file_names"].items()
    if source is None:
        return list(range(len(pictures)))
    given = [NamedPicture(item.place, (str(item.value),)) for item in pictures]
    numbers = [picture.number for picture in given]
    in_order = list(range(len(pictures)))
    if source.pictures is None and (source.frame_count == len(pictures) or None in numbers):
        if numbers != in_order:
            source.say(f"{video['file_names'].place}: are taken for frames 0, 1, 2, ... in order")
        return in_order
    return source.frames(given)


def _scale(video: JsonValue, place: str, source: MarkedSource | None) -> tuple[float, float]:
    height, width = video.get("height"), video.get("width")
    if source is None or not (height and width):
        return 1.0, 1.0
    return source.scale((height.whole(), width.whole()), place)
