"""Runs that end early and go on: what was found so far, and where the passes were.

`.resume/` in a run's folder, as long as it is not complete: `made_with.json` (all that the run
depends on), `frames` (what was found, frame by frame), `readings` of a backward pass, and `state`
of the pass under way, written as often as costs a twentieth of the time. To go on is to take the
state and do again the few frames after it, so that the end is as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chromatrack import __version__
from chromatrack.atomic import replace_file, unwritable
from chromatrack.errors import InputError, OutputError
from chromatrack.formats.json_fields import load_json_object
from chromatrack.formats.masks import frame_file, read_mask
from chromatrack.json_text import json_text
from chromatrack.propagation.bidirectional import (
    DirectedPass,
    FrameReading,
    Packed,
    ReadingCache,
    chunks_backward,
    packed,
    unpacked,
)
from chromatrack.propagation.propagate import Input
from chromatrack.runs.file_names import OUTPUTS, RESUME
from chromatrack.runs.marks_json import plain_marks
from chromatrack.runs.pass_state import dumped, dumped_parts, loaded, loaded_first, shared_by
from chromatrack.structures import Source
from chromatrack.tracking.close_up import CloseUpPass
from chromatrack.tracking.inference import TrackedFrame, TrackerRun
from chromatrack.tracking.marks import Marks
from chromatrack.video.images import image_files
from chromatrack.video.reader import Frame, VideoInfo, read_frames

CHOICE = "choice of outputs"
"""What a run depends on that earlier versions did not write down."""

_SHARE = 20  # of the time, one part may go into writing the state
_SECONDS = 1.0  # and what would be done again is not worth more
_NONE = np.zeros((0, 0), dtype=np.int32)

_STATE = 3
"""Counted up when what a pass writes down of itself changes."""


def fingerprint(
    video: Source, info: VideoInfo, marks: Marks, settings: Mapping[str, object]
) -> dict[str, str]:
    """What a run depends on, each as a short text: equal texts, equal results."""
    files = image_files(video) or [Path(video)]
    seen = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    told = {name: value for name, value in asdict(info).items() if name != "path"}
    painted = {int(frame): _digest(mask.tobytes()) for frame, mask in marks.masks.items()}
    parts: dict[str, object] = {
        "version": [__version__, _STATE],
        "video": [seen, told],
        "marks": [plain_marks(marks), painted],
        **settings,
    }
    return {name: _digest(json_text(value)) for name, value in parts.items()}


def _digest(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:16]


@dataclass
class Progress:
    """How far a run has come, kept in `folder` (`.resume` of the folder that is prepared).

    made_with: `fingerprint`. tell: called as tell(what, frames done, frames in all) while a
    backward pass comes first. settle: called before a state is written, so that all frames before
    it are on disk.
    """

    folder: Path
    made_with: Mapping[str, str]
    tell: Callable[[str, int, int | None], None] = field(default=lambda *_: None)
    settle: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        self._saved, self._cost = time.monotonic(), 0.0
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / "made_with.json", json_text(self.made_with))
        self.frames = _FrameLog(self.folder / "frames")

    def _state(self) -> tuple[str, int, memoryview] | None:
        try:
            (name, index, length), content = loaded_first((self.folder / "state").read_bytes())
        except (OSError, InputError, TypeError, ValueError):
            return None
        return (name, index, content) if len(content) == length else None

    def next_frame(self, start: int) -> int:
        """The first frame that the forward pass has still to do; `frames` has those before it."""
        state = self._state()
        begin = state[1] if state is not None and state[0] == "forward" else start
        if begin - start > len(self.frames):  # never, unless someone else was at it
            (self.folder / "state").unlink()
            begin = start
        self.frames.truncate(begin - start)
        return begin

    def save(
        self, name: str, index: int, state: object, shared: Mapping[str, object] | None = None
    ) -> None:
        """Write the state of a pass, at frame `index` next, if there is time and room for it.

        shared: as for `dumped_parts`.
        """
        if time.monotonic() - self._saved < max(_SECONDS, _SHARE * self._cost):
            return
        self.settle()
        began = time.monotonic()
        try:
            parts = dumped_parts(state, shared)
            length = sum(memoryview(part).nbytes for part in parts)
            replace_file(self.folder / "state", [dumped((name, index, length)), *parts])
        except OutputError:  # what must have room will say so
            self._cost = float("inf")
            return
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def restore(self, name: str, shared: Mapping[str, object]) -> tuple[int, Any] | None:
        """The next frame and the state of a pass of this name, if one was saved."""
        found = self._state()
        if found is None or found[0] != name:
            return None
        return found[1], loaded(found[2], shared)

    @property
    def is_past_backward(self) -> bool:
        """Whether the backward pass is done."""
        return (self.folder / "backward-done").exists()

    def end_backward(self) -> None:
        """Note that it is."""
        replace_file(self.folder / "backward-done", "")

    def close(self) -> None:
        """Close the files."""
        self.frames.close()


class _Records:
    """A file of records that are whole or not there, appended one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places = array("q")  # where each begins and how long it is, one after the other
        try:
            self._file = path.open("r+b" if path.exists() else "w+b")
            while head := self._file.read(12):
                length, check = int.from_bytes(head[:8]), int.from_bytes(head[8:])
                content = self._file.read(length)
                if len(head) < 12 or len(content) < length or zlib.crc32(content) != check:
                    break
                self.places.extend((self._file.tell() - length, length))
            self.truncate(len(self))
        except OSError as error:
            raise unwritable(path, error) from error

    def __len__(self) -> int:
        return len(self.places) // 2

    def truncate(self, count: int) -> None:
        """Keep the first `count` records only."""
        del self.places[2 * count :]
        end = sum(self.places[-2:])
        self._file.truncate(end)
        self._file.seek(end)

    def add(self, content: bytes) -> None:
        head = len(content).to_bytes(8) + zlib.crc32(content).to_bytes(4)
        try:
            self._file.seek(0, 2)
            self._file.write(head + content)
            self._file.flush()
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.places.extend((self._file.tell() - len(content), len(content)))

    def get(self, number: int) -> bytes:
        place, length = self.places[2 * number : 2 * number + 2]
        self._file.seek(place)
        return self._file.read(length)

    def close(self) -> None:
        self._file.close()


class _FrameLog(_Records):
    """What was found on each frame, but for the pixels."""

    def put(self, frame: TrackedFrame, *, with_mask: bool) -> None:
        """Add the next frame; without its mask if that is in the run's own file or not needed."""
        mask = frame.mask if with_mask else _NONE
        self.add(zlib.compress(dumped(replace(frame, rgb=_NONE, mask=mask)), 1))

    def read(self, masks: Path, video: Source, start: int, count: int) -> Iterator[TrackedFrame]:
        """The first `count` frames, as they were found. masks: folder of them."""
        frames = read_frames(video, start=start, end=start + max(count, 1))
        for number, frame in enumerate(islice(frames, count)):
            found: TrackedFrame = loaded(zlib.decompress(self.get(number)))
            mask, path = found.mask, masks / frame_file(frame.index)
            if mask.size == 0:
                mask = read_mask(path) if path.exists() else np.zeros(frame.rgb.shape[:2], np.int32)
            yield replace(found, rgb=frame.rgb, mask=mask)


class KeptReadings(ReadingCache):
    """Readings of a backward pass in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        self._records = _Records(path)
        self._cuts: set[int] = set()
        self._numbers: dict[int, int] = {}
        for number in range(len(self._records)):
            index, (_, reading) = self._read(number)
            self._note(index, number, reading)

    def put(self, index: int, reading: FrameReading) -> None:
        """Keep a reading; label maps are stored as float16."""
        self._records.add(zlib.compress(dumped((index, packed(reading))), 1))
        self._note(index, len(self._records) - 1, reading)

    def get(self, index: int, *, device: torch.device) -> FrameReading | None:
        """The reading of a frame, or None."""
        if index not in self._numbers:
            return None
        _, kept = self._read(self._numbers[index])
        return replace(unpacked(kept, device), cut=index in self._cuts)

    def close(self) -> None:
        """Close the file, which stays."""
        self._records.close()

    def _read(self, number: int) -> tuple[int, Packed]:
        return loaded(zlib.decompress(self._records.get(number)))

    def _note(self, index: int, number: int, reading: FrameReading) -> None:
        self._numbers[index] = number
        if reading.cut:
            self._cuts.add(index + 1)


@dataclass
class ResumableRun(TrackerRun):
    """A run of a tracker that writes down where it is, and goes on from there."""

    kept: Progress = field(kw_only=True)

    def forward(self, frames: Iterator[Frame]) -> Iterator[tuple[Input, FrameReading]]:
        """The forward pass from where it was, as frames come."""
        found = self.kept.restore("forward", shared_by(self))
        way: DirectedPass = self.new_pass() if found is None else found[1]
        for given in self.inputs(frames):
            yield given, way.step(given)
            self._save("forward", given.index + 1, way)

    def backward(self) -> ReadingCache:
        """The whole backward pass, or what is left of it."""
        spool = KeptReadings(self.kept.folder / "readings")
        if self.kept.is_past_backward:
            return spool
        found = self.kept.restore("backward", shared_by(self))
        last = max(f for frames in self.keyframes.values() for f, here in frames.items() if here)
        top, way = found or (last, self.new_pass(backward=True))
        for begin, after in chunks_backward(self.start, last, frame_bytes=self.first.rgb.nbytes):
            if begin > top:
                continue
            frames = list(read_frames(self.video, start=begin, end=min(after, top + 1)))
            for given in self.inputs(reversed(frames)):
                spool.put(given.index, way.step(given))
                self.kept.tell("backward", last - given.index + 1, last - self.start + 1)
                self._save("backward", given.index - 1, way)
        self.kept.end_backward()
        return spool

    def _save(self, name: str, index: int, way: DirectedPass) -> None:
        if isinstance(way, CloseUpPass) and way.followers:
            return  # their windows have networks of their own: such a pass begins anew
        self.kept.save(name, index, way, shared_by(self))


# -- taken up again --------------------------------------------------------------------------


def _check_same(folder: Path, made_with: Mapping[str, str], *, output: Path) -> None:
    then = load_json_object(folder / "made_with.json", what="what a run was made with")
    then = {CHOICE: _digest(json_text(OUTPUTS)), **then}  # earlier versions had no choice
    other = [name for name, value in made_with.items() if then.get(name) != value]
    if other:
        raise InputError(
            f"{output}: the run that ended early had another {', '.join(other)}, so it cannot go "
            "on; give what it was given, or leave --resume out to begin anew"
        )


def take_up(
    left: Sequence[Path], into: Path, made_with: Mapping[str, str], *, output: Path
) -> None:
    """Bring what a run left when it ended early to where its files are prepared now.

    Args:
        left: folders that processes that died had prepared, and the run's own, which has it if it
            was stopped in order; the first that has something counts.
        into: where it is prepared now.

    Raises:
        InputError: nothing was left, or by a run made with something else.
        OutputError: there is no room.
    """
    found = next((path for path in left if (path / RESUME / "made_with.json").exists()), None)
    if found is None:
        raise InputError(
            f"{output}: expected a run that was stopped or killed, to go on with, found none; "
            "leave --resume out"
        )
    _check_same(found / RESUME, made_with, output=output)
    try:
        for name in (RESUME, "masks"):
            if (found / name).is_dir():
                shutil.copytree(found / name, into / name, copy_function=_link)
    except OSError as error:
        raise unwritable(into, error) from error


def _link(source: str, target: str) -> None:
    """A mask is never changed in place, so a link will do; the files of `.resume` are."""
    if Path(source).suffix != ".png":
        shutil.copy2(source, target)
        return
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
