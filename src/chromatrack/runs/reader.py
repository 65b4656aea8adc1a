"""A finished (or interrupted) run, read back from its folder: what was tracked, where and when.

The table of frames is read at once, masks one at a time. Needs neither torch nor av.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from glob import glob
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.errors import InputError
from chromatrack.formats.csv_tables import BOX, TrackData, read_tracks
from chromatrack.formats.json_fields import JsonValue, load_json_object, names_from_plain
from chromatrack.formats.keypoints import read_keypoint_tracks
from chromatrack.formats.masks import frame_file, read_mask
from chromatrack.formats.thing_colors import colors_from_plain
from chromatrack.runs.file_names import OUTPUTS, Output
from chromatrack.runs.staging import settle
from chromatrack.structures import Categories, Colors, Kind, LabelName, Names, Source
from chromatrack.tracking.reliability import read_places_row
from chromatrack.video.source import VideoSource

ASSUMED_FPS = 24.0
"""Frames per second of sources that state no times; `video.decode.FALLBACK_FPS`."""

_PICTURE_MODES = frozenset(
    ["1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "F", "CMYK", "YCbCr"]
)
"""What a run of earlier versions says of its source's pixels where that was pictures."""

MOST_DIGITS = 18
"""Of an id in result.json; longer ones fit no integer of 64 bits."""

LONGEST_SIDE = 1 << 20
"""Px; no video is wider or higher."""

READABLE_VERSIONS = (1, 2)
"""Values of `schema_version` in result.json that this module understands."""


@dataclass(frozen=True)
class SavedFrame:
    """One frame of a run; every mapping goes by object id.

    index: frame number in the video. pts_seconds: when it is shown. areas: px of the mask.
    present: False where the object was reported absent. confidence: 0..1, None where the run did
    not say. cut: a scene cut lies just before this frame. reliability: chance that the mask is
    right, 0..1, left out where the run did not say. place_reliability: the same of boxes, points
    and joints, by name.
    """

    index: int
    pts_seconds: float
    areas: Mapping[int, int]
    present: Mapping[int, bool]
    confidence: Mapping[int, float | None]
    cut: bool = False
    reliability: Mapping[int, float] = field(default_factory=dict)
    place_reliability: Mapping[LabelName, float] = field(default_factory=dict)


def _no_mask(index: int) -> np.ndarray:
    raise InputError(f"frame {index}: this result holds no masks; track objects with masks first")


def left_out(folder: Path, output: Output, need: str) -> InputError:
    """What to say where an output is needed that a run left out by choice."""
    return InputError(
        f"{folder}: {need}, but its {output} were left out by choice (--only); track the video "
        f"again with {output}"
    )


@dataclass(frozen=True)
class Result:
    """A run as it was saved; `read_result` makes it from a folder.

    video_path: as the run was given it. size: (height, width) of its frames. frames: ascending
    and without gaps. objects: ids that have masks. points, boxes, keypoints: {id: TrackData}.
    complete, reason: False and why, where the run ended early. fps, deinterlaced: how it was read,
    as in `VideoSource`. load_mask: frame number -> (H, W) int32 ids. names: what things are called,
    by kind and id, where they have a name; colors: what they are drawn in, categories: what they
    are, where that was said.
    times_stated: False where the source states no times, as pictures do, and they were made up.
    outputs: what was written of masks, tracks and overlay. untold: ids of the kinds that were
    tracked, but whose tables were left out.
    """

    folder: Path
    video_path: str
    size: tuple[int, int]
    frames: tuple[SavedFrame, ...]
    objects: tuple[int, ...] = ()
    points: Mapping[int, TrackData] = field(default_factory=dict)
    boxes: Mapping[int, TrackData] = field(default_factory=dict)
    keypoints: Mapping[int, TrackData] = field(default_factory=dict)
    complete: bool = True
    reason: str | None = None
    fps: float | None = None
    deinterlaced: bool = False
    load_mask: Callable[[int], np.ndarray] = _no_mask
    names: Names = field(default_factory=dict)
    colors: Colors = field(default_factory=dict)
    categories: Categories = field(default_factory=dict)
    times_stated: bool = True
    outputs: tuple[Output, ...] = OUTPUTS
    untold: Mapping[Kind, tuple[int, ...]] = field(default_factory=dict)

    @cached_property
    def indices(self) -> np.ndarray:
        """(N,) int64 frame numbers."""
        return np.array([frame.index for frame in self.frames], dtype=np.int64)

    @cached_property
    def times(self) -> np.ndarray:
        """(N,) float64: when each frame is shown, seconds."""
        return np.array([frame.pts_seconds for frame in self.frames], dtype=np.float64)

    @cached_property
    def cuts(self) -> np.ndarray:
        """(N,) bool: a scene cut lies just before the frame."""
        return np.array([frame.cut for frame in self.frames], dtype=bool)

    def mask(self, index: int) -> np.ndarray:
        """(H, W) int32 object ids of one frame, read from its file now.

        Raises:
            InputError: no mask of that frame, or one of another size than the video.
        """
        self.needs_masks()
        mask = self.load_mask(index)
        if mask.shape != self.size:
            raise InputError(
                f"{self.folder}: the mask of frame {index} is {mask.shape[1]}x{mask.shape[0]} but "
                f"the video is {self.size[1]}x{self.size[0]}; track the video again"
            )
        return mask

    def ids(self, kind: Kind) -> list[int]:
        """Ids of one kind of tracked thing, ascending."""
        if kind == "object":
            return sorted(self.objects)
        return sorted(self.untold.get(kind) or self.tracks(kind))

    def needs_masks(self) -> None:
        """InputError if there are objects, but the run left their masks out by choice."""
        if self.objects and "masks" not in self.outputs:
            raise left_out(self.folder, "masks", "expected masks of its objects")

    def tracks(self, kind: Kind) -> Mapping[int, TrackData]:
        """{id: TrackData} of one kind; objects have masks instead, so theirs is empty.

        Raises:
            InputError: the run left them out by choice.
        """
        if kind in self.untold:
            raise left_out(self.folder, "tracks", f"expected the table of its {_PLURALS[kind]}")
        table = {"point": self.points, "box": self.boxes, "keypoints": self.keypoints}
        return table.get(kind, {})

    def as_tracked(self, video: Source) -> Source:
        """A video to be read as the tracked one was: deinterlaced, at a rate that was given."""
        given = VideoSource.of(video)
        fps, deinterlace = given.fps or self.fps, given.deinterlace or self.deinterlaced
        if fps is None and not deinterlace:
            return given.path
        return VideoSource(given.path, fps=fps, deinterlace=deinterlace)

    def find_video(self, video: Source | None = None) -> Source:
        """Where the tracked video is: `video` if given, else as saved, else beside the result.

        To be read as it was tracked (deinterlaced, at a given rate).

        Raises:
            InputError: it is in none of these places.
        """
        if video is not None:
            return self.as_tracked(video)
        name = Path(self.video_path).name
        for place in (Path(self.video_path), self.folder / name, self.folder.parent / name):
            if place.exists() or glob(str(place)):  # noqa: PTH207  (the pattern may be absolute)
                return self.as_tracked(str(place))
        raise InputError(
            f"{self.folder}: its video '{self.video_path}' is not there any more; name the place "
            "where it is now"
        )


def read_result(folder: Source) -> Result:
    """Read what `chromatrack track` wrote into a folder; warns when the run ended early.

    Results of older versions, which know neither presence, confidence nor cuts, read as present
    where the mask is not empty, confidence None and no cuts. If a process was killed while it put
    a run's files in place, that is finished first.

    Args:
        folder: the folder, or its result.json.

    Raises:
        InputError: no result there, one of another kind or version, or a damaged one.
    """
    path = Path(folder)
    path = path if path.name == "result.json" else path / "result.json"
    settle(path.parent)
    data = _load_json(path)
    _check_head(path, data)
    content = JsonValue(data, str(path))
    frames = tuple(_frame(row) for row in content["frames"].items())
    video, listed = content["video"], content.get("objects")
    size = _side(video["height"]), _side(video["width"])
    objects = tuple(item.whole() for item in listed.items()) if listed else ()
    try:
        rate = video.get("fps")
        fps = None if rate is None else rate.number()
        video_path, names = str(video["path"].value), names_from_plain(data.get("names", {}))
        colors = colors_from_plain(data.get("colors", {}))
        categories = names_from_plain(data.get("categories", {}))
        format_ = video.value.get("pixel_format")
        stated = video.value.get("states_times", format_ not in _PICTURE_MODES)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not as `chromatrack track` writes it ({type(error).__name__}: {error}); "
            "track the video again"
        ) from error
    _check_order(path, frames)
    outputs = _outputs(content)
    untold = {} if "tracks" in outputs else _untold(content)
    complete, reason = bool(data.get("complete", True)), data.get("reason")
    if not complete:
        warnings.warn(
            f"{path}: the run ended early ({reason or 'no reason given'}); "
            f"its {len(frames)} frames are used",
            stacklevel=2,
        )
    home = path.parent
    return Result(
        folder=home,
        video_path=video_path,
        size=size,
        frames=frames,
        objects=objects,
        points=_tracks(data, "points", home / "tracks.csv", read_tracks),
        boxes=_tracks(data, "boxes", home / "boxes.csv", lambda path: read_tracks(path, BOX)),
        keypoints=_tracks(
            data, "keypoints", home / "keypoints.json", lambda path: read_keypoint_tracks(path)[1]
        ),
        complete=complete,
        reason=reason,
        fps=fps,
        deinterlaced=bool(video.value.get("deinterlaced", False)),
        load_mask=lambda index: read_mask(home / "masks" / frame_file(index)),
        names=names,
        colors=colors,
        categories=categories,
        times_stated=bool(stated) or fps is not None,  # fps: as the user said
        outputs=outputs,
        untold=untold,
    )


# -- parts ---------------------------------------------------------------------------------


def _load_json(path: Path) -> dict[str, Any]:
    """The object in result.json."""
    if not path.is_file():
        raise InputError(
            f"{path.parent}: expected a folder that `chromatrack track` wrote, but there is no "
            "result.json in it; check the path"
        )
    return load_json_object(path, what="a result of `chromatrack track`")


def _check_head(path: Path, data: dict[str, Any]) -> None:
    """Raises InputError unless this is a tracking result of a version that can be read."""
    version = data.get("schema_version")
    if version not in READABLE_VERSIONS:
        known = ", ".join(map(str, READABLE_VERSIONS))
        raise InputError(
            f"{path}: expected schema_version {known}, got {version!r}; read it with the "
            "chromatrack that wrote it, or track again"
        )
    if data.get("command", "track") != "track":
        raise InputError(
            f"{path}: expected a result of `chromatrack track`, got one of "
            f"{data['command']!r}; give a folder with tracks"
        )


def _frame(row: JsonValue) -> SavedFrame:
    """One entry of "frames"; JSON keys are text, ids are integers."""
    areas = {k: value.whole() for k, value in _by_id(row, "areas")}
    stated = {k: bool(value.value) for k, value in _by_id(row, "present")}
    known = {
        k: None if value.value is None else value.number() for k, value in _by_id(row, "confidence")
    }
    try:
        places = read_places_row(row.value.get("place_reliability", {}))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{row.place}.place_reliability: not as `chromatrack track` writes it ({error}); track "
            "the video again"
        ) from error
    return SavedFrame(
        index=row["index"].whole(),
        pts_seconds=row["pts_seconds"].number(),
        areas=areas,
        present={k: stated.get(k, area > 0) for k, area in areas.items()} | stated,
        confidence={k: known.get(k) for k in areas} | known,
        cut=bool(row.value.get("cut", False)),
        reliability={
            k: value.number() for k, value in _by_id(row, "reliability") if value.value is not None
        },
        place_reliability=places,
    )


_PLURALS: Mapping[Kind, str] = {"point": "points", "box": "boxes", "keypoints": "keypoints"}
"""Kinds with tables, and what result.json calls the list of their ids."""


def _outputs(content: JsonValue) -> tuple[Output, ...]:
    """What was written; everything where the run does not say."""
    listed = content.get("outputs")
    if listed is None:
        return OUTPUTS
    names = [item.value for item in listed.items()]
    if unknown := [name for name in names if name not in OUTPUTS]:
        raise InputError(
            f"{listed.place}: expected {', '.join(OUTPUTS)}, got {unknown[0]!r:.40}; track the "
            "video again"
        )
    return tuple(name for name in OUTPUTS if name in names)


def _untold(content: JsonValue) -> dict[Kind, tuple[int, ...]]:
    """{kind: ids} of what was tracked and has a table otherwise."""
    found: dict[Kind, tuple[int, ...]] = {}
    for kind, listed in _PLURALS.items():
        ids = content.get(listed)
        if ids is not None and (numbers := {item.whole() for item in ids.items()}):
            found[kind] = tuple(sorted(numbers))
    return found


def _by_id(row: JsonValue, key: str) -> Iterator[tuple[int, JsonValue]]:
    """(id, value) of an object {"1": ...} of a frame; nothing where it has none."""
    given = row.get(key)
    if given is None:
        return
    for name in given.fields():
        if not name.isdecimal() or len(name) > MOST_DIGITS:
            raise InputError(
                f"{row.place}.{key}: expected ids as keys, got {name!r:.40}; track the video again"
            )
        yield int(name), given[name]


def _side(value: JsonValue) -> int:
    if not 0 < (side := value.whole()) <= LONGEST_SIDE:
        raise InputError(
            f"{value.place}: expected a side of 1 to {LONGEST_SIDE} px, got {side}; track the "
            "video again"
        )
    return side


def _check_order(path: Path, frames: tuple[SavedFrame, ...]) -> None:
    """Raises InputError unless there are frames, numbered without gaps, each later than the last.

    Every duration and speed is a difference of neighbours, so this is checked once, here.
    """
    if not frames:
        raise InputError(f"{path}: holds no frames, so nothing was tracked yet; track again")
    for before, after in pairwise(frames):
        if after.index != before.index + 1 or not after.pts_seconds > before.pts_seconds:
            raise InputError(
                f"{path}: expected frames in order of number and time, got frame {after.index} "
                f"at {after.pts_seconds} s after frame {before.index} at {before.pts_seconds} s; "
                "track again"
            )


def _tracks(
    data: dict[str, Any], kind: str, path: Path, read: Callable[[Path], dict[int, TrackData]]
) -> dict[int, TrackData]:
    """Tracks of one kind; a run without any of them leaves no file, or that of an earlier run."""
    known = data["schema_version"] < 2 or data.get(kind)
    known = known and "tracks" in data.get("outputs", OUTPUTS)
    return read(path) if known and path.exists() else {}
