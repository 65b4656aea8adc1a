"""Exports that are pictures: the frames that other formats name, and how soft edges look."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.formats.exchange import ExportOptions
from chromatrack.formats.thing_colors import color_of
from chromatrack.formats.written_things import picture_file
from chromatrack.runs.export import tracked_video
from chromatrack.runs.kept_exports import old_exports
from chromatrack.runs.listed_folder import listed_folder
from chromatrack.runs.reader import Result
from chromatrack.structures import Source
from chromatrack.video.images import image_files
from chromatrack.video.output_files import MADE_BY
from chromatrack.video.source import VideoSource

QUALITY = 95
"""Of JPEG files: nothing of it is seen, and labels that are drawn on them fit to the pixel."""

NAMES_PICTURES = frozenset(
    ("coco", "coco-keypoints", "davis", "labelme", "mose", "youtube-vis", "youtube-vos")
)
"""Formats that name the pictures that `write_frames` writes, and do not hold them."""

PICTURES_NOTE = 'It names pictures: export "Frames, JPEG", too, to have them.'

SOFT = frozenset(("cryptomatte", "cutout-png", "cutout-prores", "matte-png", "matte-prores"))
"""Formats with soft edges, of which `soft_picture` shows a frame."""

OF_EACH = {"cutout-png": "/", "cutout-prores": ".mov", "matte-png": "/", "matte-prores": ".mov"}
"""Formats that write each object for itself, and how what they write is called at its end."""


def write_frames(result: Result, video: Source, output: Path, options: ExportOptions) -> None:
    """Write the frames of a run as `VIDEO/00012.jpg`, which is what other formats call them.

    Pictures of a folder that was tracked are copied as they are, under the names that they have.

    Raises:
        InputError: the video ends before the run does, or a file of the user's is in the way.
        OutputError: nothing can be written.
    """
    from chromatrack.video.reader import read_frames

    tracked = tracked_video(result, video=video)
    source, total, done = tracked.find_video(), len(tracked.frames), 0
    first, last = int(tracked.frames[0]), int(tracked.frames[-1])
    is_copied = bool(tracked.pictures) and options.start_number is None
    files = image_files(VideoSource.of(source).path) if is_copied else None
    with listed_folder(output, old_exports(result.folder)) as folder:
        home = folder / tracked.video_name
        home.mkdir()
        if files is not None:
            pairs = ((index, files[index]) for index in range(first, last + 1))
        else:
            pairs = ((f.index, f.rgb) for f in read_frames(source, start=first, end=last + 1))
        for done, (index, content) in enumerate(pairs, start=1):
            target = home / picture_file(tracked, index, options)
            if isinstance(content, Path):
                shutil.copyfile(content, target)
            else:
                Image.fromarray(content).save(target, "JPEG", quality=QUALITY, comment=MADE_BY)
            if options.progress is not None:
                options.progress("export", done, total)
        if done < total:
            raise InputError(
                f"{tracked.video}: expected {total} frames as tracked, got {done}; put the whole "
                "video back"
            )


def soft_picture(
    result: Result,
    name: str,
    video: Source,
    look: Callable[[int, np.ndarray], np.ndarray] | None = None,
) -> Image.Image:
    """The first frame of a run in a format with soft edges, all objects together.

    Cryptomatte's ids are shown in the objects' colours.

    Raises:
        InputError: there is no object, or the video is not as it was tracked.
    """
    from chromatrack.runs.mattes import cutout, soft_frames

    tracked = tracked_video(result, video=video)
    if not tracked.objects:
        raise InputError(f"{name}: expected an object with a mask, got none")
    with closing(soft_frames(tracked, ExportOptions(look=look))) as frames:
        soft = next(frames)
    together = soft.opacity.sum(axis=0).clip(0, 1)
    if name.startswith("cutout"):
        return Image.fromarray(cutout(soft.frame.rgb, together))
    if name.startswith("matte"):
        return Image.fromarray(np.rint(together * 255).astype(np.uint8))
    ids = tracked.ids("object")
    colors = np.array([color_of("object", number, tracked.colors) for number in ids])
    mixed = np.einsum("lhw,lc->hwc", soft.opacity, colors.astype(np.float32))
    return Image.fromarray(np.rint(mixed.clip(0, 255)).astype(np.uint8))
