"""The images of a COCO file: which frames of the video they are, and at which size.

A file may hold images of several videos, told apart by `video_id`, by the folder in `file_name`, or
by the video's name in it (`clip_mp4-0012.jpg`); those of other videos are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from chromatrack.errors import InputError
from chromatrack.formats.json_fields import JsonValue
from chromatrack.formats.marked_source import MarkedSource
from chromatrack.formats.picture_names import (
    NamedPicture,
    base_name,
    folder_of,
    last_number,
    prefix_of,
    video_in_name,
)

_VIDEO_KEYS = ("video_id", "vid_id", "video_name", "video")


@dataclass(frozen=True)
class CocoImage:
    """A frame as a COCO file describes it.

    pts_seconds: NaN where it does not say. scale: factors of x and y to the video's pixels.
    """

    frame: int
    pts_seconds: float
    scale: tuple[float, float] = (1.0, 1.0)


def read_images(data: JsonValue) -> dict[int, CocoImage]:
    """{image id: image} of a COCO file, without a video to compare it with.

    The frame is the image's `frame_index` or `frame_id`, else the last number in its file name,
    else its id.
    """
    return {number: _alone(image) for number, image in _by_id(data).items()}


def images_on(
    data: JsonValue, source: MarkedSource, used: Collection[int]
) -> dict[int, CocoImage | None]:
    """{image id: image, or None for one of another video} of the images `used`.

    Args:
        source: says what names mean, which video this is, and its size.
        used: ids of the images whose frames are wanted; those not in the file are left out.

    Raises:
        InputError: an image that tells no frame, two for one frame, one of another shape than the
            video, or several videos and none that fits.
    """
    every = _by_id(data)
    ours = _of_this_video(data, every, source)
    wanted = {number: every[number] for number in every if number in used and number in ours}
    frames = _frames(wanted, source)
    seen: dict[int, str] = {}
    for number, image in wanted.items():
        if (first := seen.setdefault(frames[number], image.path)) != image.path:
            raise InputError(
                f"{image.place}: is frame {source.frame_name(frames[number])}, as {first} is; keep "
                "one of the two"
            )
    return {
        number: CocoImage(frames[number], _seconds(image), _scale(image, data.place, source))
        if number in wanted
        else None
        for number, image in every.items()
        if number in used
    }


def _by_id(data: JsonValue) -> dict[int, JsonValue]:
    return {image["id"].whole(): image for image in data["images"].items()}


def _alone(image: JsonValue) -> CocoImage:
    frame, in_name = image.get("frame_index", "frame_id"), last_number(_file_name(image))
    number = frame.whole() if frame else image["id"].whole() if in_name is None else in_name
    return CocoImage(number, _seconds(image))


def _seconds(image: JsonValue) -> float:
    seconds = image.get("pts_seconds")
    return seconds.number() if seconds else math.nan


def _file_name(image: JsonValue) -> str:
    return str(image.value.get("file_name") or "")


def _names(image: JsonValue) -> tuple[str, ...]:
    """What the picture is called: before Roboflow exported it, and in the file."""
    extra = image.value.get("extra")
    original = extra.get("name") if isinstance(extra, dict) else None
    return tuple(str(name) for name in (original, _file_name(image)) if name)


def _frames(images: Mapping[int, JsonValue], source: MarkedSource) -> dict[int, int]:
    """{image id: frame}. `frame_index` is ours and counts frames, whatever the picture's name."""
    counted = {} if source.numbers == "names" else _stated(images, "frame_index")
    stated = {**_stated(images, "frame_id"), **counted}
    named = {number: image for number, image in images.items() if number not in counted}
    given = []
    for number, image in named.items():
        names = _names(image)
        frame = stated.get(number, None if names else number)
        given.append(NamedPicture(image.place, names, frame))
    _tell_of_steps(given, source)
    return {**counted, **dict(zip(named, source.frames(given), strict=True))}


def _tell_of_steps(given: Sequence[NamedPicture], source: MarkedSource) -> None:
    """Say that `frame_id` is taken at its word, where the pictures' own numbers are others.

    Lists of every fifth picture count their entries so.
    """
    if source.pictures is not None:
        return
    for picture in given:
        number = last_number(picture.names[0]) if picture.names else None
        frame = picture.stated
        if frame is not None and number not in (None, frame, frame + 1):
            source.say(
                f"{picture.place}: is frame {frame} by its frame_id, though its name says "
                f"{number}; if the name is right, take frame_id out of all images"
            )
            return


def _stated(images: Mapping[int, JsonValue], key: str) -> dict[int, int]:
    return {number: image[key].whole() for number, image in images.items() if image.get(key)}


def _scale(image: JsonValue, place: str, source: MarkedSource) -> tuple[float, float]:
    height, width = image.get("height"), image.get("width")
    if not (height and width) or not (height.value and width.value):
        return 1.0, 1.0
    return source.scale((height.whole(), width.whole()), place)


# -- several videos --------------------------------------------------------------------------


def _of_this_video(
    data: JsonValue, images: Mapping[int, JsonValue], source: MarkedSource
) -> set[int]:
    """Ids of the images of the video at hand."""
    keys = {number: _video_key(image, source) for number, image in images.items()}
    videos: dict[tuple[str, str], set[str]] = {}
    for number, key in keys.items():
        videos.setdefault(key, set()).update(_video_names(images[number]))
    declared = data["videos"].items() if data.get("videos") else []
    for video in declared:
        number = video.get("id")
        if number is not None and (key := ("id", str(number.value))) in videos:
            videos[key] |= _declared_names(video)
    for (_, text), names in videos.items():
        if source.video_name or not names:
            names.add(str(text) or ".")
    is_named = any(kind == "id" for kind, _ in videos)
    if len(videos) < 2 and not (is_named and source.video_name):
        return set(images)
    chosen = source.video_among(videos, data.place)
    return {number for number, key in keys.items() if key == chosen}


def _video_key(image: JsonValue, source: MarkedSource) -> tuple[str, str]:
    """What tells an image's video from others: ("id", its id), else ("folder", where it is).

    The video in a picture's name does not, where our pictures have such names too.
    """
    stated = image.get(*_VIDEO_KEYS)
    if stated is not None:
        return "id", str(stated.value)
    name = (_names(image) or ("",))[0]
    own = source.frame_of_name(name) is not None
    video = "" if own else video_in_name(name) or prefix_of(name)
    folder = folder_of(_file_name(image))
    return "folder", "/".join(filter(None, (folder, video)))


def _video_names(image: JsonValue) -> set[str]:
    """What an image says its video is called."""
    name = (_names(image) or ("",))[0]
    stated = image.get(*_VIDEO_KEYS)
    told = stated.value if stated is not None and isinstance(stated.value, str) else ""
    video = video_in_name(name) or prefix_of(name)
    return set(filter(None, (folder_of(_file_name(image)), video, told)))


def _declared_names(video: JsonValue) -> set[str]:
    """What an entry of a file's `videos` is called."""
    texts = [str(video.value[key]) for key in ("name", "file_name") if video.value.get(key)]
    pictures = video.value.get("file_names")
    if isinstance(pictures, list) and pictures:
        texts.append(folder_of(str(pictures[0])))
    return {text for text in texts if base_name(text)}
