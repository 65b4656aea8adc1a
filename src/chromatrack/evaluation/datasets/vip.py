"""VIP, parts of people: read the published layout, carry the first frame's parts, score them.

    ROOT/Images/videos1/000000000001.jpg
    ROOT/Annotations/Category_ids/videos1/000000000001.png    grey or palette: 0 to 19
    ROOT/lists/val_videos.txt                                 a video per line

Zhou et al. 2018, `VIP_Fine` of the archive: one frame in 25 of each video, annotated; 50 videos are
in the list val. Fetch it yourself from sysu-hcp.net/lip, where its terms of use are.

The protocol is that of the label propagation literature (UVC and those after): frames brought to
560x560 pixels, the 20 classes carried from the first frame, predictions brought back (nearest) to
the annotation's size, and one confusion matrix over all frames of all videos. mIoU is the mean over
the classes, background among them; one that is neither in the truth nor predicted is left out.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from chromatrack.errors import InputError, LayoutError
from chromatrack.evaluation.datasets.davis import IMAGE_SUFFIXES, LabelledFrame, MaskTracker
from chromatrack.evaluation.datasets.name_lists import checked_name, text_lines
from chromatrack.evaluation.metrics.parsing import class_iou, confusion_matrix, parsing_scores
from chromatrack.evaluation.runner import Benchmark, ClipReport, Result, in_order
from chromatrack.formats.masks import write_mask
from chromatrack.video.images import frame_files
from chromatrack.video.picture_files import opened_picture
from chromatrack.video.writer import ImageSequenceWriter

VIP_CLASSES: tuple[str, ...] = (
    "background", "hat", "hair", "sun-glasses", "upper-clothes", "dress", "coat", "socks", "pants",
    "gloves", "scarf", "skirt", "torso-skin", "face", "right-arm", "left-arm", "right-leg",
    "left-leg", "right-shoe", "left-shoe",
)  # fmt: skip
"""Names of the classes, in the order of their ids."""

SIDE = 560
"""Width and height of the frames that are tracked, as published."""

Compat = Literal["uvc"]


@dataclass(frozen=True)
class VipClip:
    """One video: its frames in order, and the annotation of each, None where there is none."""

    name: str
    folder: Path
    images: tuple[Path, ...]
    annotations: tuple[Path | None, ...]

    @property
    def frame_count(self) -> int:
        """Frames to be tracked."""
        return len(self.images)


def read_vip(
    root: str | PathLike[str],
    *,
    split: str = "val",
    side: int | None = SIDE,
    compat: Compat | None = None,
    videos: Iterable[str] | None = None,
    save_masks: bool = False,
) -> Benchmark:
    """Find the videos of one list of a VIP folder.

    Args:
        root: the folder with Images, Annotations and lists (`VIP_Fine`).
        split: the list is lists/<split>_videos.txt.
        side: frames are brought to so many pixels in width and height; None: tracked as they are.
        compat: None scores the frames after the first, which is given; "uvc" counts the first one
            too, as right, as in the published numbers.
        videos: only these names of the list; by default all.
        save_masks: write predictions to masks/<video>/<frame>.png, if an output folder is there.

    Raises:
        LayoutError: a folder, list, video or frame is not where the layout has it.
        InputError: an unknown video or option.
    """
    if compat not in (None, "uvc"):
        raise InputError(f"compat: expected None or 'uvc', got {compat!r}")
    if side is not None and side < 16:
        raise InputError(f"side: expected 16 pixels or more, or None, got {side}")
    base = Path(root)
    names = _read_list(base, split)
    chosen = list(names if videos is None else dict.fromkeys(videos))
    if unknown := [name for name in chosen if name not in names]:
        raise InputError(
            f"videos: expected names of the list '{split}' ({', '.join(names)}), got "
            f"{', '.join(unknown)}"
        )
    return Benchmark(
        name="vip",
        clips=tuple(_read_clip(base, name) for name in chosen),
        measure=partial(measure_clip, side=side, compat=compat, save_masks=save_masks),
        combine=combine,
        settings={"split": split, "side": side, "compat": compat},
        reads=(base,),
    )


def measure_clip(
    clip: VipClip,
    *,
    tracker: MaskTracker,
    folder: Path | None,
    tick: Callable[[], None],
    side: int | None = SIDE,
    compat: Compat | None = None,
    save_masks: bool = False,
) -> ClipReport:
    """Carry the parts of a video's first frame and count the pixels of the annotated frames.

    Only classes of the first frame can be predicted. A frame that the tracker does not give, and
    all frames of a video whose first shows no part, are background.

    Returns:
        {score of `parsing_scores`: 0..1 or None, "frames": scored, "missing_frames", "confusion":
        {"true class, predicted class": pixels, where not 0}}.
    """
    total = np.zeros((len(VIP_CLASSES), len(VIP_CLASSES)), dtype=np.int64)
    first, scored, missing = _first(clip), 0, 0
    if compat == "uvc":
        total, scored = total + _count(first, first), 1
    with tempfile.TemporaryDirectory(prefix="chromatrack-") as temporary:
        masks = _predict(clip, first, tracker=tracker, side=side, temporary=Path(temporary))
        for index, mask in enumerate(masks):
            path = clip.annotations[index]
            if index > 0:
                missing += mask is None
            if index > 0 and path is not None:
                truth = read_classes(path)
                mask = np.zeros_like(truth) if mask is None else _resize(mask, truth.shape)
                total, scored = total + _count(mask, truth), scored + 1
                if folder is not None and save_masks:
                    write_mask(folder / "masks" / clip.name / f"{path.stem}.png", mask)
            tick()
    rows, columns = np.nonzero(total)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {
        **_jsonable(parsing_scores(total)),
        "frames": scored,
        "missing_frames": missing,
        "confusion": {f"{t}, {p}": int(total[t, p]) for t, p in pairs},
    }


def combine(reports: Mapping[str, ClipReport]) -> Result:
    """Scores of all pixels of all videos together.

    Returns:
        {"scores": see `parsing_scores`, "classes": {name: IoU, None where it never occurs}}.
    """
    total = np.zeros((len(VIP_CLASSES), len(VIP_CLASSES)), dtype=np.int64)
    for report in reports.values():
        for pair, pixels in report["confusion"].items():
            true, predicted = map(int, pair.split(", "))
            total[true, predicted] += pixels
    ious = dict(zip(VIP_CLASSES, class_iou(total).tolist(), strict=True))
    return {"scores": _jsonable(parsing_scores(total)), "classes": _jsonable(ious)}


def read_classes(path: Path) -> np.ndarray:
    """(H, W) int32 class ids of an annotation, as stored.

    Raises:
        LayoutError: not a grey or palette picture.
    """
    with opened_picture(path, error=LayoutError) as image:
        if image.mode not in ("L", "P"):
            raise LayoutError(
                f"'{path}': expected a grey or palette picture of class ids, got {image.mode}"
            )
        return np.asarray(image).astype(np.int32)


def _jsonable(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(score) else score for name, score in scores.items()}


def _first(clip: VipClip) -> np.ndarray:
    """Classes of the first frame; what is no class (255) is background."""
    assert clip.annotations[0] is not None
    classes = read_classes(clip.annotations[0])
    return np.where(classes < len(VIP_CLASSES), classes, 0)


def _count(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return confusion_matrix(predicted, truth, classes=len(VIP_CLASSES))


def _resize(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(H, W) int32 ids of at most 255, nearest, in another size."""
    if mask.shape == size:
        return mask
    picture = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.NEAREST)).astype(np.int32)


def _predict(
    clip: VipClip,
    first: np.ndarray,
    *,
    tracker: MaskTracker,
    side: int | None,
    temporary: Path,
) -> Iterator[np.ndarray | None]:
    """One mask or None per frame, in the size that was tracked."""
    count = clip.frame_count
    if not first.any():
        yield from [None] * count
        return
    folder = clip.folder
    if side is not None:
        folder, first = temporary, _resize(first, (side, side))
        _write_frames(clip.images, folder, side=side)
    expected = 0
    tracked: Iterable[LabelledFrame] = tracker.track(folder, masks={0: first})
    for frame in in_order(tracked, name=clip.name, start=0, end=count):
        if frame.mask.shape != first.shape:
            raise InputError(
                f"{clip.name}, frame {frame.index}: expected a mask of {first.shape} from the "
                f"tracker, got {frame.mask.shape}"
            )
        yield from [None] * (frame.index - expected)
        yield frame.mask
        expected = frame.index + 1
    yield from [None] * (count - expected)


def _write_frames(images: Sequence[Path], folder: Path, *, side: int) -> None:
    """Write frames of side x side pixels, bilinear, lossless."""
    with ImageSequenceWriter(folder) as writer:
        for path in images:
            with opened_picture(path, error=LayoutError) as image:
                rgb = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
            writer.write(np.asarray(rgb))


def _read_list(base: Path, split: str) -> list[str]:
    """Names of the videos, from lines with a name or a path each."""
    for name in ("Images", "Annotations/Category_ids", "lists"):
        if not (base / name).is_dir():
            raise LayoutError(
                f"'{base}' holds no {name}; expected the published layout of VIP_Fine: Images, "
                "Annotations/Category_ids and lists"
            )
    path = base / "lists" / f"{split}_videos.txt"
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in path.parent.iterdir())) or "none"
        raise LayoutError(f"no '{path}'; expected a list with a video per line, found {there}")
    lines = [line.strip().rstrip("/") for line in text_lines(path)]
    names = list(dict.fromkeys(checked_name(x.split("/")[-1], path) for x in lines if x))
    if not names:
        raise LayoutError(f"'{path}' is empty; expected a video per line")
    return names


def _read_clip(base: Path, name: str) -> VipClip:
    folder, truth = base / "Images" / name, base / "Annotations/Category_ids" / name
    for path in (folder, truth):
        if not path.is_dir():
            raise LayoutError(f"'{path}' is missing; the list names the video '{name}'")
    images = frame_files(folder, IMAGE_SUFFIXES)
    annotations = {path.stem: path for path in frame_files(truth, frozenset({".png"}))}
    if len(images) < 2:
        raise LayoutError(f"'{folder}' holds {len(images)} frames; at least 2 are needed")
    if images[0].stem not in annotations:
        raise LayoutError(
            f"'{truth}' lacks {images[0].stem}.png; the first frame's parts are given"
        )
    if alone := sorted(annotations.keys() - {path.stem for path in images}):
        raise LayoutError(f"'{folder}' lacks the frame {alone[0]}, which is annotated in '{truth}'")
    found = tuple(annotations.get(path.stem) for path in images)
    return VipClip(name, folder, images, found)
