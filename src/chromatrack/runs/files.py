"""The files of a tracking run, frame by frame: masks, tables of places, and the overlay video."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, get_args

import numpy as np

from chromatrack.atomic import (
    OutputFile,
    check_output_files,
    check_output_folder,
    starts_with,
)
from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import BOX, POINT, Looks, TableWriter, track_header
from chromatrack.formats.keypoints import KeypointWriter
from chromatrack.formats.masks import frame_file, write_mask
from chromatrack.formats.thing_colors import (
    bright_color,
    color_of,
    colors_of,
    skeleton_color,
)
from chromatrack.ops.islands import islands
from chromatrack.propagation.layout import Layout
from chromatrack.propagation.reliability import LOOK_BELOW_OF
from chromatrack.runs.file_names import OUTPUTS, RESULT, TABLES, Output, is_run
from chromatrack.runs.kept_exports import old_exports
from chromatrack.runs.things_table import COLUMNS as THING_COLUMNS
from chromatrack.runs.things_table import ThingsWriter
from chromatrack.structures import Categories, Colors, Kind, Names, Skeleton, Source
from chromatrack.tracking.inference import TrackedFrame
from chromatrack.video.display import SQUARE, Display
from chromatrack.video.encoding import USUAL, Quality
from chromatrack.video.image_writer import ImageSequenceWriter
from chromatrack.video.writer import VideoWriter, open_writer
from chromatrack.viz.overlays import Bar, Panel, overlay_masks, overlay_reliability
from chromatrack.viz.track_overlays import (
    QUERY,
    Label,
    Plate,
    Trails,
    label_text,
    overlay_boxes,
    overlay_labels,
    overlay_points,
    overlay_skeleton,
)

TRAIL_SECONDS = 1.0
"""For how long the overlay shows where a point came from."""

_OUR_HEAD = {
    "tracks.csv": track_header(POINT).partition(",name")[0],  # of earlier versions too
    "boxes.csv": track_header(BOX).partition(",name")[0],
    "keypoints.json": '{"categories": [{"id": 1, "name": "skeleton"',
    "things.csv": ",".join(THING_COLUMNS[:5]),
}


@dataclass(frozen=True)
class OverlayStyle:
    """What the overlay shows beside what was tracked.

    reliability_panel: where bars of reliability stand, None: nowhere. joint_names: the name of each
    joint that is seen.
    """

    reliability_panel: Panel | None = None
    joint_names: bool = False


PLAIN = OverlayStyle()

AnyTable = TableWriter | KeypointWriter | ThingsWriter
AnyWriter = VideoWriter | ImageSequenceWriter


class TrackFiles(contextlib.ExitStack):
    """Writes what was found on each frame; every file is whole however the run ends."""

    def __init__(
        self,
        folder: Path,
        layout: Layout,
        *,
        video: Source,
        fps: float | None,
        skeleton: Skeleton | None = None,
        names: Names | None = None,
        colors: Colors | None = None,
        categories: Categories | None = None,
        outputs: Collection[Output] = OUTPUTS,
        write_masks: bool = True,
        style: OverlayStyle = PLAIN,
        display: Display = SQUARE,
        quality: Quality = USUAL,
    ) -> None:
        """Nothing is written yet.

        Args:
            folder: where to.
            layout: what is tracked: each kind has its files.
            video, fps: source of the overlay's sound; frames a second, None where not known.
            skeleton: of the keypoints, if any are tracked.
            names: what things are called; goes into tables and overlay.
            colors: what they are drawn in, where not by number; goes there, too.
            categories: what they are; goes there, too.
            outputs: which of them are written.
            write_masks: False where they are written already.
            style: what the overlay shows besides.
            display, quality: how the overlay's pictures are shown and encoded.
        """
        super().__init__()
        self.folder, self.layout, self.skeleton = folder, layout, skeleton
        self.names, self.style, self.outputs = names or {}, style, outputs
        self.colors, self.categories = colors or {}, categories or {}
        self._write_masks = write_masks and self.has_masks
        self._video, self._fps = video, fps
        self._display, self.quality = display, quality
        self._tables: dict[str, AnyTable] | None = None
        self._trails = Trails(max(2, min(240, round(TRAIL_SECONDS * (fps or 25)))))
        self._overlay: AnyWriter | None = None

    @property
    def has_masks(self) -> bool:
        """Whether masks are among the run's files."""
        return bool(self.layout.regions) and "masks" in self.outputs

    @property
    def needs_other_masks(self) -> bool:
        """Whether other files are made of masks that are not."""
        return bool(self.layout.regions and self.outputs) and not self.has_masks

    @property
    def kinds(self) -> set[str]:
        """Kinds with a table that is written, and "thing", which has all."""
        if "tracks" not in self.outputs:
            return set()
        named = (*self.layout.points, *self.layout.unmarked)
        kinds = {"keypoints" if kind == "joint" else kind for kind, _, _ in named}
        return kinds | ({"box"} if self.layout.boxes else set()) | {"thing"}

    def __enter__(self) -> Self:
        if "overlay" in self.outputs:
            writer = open_writer(
                self.folder / "overlay.mp4",
                fps=self._fps,
                audio_from=self._video,
                display=self._display,
                **asdict(self.quality),
            )
            self._overlay = self.enter_context(writer)
        return super().__enter__()

    def write(self, frame: TrackedFrame) -> None:
        """Add one frame to every file.

        Raises:
            OutputError: a file cannot be written.
        """
        if self._tables is None:  # not before: a run without frames overwrites no table
            self._tables = self._open_tables()
        if self._write_masks:
            write_mask(self.folder / "masks" / frame_file(frame.index), frame.mask)
        found: Mapping[str, Mapping] = {
            "point": frame.points,
            "box": frame.boxes,
            "keypoints": frame.keypoints,
        }
        for kind, table in self._tables.items():
            if isinstance(table, ThingsWriter):
                table.write(frame)
            else:
                table.write(frame.index, frame.pts_seconds, found[kind])  # type: ignore[arg-type]
        if self._overlay is not None:
            self._draw(frame, self._overlay)

    def _draw(self, frame: TrackedFrame, overlay: AnyWriter) -> None:
        """Add one frame to the overlay."""
        if frame.cut:
            self._trails.clear()
        self._trails.add(frame.points)
        shown = overlay_frame(
            frame,
            skeleton=self.skeleton,
            trails=self._trails,
            names=self.names,
            colors=self.colors,
            categories=self.categories,
            joint_names=self.style.joint_names,
        )
        if self.style.reliability_panel is not None:
            bars = reliability_bars(frame, self.colors)
            shown = overlay_reliability(shown, bars, panel=self.style.reliability_panel)
        overlay.write(
            shown,
            pts_seconds=frame.pts_seconds,
            duration_seconds=frame.duration_seconds,
        )

    def _open_tables(self) -> dict[str, AnyTable]:
        tables: dict[str, AnyTable] = {}
        said = self.names, self.colors, self.categories
        for kind in sorted(self.kinds):
            path = self.folder / TABLES[kind]
            if kind == "thing":
                table = ThingsWriter(path, self.layout, *said)
            elif kind == "keypoints":
                assert self.skeleton is not None
                table = KeypointWriter(path, self.skeleton, Looks.of("keypoints", *said))
            elif kind == "point":
                table = TableWriter(path, POINT, Looks.of("point", *said))
            else:
                table = TableWriter(path, BOX, Looks.of("box", *said))
            tables[kind] = self.enter_context(table)
        return tables


def overlay_frame(
    frame: TrackedFrame,
    *,
    skeleton: Skeleton | None = None,
    trails: Trails | None = None,
    names: Names | None = None,
    colors: Colors | None = None,
    categories: Categories | None = None,
    joint_names: bool = False,
    fill: bool = True,
    doubtful: Collection[tuple[Kind, int]] = (),
) -> np.ndarray:
    """Everything tracked on a frame drawn over it: masks, then boxes, skeletons, points, names.

    Args:
        skeleton: joins the joints of `frame.keypoints`; without it they are left out.
        trails: where the points came from.
        names: what things are called, by kind and id.
        colors: what they are drawn in, where not by number.
        categories: what they are; said behind the name, where it is another text.
        joint_names: write the name of each joint that is seen.
        fill: tint masks; else they are outlined only, boldly.
        doubtful: what is drawn dashed, with a `?` at its name; points have the `?` alone.
    """
    names, colors = captions(names or {}, categories or {}), colors or {}
    doubted = {kind: [number for k, number in doubtful if k == kind] for kind in get_args(Kind)}
    own, tint = colors_of(colors, "object"), 0.45 if fill else 0.0
    dashed = doubted["object"]
    rgb = overlay_masks(frame.rgb, frame.mask, colors=own, alpha=tint, dashed=dashed, bold=not fill)
    taken: list[Plate] = []
    if frame.boxes:
        own, called = colors_of(colors, "box"), names_of(names, "box")
        rgb = overlay_boxes(
            rgb, frame.boxes, names=called, colors=own, taken=taken, doubtful=doubted["box"]
        )
    if frame.keypoints and skeleton is not None:
        own = colors_of(colors, "keypoints")
        rgb = overlay_skeleton(
            rgb,
            frame.keypoints,
            skeleton,
            joint_names=joint_names,
            colors=own,
            doubtful=doubted["keypoints"],
        )
    if frame.points:
        before = trails.positions if trails else None
        own = colors_of(colors, "point")
        rgb = overlay_points(rgb, frame.points, trails=before, colors=own)
    names = {thing: str(thing[1]) for thing in doubtful} | dict(names)
    labels = _labels(frame, names, colors, doubtful) if names else []
    return overlay_labels(rgb, labels, taken=taken) if labels else rgb


def captions(names: Names, categories: Categories) -> Names:
    """What is written beside things: `Berta (cow)`, or the one of both that is known."""
    found = {**categories, **names}
    for thing, category in categories.items():
        if found[thing] != category:
            found[thing] = f"{found[thing]} ({category})"
    return found


def names_of(names: Names, kind: Kind) -> dict[int, str]:
    """Names of the things of one kind, by id."""
    return {number: name for (k, number), name in names.items() if k == kind}


def _labels(
    frame: TrackedFrame, names: Names, colors: Colors, doubtful: Collection[tuple[Kind, int]]
) -> list[Label]:
    """The names of what is seen on a frame, above it; boxes have theirs.

    That of a mask is above the middle of its largest part.

    doubtful: what has a `?` behind its name.
    """
    labels = []
    for kind, number in sorted(names):
        corner, color = None, colors.get((kind, number)) or bright_color(number)
        if kind == "object" and frame.areas.get(number, 0) > 0:
            corner = _top(frame.mask == number)
        elif kind == "point" and number in frame.points and frame.points[number].visible:
            corner = frame.points[number].x + 4, frame.points[number].y - 4
        elif kind == "keypoints" and number in frame.keypoints:
            pose, color = frame.keypoints[number], color_of(kind, number, colors)
            if pose.visible.any():
                left, top = pose.joints[pose.visible].min(axis=0).tolist()
                corner = left, top - 6
        if corner is not None:
            text = label_text(number, names_of(names, kind))
            text += QUERY if (kind, number) in doubtful else ""
            labels.append(Label(text, corner, color))
    return labels


def _top(region: np.ndarray) -> tuple[float, float]:
    """x, y of the edge above the middle of a region's largest part; the region is not empty."""
    parts = islands(region)
    largest = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    rows, columns = np.nonzero(parts == largest)
    middle = float(np.median(columns))
    near = np.abs(columns - middle) <= max(1.0, np.ptp(columns) / 20)
    return middle, float(rows[near].min()) if near.any() else float(rows.min())


def reliability_bars(frame: TrackedFrame, colors: Colors | None = None) -> list[Bar]:
    """A bar for everything tracked: `2` is object 2, `b2` a box, `p2` a point, `k2` a skeleton.

    colors: what things are drawn in, where not by number.
    """
    letters: dict[Kind, str] = {"object": "", "box": "b", "point": "p", "keypoints": "k"}
    colors, found = colors or {}, frame.reliability_by_kind
    return [
        Bar(
            f"{letter}{number}",
            number,
            value,
            LOOK_BELOW_OF[kind],
            colors.get((kind, number)) or (skeleton_color(number) if kind == "keypoints" else None),
        )
        for kind, letter in letters.items()
        for number, value in sorted(found.get(kind, {}).items())
    ]


# -- what an earlier run left ----------------------------------------------------------------


def stale_files(
    folder: Path, files: TrackFiles, *, written: range, marked: Collection[int]
) -> list[Path]:
    """Files of an earlier run in a folder that the run at hand does not write.

    That is, masks of other frames than it has `written` or saved as `marked`, tables of kinds that
    are not tracked, what is left out by choice, and exports; tables that were not written by a run
    are not among them.
    """
    kept = written if files.has_masks else range(0)
    stale = _numbered_pictures(folder / "masks", kept) + _numbered_pictures(
        folder / "marks", marked
    )
    untracked = [folder / name for kind, name in TABLES.items() if kind not in files.kinds]
    overlay = folder / "overlay.mp4"
    if "overlay" not in files.outputs and is_run(folder) and overlay.exists():
        stale.append(overlay)
    stale += [path for path in untracked if is_our_table(path)]
    return stale + old_exports(folder)


def _numbered_pictures(folder: Path, kept: Collection[int]) -> list[Path]:
    """Pictures in a folder that are named as a run names them, but for the frames `kept`."""
    paths = (path for path in folder.glob("*.png") if re.fullmatch(r"[0-9]{5,}", path.stem))
    return sorted(
        path
        for path in paths
        if path.name == frame_file(int(path.stem)) and int(path.stem) not in kept
    )


def is_our_table(path: Path) -> bool:
    """Whether a run wrote a table."""
    return starts_with(path, _OUR_HEAD[path.name])


def check_outputs(files: TrackFiles) -> None:
    """InputError where a choice of outputs leaves nothing, or an option would do nothing."""
    if tuple(files.outputs) == ("masks",) and not files.layout.regions:
        raise InputError("only masks: expected an object, which has masks, got none; add tracks")
    if "overlay" in files.outputs:
        return
    panel, joint_names = files.style.reliability_panel, files.style.joint_names
    given = {"show_reliability": panel is not None, "joint_names": joint_names}
    given["crf or preset"] = files.quality != USUAL
    for name in (name for name, is_given in given.items() if is_given):
        raise InputError(
            f"{name}: is about overlay.mp4, which is left out (--only, --no-overlay); leave {name} "
            "out or write the overlay too"
        )


def check_run_folder(folder: Path, files: TrackFiles, *, reads: Iterable[object]) -> None:
    """Refuse a folder for a run that is read, or that holds things of others under a run's names.

    Args:
        folder: new, empty, an earlier run's, or with things of other names.
        files: what will be written.
        reads: what the run reads: video, files of marks.

    Raises:
        InputError: says what is in the way.
    """
    tables = [name for kind, name in TABLES.items() if kind in files.kinds]
    pictures = ["masks"] if files.layout.regions else []
    check_output_folder(
        folder,
        [RESULT, "overlay.mp4", "marks", *pictures, *tables],
        kind="results of `chromatrack track`",
        is_ours=is_run(folder),
        reads=reads,
    )
    others = [folder / name for name in tables if (folder / name).exists()]
    check_output_files([OutputFile(path, "table of a run", is_our_table) for path in others])
