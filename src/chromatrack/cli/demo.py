"""The demo: render a clip whose truth is known, track it, colour its grey version, score both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from chromatrack.atomic import check_output_folder, replace_file, starts_with
from chromatrack.errors import InputError
from chromatrack.evaluation.metrics.masks import SequenceScores, frame_scores, psnr, sequence_scores
from chromatrack.evaluation.synthetic.render import SyntheticFrame, render_demo_clip
from chromatrack.formats.masks import frame_file, write_mask
from chromatrack.json_text import json_text
from chromatrack.runs.staging import Staging
from chromatrack.viz.overlays import contact_sheet, overlay_masks

if TYPE_CHECKING:
    from chromatrack.tracking.config import Device
    from chromatrack.tracking.tracker import Tracker

FRAMES_PER_SECOND = 25
SHEET_COLUMNS = 6
OBJECT_NAMES = {1: "ball", 2: "koi kite"}

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, frames done, frames in all); stages: render, track, colour."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo found and where it wrote it.

    scores, identity: J and F of tracking, and of keeping the first mask, against the known masks
    (fractions). psnr_colored, psnr_grey: mean dB against the rendered colours, the two reference
    frames left out. seconds: wall-clock per stage. files: {what: path}.
    """

    output: Path
    frames: int
    scores: SequenceScores
    identity: SequenceScores
    psnr_colored: float
    psnr_grey: float
    seconds: dict[str, float] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The content of `scores.json`: plain numbers and names, field column names as keys."""

        def masks(result: SequenceScores) -> dict[str, Any]:
            objects = {OBJECT_NAMES[number]: scores for number, scores in result.objects.items()}
            return {"scores": result.scores, "objects": objects}

        return {
            "frames": self.frames,
            "tracking": masks(self.scores),
            "identity": masks(self.identity),
            "color_psnr_db": {"colored": self.psnr_colored, "grey": self.psnr_grey},
            "seconds": {stage: round(value, 2) for stage, value in self.seconds.items()},
            "files": {name: path.name for name, path in self.files.items()},
        }


def run_demo(
    output: Path,
    *,
    model: str = "small",
    device: Device = "auto",
    frames: int = 48,
    size: tuple[int, int] = (360, 640),
    seed: int = 0,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
) -> DemoResult:
    """Run the whole demo into the folder `output`, put in place at the end.

    Writes clip.mp4, grey.mp4, first_mask.png, first_color.png, last_color.png, overlay.mp4, masks/,
    colorized.mp4, contact_sheet.png and scores.json.

    Args:
        output: folder for the results: new, of an earlier demo, or without files of these names.
        model: name or path of the weights, as `Tracker.from_pretrained` takes it.
        device: "auto", "cpu", "cuda" or "mps".
        frames: length of the clip, at least 3 (its first and last frame are not scored).
        size: (height, width) of the clip in px.
        seed: of the textures and the noise.
        tracker: used instead of loading `model`.
        progress: called once per frame of each stage.

    Raises:
        InputError: fewer than 3 frames, things of others in `output`; and what `Tracker` raises.
        OutputError: `output` cannot be written, or another process is writing it.
    """
    if frames < 3:
        raise InputError(f"the demo scores all but its first and last frame, got frames={frames}")
    if tracker is None:
        from chromatrack.tracking.cores import prepare_process
        from chromatrack.tracking.tracker import Tracker

        prepare_process()
        tracker = Tracker.from_pretrained(model, device=device)
    check_output_folder(
        output,
        _OUTPUTS,
        kind="results of `chromatrack demo`",
        is_ours=starts_with(output / "scores.json", '{\n  "frames"'),
    )
    report: Progress = progress or (lambda stage, done, total: None)
    with Staging(output) as stage:
        result = _demo(stage.path, tracker, frames, size, seed, report)
        stage.put_in_place(last=stage.path / "scores.json")
    files = {name: output / path.name for name, path in result.files.items()}
    return replace(result, output=output, files=files)


def _demo(
    output: Path,
    tracker: Tracker,
    frames: int,
    size: tuple[int, int],
    seed: int,
    report: Progress,
) -> DemoResult:
    """`run_demo` into a new folder."""
    seconds: dict[str, float] = {}
    clock = time.perf_counter()
    truth = _render(output, frames=frames, size=size, seed=seed, report=report)
    seconds["render"], clock = time.perf_counter() - clock, time.perf_counter()
    masks = _track(output, tracker, truth=truth, report=report)
    seconds["track"], clock = time.perf_counter() - clock, time.perf_counter()
    shown = sheet_frames(truth)
    colored, quality = _color(output, tracker, truth=truth, shown=shown, report=report)
    seconds["color"] = time.perf_counter() - clock
    _write_sheet(output, truth=truth, masks=masks, colored=colored)
    result = DemoResult(
        output=output,
        frames=frames,
        scores=_score(masks, truth),
        identity=_score([truth[0].mask] * frames, truth),
        psnr_colored=quality,
        psnr_grey=float(np.mean([psnr(to_grey(f.rgb), f.rgb) for f in truth[1:-1]])),
        seconds=seconds,
        files={Path(name).stem: output / name for name in _OUTPUTS},
    )
    text = json_text(result.as_dict(), indent=2) + "\n"
    replace_file(output / "scores.json", text)
    return result


_OUTPUTS = (
    "contact_sheet.png", "overlay.mp4", "colorized.mp4", "clip.mp4", "grey.mp4",
    "first_mask.png", "first_color.png", "last_color.png", "masks", "scores.json",
)  # fmt: skip


def to_grey(rgb: np.ndarray) -> np.ndarray:
    """Grey version of a (H, W, 3) uint8 frame: Rec. 601 luma in all three channels, uint8."""
    luma = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.repeat(np.rint(luma).astype(np.uint8)[..., None], 3, axis=2)


def sheet_frames(truth: list[SyntheticFrame], *, columns: int = SHEET_COLUMNS) -> list[int]:
    """Evenly spaced frame indices, one of them moved to where the ball is hidden the most."""
    picked = np.linspace(0, len(truth) - 1, min(columns, len(truth))).round().astype(int).tolist()
    hidden = int(np.argmin([np.count_nonzero(frame.mask == 1) for frame in truth]))
    if len(picked) > 2 and hidden not in picked:
        inner = range(1, len(picked) - 1)
        picked[min(inner, key=lambda i: abs(picked[i] - hidden))] = hidden
    return sorted(set(picked))


def _render(
    output: Path, *, frames: int, size: tuple[int, int], seed: int, report: Progress
) -> list[SyntheticFrame]:
    """Render the clip; write it in colour and grey, the first mask and two colour references."""
    from chromatrack.video.reader import open_writer

    truth: list[SyntheticFrame] = []
    with (
        open_writer(output / "clip.mp4", fps=FRAMES_PER_SECOND) as color,
        open_writer(output / "grey.mp4", fps=FRAMES_PER_SECOND) as grey,
    ):
        for frame in render_demo_clip(frames=frames, size=size, seed=seed):
            color.write(frame.rgb)
            grey.write(to_grey(frame.rgb))
            truth.append(frame)
            report("render", len(truth), frames)
    write_mask(output / "first_mask.png", truth[0].mask)
    Image.fromarray(truth[0].rgb).save(output / "first_color.png")
    Image.fromarray(truth[-1].rgb).save(output / "last_color.png")
    return truth


def _track(
    output: Path, tracker: Tracker, *, truth: list[SyntheticFrame], report: Progress
) -> list[np.ndarray]:
    """Track both objects from the first mask through clip.mp4; returns the (H, W) int32 masks."""
    from chromatrack.video.reader import open_writer

    masks: list[np.ndarray] = []
    with open_writer(output / "overlay.mp4", fps=FRAMES_PER_SECOND) as writer:
        for frame in tracker.track(output / "clip.mp4", masks=output / "first_mask.png"):
            writer.write(overlay_masks(frame.rgb, frame.mask))
            write_mask(output / "masks" / frame_file(frame.index), frame.mask)
            masks.append(frame.mask)
            report("track", len(masks), len(truth))
    return masks


def _color(
    output: Path,
    tracker: Tracker,
    *,
    truth: list[SyntheticFrame],
    shown: list[int],
    report: Progress,
) -> tuple[dict[int, np.ndarray], float]:
    """Colour grey.mp4 from its ends in colour; ({index: rgb} of `shown`, mean PSNR in dB)."""
    from chromatrack.video.reader import open_writer

    kept: dict[int, np.ndarray] = {}
    quality: list[float] = []
    last = len(truth) - 1
    references = [(truth[0].rgb, 0), (truth[last].rgb, last)]
    with open_writer(output / "colorized.mp4", fps=FRAMES_PER_SECOND) as writer:
        for frame in tracker.colorize(output / "grey.mp4", references=references):
            writer.write(frame.rgb)
            if frame.index in shown:
                kept[frame.index] = frame.rgb
            if 0 < frame.index < last:
                quality.append(psnr(frame.rgb, truth[frame.index].rgb))
            report("color", frame.index + 1, len(truth))
    return kept, float(np.mean(quality))


def _score(masks: list[np.ndarray], truth: list[SyntheticFrame]) -> SequenceScores:
    """J and F of every object; a frame that was not predicted counts as empty."""
    ids = list(OBJECT_NAMES)
    predicted: list[np.ndarray | None] = [*masks, *[None] * (len(truth) - len(masks))]
    pairs = zip(predicted, truth, strict=True)
    return sequence_scores(
        [frame_scores(mask, frame.mask, object_ids=ids) for mask, frame in pairs], object_ids=ids
    )


def _write_sheet(
    output: Path,
    *,
    truth: list[SyntheticFrame],
    masks: list[np.ndarray],
    colored: dict[int, np.ndarray],
) -> None:
    shown = sorted(colored)
    frames = [truth[i] for i in shown]
    rows = {
        "clip": [f.rgb for f in frames],
        "true masks": [overlay_masks(f.rgb, f.mask) for f in frames],
        "tracked": [overlay_masks(f.rgb, masks[f.index]) for f in frames],
        "grey": [to_grey(f.rgb) for f in frames],
        "colored": [colored[i] for i in shown],
    }
    sheet = contact_sheet(
        list(rows.values()),
        row_titles=list(rows),
        column_titles=[f"frame {i}" for i in shown],
        title=f"Chromatrack demo: masks copied from frame 0, colours from frames 0 and {shown[-1]}",
        cell_height=150,
    )
    Image.fromarray(sheet).save(output / "contact_sheet.png")
