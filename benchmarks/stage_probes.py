"""Every stage of tracking called alone, on what it is given on real frames: see `stages.py`.

A run is followed until its memory is full; from there on each stage gets, on every frame, what it
would get next, and forks of the state that it changes. The run itself then makes its step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import torch
from ceilings import forward_operations, pointer_operations, product_rate
from stage_children import Case, forget_peak, loaded, peak_mib
from torch import Tensor

from chromatrack.formats.masks import frame_file, write_mask
from chromatrack.model.encoder import ResNetEncoder, normalize_lab
from chromatrack.model.int8_encoder import Int8Encoder
from chromatrack.ops.affinity import full_affinity
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.dense_affinity import Pointer
from chromatrack.ops.resample import upsample_guided
from chromatrack.propagation.bidirectional import FrameReading
from chromatrack.propagation.label_maps import label_map_to_mask, to_image
from chromatrack.propagation.memory_bank import Reference
from chromatrack.propagation.point_reliability import read_point_signals
from chromatrack.propagation.propagate import (
    Input,
    Propagated,
    _point,
    reach,
    read_trusted,
    share_cells,
)
from chromatrack.runs.files import overlay_frame
from chromatrack.runs.things_table import ThingsWriter
from chromatrack.runs.writer import frame_row
from chromatrack.tracking.inference import TrackedFrame, TrackerRun, tracked
from chromatrack.tracking.mark_checks import checked_marks
from chromatrack.video.reader import open_writer, read_frames
from chromatrack.viz.track_overlays import Trails

WARM = 6
"""Frames after which the memory is full: the marked one and the recent ones."""

_GEMM_SIDE = 1024
_FULL_RUNS = 2
_LONG_MS = 10_000  # of the plain full matrix, after which it is not asked again


@dataclass
class Stage:
    """ms: of its calls. in_path: a part of every frame's way; others are measured beside it.

    needed: operations that its result asks for, where that is less than it does (`operations`).
    """

    name: str
    in_path: bool
    ms: list[float] = field(default_factory=list)
    peak_mib: float | None = None
    operations: int = 0
    needed: int | None = None


@dataclass
class Clock:
    """Times stages frame by frame, or counts what they compute."""

    counting: bool = False
    stages: dict[str, Stage] = field(default_factory=dict)

    def time(self, name: str, work: Callable[[], Any], *, in_path: bool = True) -> Any:
        """Do the work, and return what it does."""
        stage = self.stages.setdefault(name, Stage(name, in_path))
        if self.counting:
            results: list[Any] = []
            stage.operations = forward_operations(lambda: results.append(work())).total
            return results[0]
        has_peak = forget_peak()
        began = perf_counter()
        result = work()
        stage.ms.append(1000 * (perf_counter() - began))
        if has_peak:
            stage.peak_mib = max(stage.peak_mib or 0.0, peak_mib())
        return result

    def rows(self) -> list[dict[str, Any]]:
        """What was found, as JSON has it; the first frame, which warms up, is left out."""
        for stage in self.stages.values():
            stage.ms = stage.ms[1:]
        return [stage.__dict__ for stage in self.stages.values()]


class Probe:
    """A run that is followed, and the step that it made last."""

    def __init__(self, case: Case) -> None:
        """Raises SystemExit for a model of clips: its frames are not embedded one by one."""
        tracker, marks = loaded(case)
        embedder = tracker.embedder
        if embedder.spec.clip_length != 1:
            raise SystemExit(f"{case.model}: expected a model of single frames, got one of clips")
        marks = checked_marks(case.video, marks, start=0, end=case.frames, embedder=embedder)
        self.video = case.video
        self.frames = read_frames(case.video, end=case.frames)
        first = next(self.frames)
        self.run = TrackerRun(case.video, marks, 0, first, embedder=embedder)
        self.embedder, self.layout = embedder, self.run.layout
        self.way = self.run.new_pass()
        self.labels, self.propagator = self.way.labels, self.way.propagator
        self.last: Propagated | None = None
        self._step, self.propagator.step = self.propagator.step, self._kept
        for frame in [first, *islice(self.frames, WARM - 1)]:
            self.way.step(self.run.input(frame))

    def _kept(self, frame: Input) -> Propagated:
        self.last = self._step(frame)
        return self.last

    def features(self, clock: Clock, image: Tensor) -> Tensor:
        """Colour and encoder, which is entered at Lab where that can be done."""
        lab, encode = clock.time("colour", lambda: rgb_to_lab(image)), self.run.encode
        if clock.counting and isinstance(encode, Int8Encoder):
            encode = encode.exact  # as many products
        if isinstance(encode, ResNetEncoder):
            return clock.time("encoder", lambda: encode.embed(normalize_lab(lab[None]))[0])
        return clock.time("encoder, own colour", lambda: encode(image[None])[0])

    def needed(self, active: Tensor, references: Sequence[Reference], features: Tensor) -> int:
        """Operations of a pointer for active cells `(h, w)`."""
        return pointer_operations(
            active,
            radius=[reference.radius for reference in references],
            channels=len(features),
            disc=self.propagator.config.radius_shape == "disc",
        )

    def point(self, clock: Clock, features: Tensor, references: Sequence[Reference]) -> Pointer:
        """The pointer as in tracking, and beside it for an object that fills the frame."""
        config = self.propagator.config
        for name, background in (("pointer, every cell", False), ("pointer", True)):
            pointer = clock.time(
                name,
                lambda background=background: _point(
                    features.clone(),  # not known from the last time
                    references,
                    config,
                    background=background,
                    search=self.propagator.search,
                ),
                in_path=background,
            )
            if clock.counting:
                active = torch.ones(features.shape[1:], dtype=torch.bool)
                if background:
                    size = features.shape[1], features.shape[2]
                    active = reach(references, size=size, faint=config.faint)
                clock.stages[name].needed = self.needed(active, references, features)
        return pointer

    def copy(self, pointer: Pointer, references: Sequence[Reference]) -> Tensor:
        """The readout: `(L, h, w)`, as `copy_labels` makes it of a pointer."""
        label_map = read_trusted(pointer, references)
        label_map = torch.where(label_map < self.propagator.config.faint, 0, label_map)
        return share_cells(label_map, free=self.propagator.free)

    def settle(self, clock: Clock, frame: Input, features: Tensor, copied: Tensor) -> None:
        """Recall, points and mask decoder, on forks of their state."""
        labels, layout, cut = self.labels, self.layout, False
        lost = labels.redetector.fork()
        for thing in lost.objects.values():
            thing.lost = True
        for name, redetector in (
            ("recall, all lost", lost),
            ("recall", labels.redetector.fork()),
        ):
            label_map, _ = clock.time(
                name,
                lambda redetector=redetector: redetector.settle(
                    frame.index, features, copied, None, cut=cut
                ),
                in_path=redetector is not lost,
            )
        if layout.points:
            points, first = labels.points.fork(), layout.first_point
            bumps, _, _ = clock.time(
                "points", lambda: points.follow(features, frame.image, label_map[first:], {})
            )
            label_map = torch.cat([label_map[:first], bumps])
        if labels.masks.is_on:
            label_map = share_cells(label_map, free=layout.free)
            masks = labels.masks.fork()
            clock.time("mask decoder", lambda: masks.read(frame, features, label_map, None))

    def read_reliability(self) -> None:
        """The signals of everything on the frame of the last step."""
        step, bank, layout = self.last, self.propagator.bank, self.layout
        assert step is not None
        watch = self.way.watch.fork()
        ab = watch.see(step, bank)
        watch.read(step, ab, bank, layout.region_channels)
        read_point_signals(step, ab, watch, bank, first=layout.first_point)

    def full_size(self, clock: Clock, frame: Input, reading: FrameReading) -> None:
        """From label maps to ids at the source's size; the guided filter beside it."""
        config, spec, size = self.embedder.config, self.embedder.spec, frame.frame.rgb.shape[:2]
        regions, image = reading.regions, frame.image
        assert regions is not None
        is_guided = reading.masks is None and config.upsample == "guided"
        clock.time(
            "upsample, guided filter",
            lambda: upsample_guided(regions, image, spec=spec, background=True),
            in_path=is_guided,
        )

        def to_ids() -> Any:
            dense = to_image(
                regions,
                image,
                spec=spec,
                how=config.upsample,
                stretch=config.stretch,
                masks=reading.masks,
            )
            return label_map_to_mask(dense, ids=self.layout.regions, size=size)

        clock.time("upsample, to ids", to_ids)


class Outputs(ExitStack):
    """What a run writes, in a folder of its own."""

    def __init__(self, folder: Path, probe: Probe) -> None:
        super().__init__()
        self.folder, self.layout = folder, probe.layout
        self.trails, self.count = Trails(12), 0

    def __enter__(self) -> Self:
        (self.folder / "masks").mkdir(parents=True)
        self.overlay = self.enter_context(open_writer(self.folder / "overlay.mp4", fps=25))
        self.table = self.enter_context(ThingsWriter(self.folder / "things.csv", self.layout, {}))
        return super().__enter__()

    def write(self, clock: Clock, frame: TrackedFrame) -> None:
        """Draw a frame, and encode and write all of it."""
        self.trails.add(frame.points)
        shown = clock.time("draw", lambda: overlay_frame(frame, trails=self.trails))
        if self.layout.regions:
            path = self.folder / "masks" / frame_file(frame.index)
            clock.time("encode, masks", lambda: write_mask(path, frame.mask))
        clock.time(
            "encode, overlay",
            lambda: self.overlay.write(shown, pts_seconds=frame.pts_seconds),
        )
        clock.time("write tables", lambda: (self.table.write(frame), frame_row(frame)))
        self.count += 1

    def finish(self, clock: Clock) -> None:
        """Close the overlay: what it still had to encode counts evenly for all its frames."""
        began = perf_counter()
        self.overlay.close()
        each = 1000 * (perf_counter() - began) / self.count
        overlay = clock.stages["encode, overlay"]
        overlay.ms = [ms + each for ms in overlay.ms]


def one_frame(probe: Probe, clock: Clock, outputs: Outputs) -> None:
    """Every stage on the next frame. Raises SystemExit where there is none."""
    source = clock.time("decode", lambda: next(probe.frames, None))
    if source is None:
        raise SystemExit(
            f"{probe.video}: expected {WARM} frames and those of --stage-frames, got less"
        )
    image = clock.time("resize", lambda: probe.embedder.image(source.rgb))
    features = probe.features(clock, image)
    references = probe.propagator.bank.references(source.index)
    pointer = probe.point(clock, features, references)
    copied = clock.time("readout", lambda: probe.copy(pointer, references))
    frame = probe.run.input(source)
    probe.settle(clock, frame, features, copied)
    reading = clock.time("a whole step", lambda: probe.way.step(frame), in_path=False)
    clock.time("reliability", probe.read_reliability)
    if probe.layout.regions:
        probe.full_size(clock, frame, reading)
    outputs.write(clock, tracked(frame, reading, probe.run))


def gemm_rate() -> float:
    """Operations a second of a square matrix product, on this process's threads."""
    return product_rate(_GEMM_SIDE, device=torch.device("cpu"), precision=torch.float32)


def stages(case: Case) -> dict[str, Any]:
    """Every stage, and the rate of matrix products before and after."""
    probe, clock, rates = Probe(case), Clock(), [gemm_rate()]
    count = min(case.stage_frames, case.frames - WARM)
    folder = Path(case.folder) / "stages"
    with torch.inference_mode(), Outputs(folder, probe) as outputs:
        for number in range(count):
            clock.counting = number == count - 1
            one_frame(probe, clock, outputs)
        outputs.finish(clock)
    peak = max(stage.peak_mib or peak_mib() for stage in clock.stages.values())
    return {"stages": clock.rows(), "gemm": [*rates, gemm_rate()], "peak_mib": peak}


def full_matrix(case: Case) -> dict[str, Any]:
    """The pointer of one frame by its plain definition; or why it was left out."""
    probe = Probe(case)
    config = probe.propagator.config
    with torch.inference_mode():
        frame = probe.run.input(next(probe.frames))
        features = probe.run.encode(frame.image[None])[0]
        references = probe.propagator.bank.references(frame.index)
        cells = features[0].numel()
        pairs = len(references) * cells * cells
        free, wanted = free_mib(), (8 * pairs + 32 * cells * cells) / 2**20
        if config.top_k is None:
            return {"left_out": "top_k all"}
        if free is not None and wanted > 0.8 * free:
            return {"left_out": f"takes {wanted:.0f} MiB, {free:.0f} MiB are free"}
        maps, radius = torch.stack([r.features for r in references]), [r.radius for r in references]
        ms = []
        for _ in range(_FULL_RUNS):
            began = perf_counter()
            full_affinity(
                features,
                maps,
                radius=radius,
                top_k=config.top_k,
                temperature=config.temperature,
                radius_shape=config.radius_shape,
            )
            ms.append(1000 * (perf_counter() - began))
            if sum(ms) > _LONG_MS:
                break
    return {"ms": ms, "operations": 2 * pairs * len(features), "peak_mib": peak_mib()}


def free_mib() -> float | None:
    """Memory that can be had without swapping; None where the system does not say."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return None
    line = next(x for x in path.read_text().splitlines() if x.startswith("MemAvailable"))
    return int(line.split()[1]) / 1024
