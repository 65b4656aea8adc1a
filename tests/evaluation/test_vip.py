from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from patch_encoders import SmoothEncoder
from PIL import Image
from synthetic import moving_clip

from chromatrack.cli import main as cli
from chromatrack.errors import DamagedVideoError, InputError, LayoutError
from chromatrack.evaluation.baselines.identity import IdentityTracker
from chromatrack.evaluation.datasets.vip import VIP_CLASSES, read_classes, read_vip
from chromatrack.evaluation.runner import evaluate
from chromatrack.formats.masks import read_mask
from chromatrack.propagation.propagate import PropagateConfig
from chromatrack.tracking.config import TrackConfig
from chromatrack.tracking.tracker import Tracker

SIZE = (24, 36)
FRAMES = 4
HAIR, FACE, COAT = 2, 13, 6


def parts(frame: int) -> np.ndarray:
    """(24, 36) classes: a head of hair and face over a coat, 2 px to the right every frame."""
    mask = np.zeros(SIZE, dtype=np.uint8)
    left = 4 + 2 * frame
    mask[2:6, left : left + 8] = HAIR
    mask[6:12, left : left + 8] = FACE
    mask[12:22, left - 2 : left + 10] = COAT
    return mask


def write_video(root: Path, name: str, masks=None, *, step: int = 25) -> None:
    images, truth = root / "Images" / name, root / "Annotations/Category_ids" / name
    images.mkdir(parents=True)
    truth.mkdir(parents=True)
    for index, mask in enumerate([parts(i) for i in range(FRAMES)] if masks is None else masks):
        stem = f"{1 + step * index:012d}"
        rgb = np.repeat(mask[..., None] * 12, 3, axis=2)
        Image.fromarray(rgb.astype(np.uint8)).save(images / f"{stem}.jpg", quality=95)
        Image.fromarray(mask).save(truth / f"{stem}.png")


def write_list(root: Path, *lines: str, name: str = "val_videos.txt") -> None:
    (root / "lists").mkdir(exist_ok=True)
    (root / "lists" / name).write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path) -> Path:
    base = tmp_path / "VIP_Fine"
    write_video(base, "videos1")
    write_video(base, "videos12")
    write_list(base, "videos1", "some/where/videos12/", "")
    return base


@dataclass(frozen=True)
class Found:
    index: int
    mask: np.ndarray


class Scripted:
    """Moves the given mask by `step` px a frame, as a share of the width; takes notes."""

    def __init__(self, *, step: float = 2 / SIZE[1], drop=(), breaks_at: int | None = None):
        self.step, self.drop, self.breaks_at = step, drop, breaks_at
        self.calls = []

    def track(self, video, *, masks):
        frames = [np.asarray(Image.open(path)) for path in sorted(video.iterdir())]
        self.calls.append((video, masks, frames))
        for index in range(len(frames)):
            if index == self.breaks_at:
                raise DamagedVideoError("broken", frame_index=index)
            shift = round(self.step * index * masks[0].shape[1])
            if index not in self.drop:
                yield Found(index, np.roll(masks[0], shift, axis=1))


def test_a_perfect_tracker_scores_one(root):
    tracker = Scripted()
    benchmark = read_vip(root, side=None)
    assert [clip.name for clip in benchmark.clips] == ["videos1", "videos12"]
    result = evaluate(benchmark, tracker=tracker)
    assert result["scores"] == dict.fromkeys(
        ("mIoU", "mIoU-parts", "mean-accuracy", "pixel-accuracy"), 1.0
    )
    assert result["frames"] == 2 * FRAMES and result["sequences"]["videos1"]["frames"] == 3
    there = {name for name, iou in result["classes"].items() if iou is not None}
    assert there == {"background", "hair", "face", "coat"} and len(result["classes"]) == 20
    video, masks, _ = tracker.calls[0]
    assert video == root / "Images/videos1" and np.array_equal(masks[0], parts(0))


def test_standing_still_is_scored_over_all_pixels_of_the_later_frames(root):
    result = evaluate(read_vip(root, side=None), tracker=IdentityTracker())
    truths = np.stack([parts(index) for index in range(1, FRAMES)])
    found = np.stack([parts(0)] * (FRAMES - 1))
    ious = [
        ((found == c) & (truths == c)).sum() / ((found == c) | (truths == c)).sum()
        for c in (0, HAIR, FACE, COAT)
    ]
    assert result["scores"]["mIoU"] == pytest.approx(float(np.mean(ious)))
    assert result["scores"]["mIoU-parts"] == pytest.approx(float(np.mean(ious[1:])))
    assert result["classes"]["hair"] == pytest.approx(ious[1])


def test_compat_counts_the_given_first_frame_as_right(root):
    honest = evaluate(read_vip(root, side=None), tracker=IdentityTracker())
    published = evaluate(read_vip(root, side=None, compat="uvc"), tracker=IdentityTracker())
    assert published["scores"]["mIoU"] > honest["scores"]["mIoU"]
    assert published["sequences"]["videos1"]["frames"] == FRAMES
    assert published["settings"]["compat"] == "uvc"
    same, moved = (parts(0) == HAIR).sum(), honest["sequences"]["videos1"]["confusion"]["2, 2"]
    assert published["sequences"]["videos1"]["confusion"]["2, 2"] == moved + same


def test_frames_are_brought_to_the_published_size_and_scored_at_their_own(root):
    tracker = Scripted()
    result = evaluate(read_vip(root, side=72), tracker=tracker)
    video, masks, frames = tracker.calls[0]
    assert video != root / "Images/videos1" and not video.exists()
    assert all(frame.shape == (72, 72, 3) for frame in frames) and len(frames) == FRAMES
    assert masks[0].shape == (72, 72) and set(np.unique(masks[0])) == {0, HAIR, COAT, FACE}
    assert result["scores"]["mIoU"] == 1.0  # both sides are whole multiples: nothing is lost
    assert sum(result["sequences"]["videos1"]["confusion"].values()) == 3 * 24 * 36
    assert read_vip(root).settings["side"] == 560


@pytest.mark.parametrize(("options", "missing"), [({"drop": (2,)}, 1), ({"breaks_at": 2}, 2)])
def test_frames_that_are_not_delivered_are_background(root, options, missing):
    ticks = []
    benchmark = read_vip(root, side=None, videos=["videos1"])
    result = evaluate(benchmark, tracker=Scripted(**options), progress=lambda *a: ticks.append(a))
    video = result["sequences"]["videos1"]
    assert video["missing_frames"] == missing and len(ticks) == FRAMES
    assert video["frames"] == FRAMES - 1, "they count all the same"
    lost = missing * (parts(0) == FACE).sum()
    assert video["confusion"]["13, 0"] == lost
    assert result["classes"]["face"] == pytest.approx(1 - missing / 3)


def test_frames_without_annotation_are_tracked_and_not_scored(root):
    (root / "Annotations/Category_ids/videos1" / f"{26:012d}.png").unlink()
    result = evaluate(read_vip(root, side=None, videos=["videos1"]), tracker=Scripted())
    assert result["frames"] == FRAMES and result["sequences"]["videos1"]["frames"] == 2
    assert result["scores"]["mIoU"] == 1.0


def test_void_is_neither_given_nor_scored(tmp_path):
    masks = [parts(index) for index in range(FRAMES)]
    for mask in masks:
        mask[:2] = 255
    write_video(tmp_path, "videos1", masks)
    write_list(tmp_path, "videos1")
    tracker = Scripted()
    result = evaluate(read_vip(tmp_path, side=None), tracker=tracker)
    assert tracker.calls[0][1][0].max() < len(VIP_CLASSES)
    assert sum(result["sequences"]["videos1"]["confusion"].values()) == 3 * 22 * 36
    assert result["scores"]["mIoU"] == 1.0


def test_a_video_without_parts_at_first_is_background(tmp_path):
    write_video(tmp_path, "videos1", [np.zeros(SIZE, np.uint8), parts(1), parts(2)])
    write_list(tmp_path, "videos1")
    tracker = Scripted()
    result = evaluate(read_vip(tmp_path), tracker=tracker, output=tmp_path / "out")
    assert not tracker.calls and result["frames"] == 3
    assert result["classes"]["hair"] == 0.0 and result["scores"]["mIoU-parts"] == 0.0
    assert result["classes"]["hat"] is None
    assert "NaN" not in (tmp_path / "out/result.json").read_text()


def test_classes_are_read_as_stored(tmp_path):
    path = tmp_path / "x.png"
    mask = np.array([[0, 255], [0, 0]], dtype=np.uint8)  # as an object mask 255 would be 1
    Image.fromarray(mask).save(path)
    assert read_classes(path).tolist() == mask.tolist()
    palette = Image.fromarray(parts(0))
    palette.putpalette(list(range(256)) * 3)
    palette.save(path)
    assert np.array_equal(read_classes(path), parts(0))
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(LayoutError, match="grey or palette picture of class ids, got RGB"):
        read_classes(path)
    path.write_bytes(b"no picture")
    with pytest.raises(LayoutError, match="cannot be read as an image"):
        read_classes(path)


def test_masks_can_be_saved(root, tmp_path):
    evaluate(read_vip(root, side=72, save_masks=True), tracker=Scripted(), output=tmp_path / "out")
    files = sorted((tmp_path / "out/masks/videos1").iterdir())
    assert [path.stem for path in files] == [f"{1 + 25 * i:012d}" for i in (1, 2, 3)]
    assert np.array_equal(read_mask(files[2]), parts(3))


def test_the_layout_says_what_is_missing(root):
    (root / "Annotations/Category_ids/videos12" / f"{1:012d}.png").unlink()
    with pytest.raises(LayoutError, match=r"lacks 000000000001.png; the first frame's parts"):
        read_vip(root)
    (root / "Images/videos1" / f"{26:012d}.jpg").unlink()
    with pytest.raises(LayoutError, match="lacks the frame 000000000026, which is annotated"):
        read_vip(root)
    for number in (51, 76):
        (root / "Images/videos1" / f"{number:012d}.jpg").unlink()
    with pytest.raises(LayoutError, match="holds 1 frames; at least 2"):
        read_vip(root)
    write_list(root, "videos3")
    with pytest.raises(LayoutError, match="videos3' is missing; the list names the video"):
        read_vip(root)
    write_list(root, "")
    with pytest.raises(LayoutError, match=r"val_videos.txt' is empty"):
        read_vip(root)
    with pytest.raises(LayoutError, match=r"no '.*test_videos.txt'; .* found val_videos.txt"):
        read_vip(root, split="test")
    with pytest.raises(LayoutError, match="holds no Images; expected the published layout"):
        read_vip(root / "Images")


def test_pictures_that_are_damaged_say_so(root):
    (root / "Images/videos1" / f"{26:012d}.jpg").write_bytes(b"no picture")
    with pytest.raises(LayoutError, match=r"000000000026.jpg: cannot be read as an image"):
        evaluate(read_vip(root), tracker=Scripted())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compat": "crw"}, "compat: expected None or 'uvc', got 'crw'"),
        ({"side": 8}, "side: expected 16 pixels or more, or None, got 8"),
        ({"videos": ["ant"]}, r"names of the list 'val' \(videos1, videos12\), got ant"),
    ],
)
def test_options_that_are_not_there_say_so(root, options, message):
    with pytest.raises(InputError, match=message):
        read_vip(root, **options)


def test_masks_of_another_size_are_refused(root):
    class Small:
        def track(self, video, *, masks):
            yield Found(0, np.zeros((5, 5), dtype=np.int32))

    with pytest.raises(InputError, match=r"videos1, frame 0: expected a mask of \(24, 36\)"):
        evaluate(read_vip(root, side=None), tracker=Small())


def test_a_real_tracker_beats_standing_still(tmp_path):
    frames = moving_clip(frames=4, size=(64, 96), objects=1, radius=14, velocity=(6, 0))
    write_video(tmp_path, "videos1", [(frame.mask * FACE).astype(np.uint8) for frame in frames])
    for frame, path in zip(frames, sorted((tmp_path / "Images/videos1").iterdir()), strict=True):
        Image.fromarray(frame.rgb).save(path, quality=95)
    write_list(tmp_path, "videos1")
    propagate = PropagateConfig(radius=10, recent_radius=6)
    config = TrackConfig(size=96, adapt=0.0, propagate=propagate)
    tracker = Tracker(SmoothEncoder(), device="cpu", config=config)
    moving = evaluate(read_vip(tmp_path, side=96), tracker=tracker)
    still = evaluate(read_vip(tmp_path, side=96), tracker=IdentityTracker())
    assert moving["scores"]["mIoU-parts"] > still["scores"]["mIoU-parts"] + 0.1


def test_the_command_prints_and_writes_the_scores(root, tmp_path, capsys):
    out = tmp_path / "out"
    knobs = ("--model", "identity", "--side", "72", "--videos", "videos1", "-o", str(out))
    assert cli.main(["evaluate", "vip", str(root), "--compat", "uvc", *knobs]) == 0
    text = capsys.readouterr().out
    result = json.loads((out / "result.json").read_text())
    assert f"{result['scores']['mIoU']:.3f}" in text and "vip val 72 uvc" in text
    assert (out / "masks/videos1" / f"{26:012d}.png").exists()
    assert cli.main(["evaluate", "vip", str(tmp_path), "--side", "None"]) == 2
    assert "holds no Images" in capsys.readouterr().err
