"""A project on disk: studio.json, and studio/ with painted masks and the log of all actions.

An action is whole on disk before it is answered: masks first, under the digest of their content,
then one line at the end of the log, then studio.json, whole. A process killed anywhere in between
leaves a log that says more than studio.json, or half a line, which is taken off.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from chromatrack.atomic import replace_file, unwritable
from chromatrack.distinct import distinct
from chromatrack.errors import InputError, OutputError
from chromatrack.formats.masks import read_mask, write_mask
from chromatrack.json_text import json_text
from chromatrack.runs.output_lock import output_lock
from chromatrack.studio.document import (
    SCHEMA_VERSION,
    Document,
    changed_parts,
    with_parts,
    with_views_of,
)

STUDIO = "studio.json"
_PLACE = "place.json"
FOLDER = "studio"
LOG = "log.jsonl"
_NOT_ONE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading JSON that is no document raises; the last one: nested too deep."""

_HEAD_BYTES = 1 << 20  # of a video that its digest is of, at its beginning and at its end


def is_project(folder: Path) -> bool:
    """Whether a folder was opened in the studio before."""
    return (folder / STUDIO).is_file() or (folder / FOLDER / LOG).is_file()


def video_reference(video: Path) -> dict[str, Any]:
    """What a project keeps of its video: where it is, and by what it is known again."""
    path = video.resolve()
    return {"path": str(path), "name": path.name, "digest": video_digest(path)}


def video_digest(video: Path) -> str:
    """SHA-256 of a video's size, first and last MiB, or of the names and sizes in a folder."""
    digest = hashlib.sha256()
    try:
        if video.is_dir():
            for path in sorted(video.iterdir()):
                digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            return digest.hexdigest()
        size = video.stat().st_size
        digest.update(f"{size}\0".encode())
        with video.open("rb") as file:
            digest.update(file.read(_HEAD_BYTES))
            file.seek(max(0, size - _HEAD_BYTES))
            digest.update(file.read(_HEAD_BYTES))
    except OSError as error:
        raise InputError(f"{video}: cannot be read ({error.strerror}); check the path") from error
    return digest.hexdigest()


def find_video(document: Document, folder: Path) -> Path | None:
    """Where a project's video is: where it was, in the project's folder, or beside it."""
    reference = document["video"]
    name = Path(reference["name"]).name
    for place in (Path(reference["path"]), folder / name, folder.parent / name):
        with suppress(InputError, OSError):
            known = reference["digest"]  # "" where the video was missing from the beginning
            if place.exists() and known in ("", video_digest(place)):
                return place
    return None


class Project:
    """An open project. Actions are put in with `do`; `undo` and `redo` go through them."""

    def __init__(self, folder: Path, document: Document | None = None) -> None:
        """Open one, or make it of a `document`.

        Raises:
            InputError: studio.json is damaged or of another version. OutputError: it cannot be
                written, or another studio has it open.
        """
        self.folder, self.home = folder, folder / FOLDER
        self._stack = ExitStack()
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        self._stack.enter_context(output_lock(self.home / LOG))
        try:
            self._lines: list[dict[str, Any]] = []
            if document is None:
                self._load()
            else:
                self.document = document
                self._begin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another studio open it."""
        self._stack.close()

    # -- reading -------------------------------------------------------------------------------

    def _load(self) -> None:
        lines = self._read_log()
        saved = self._read_saved(has_log=bool(lines))
        if saved is not None and (not lines or lines[0]["base"]["video"] != saved["video"]):
            lines = []  # of another project: its own history begins anew
        self.done: list[dict[str, Any]] = []
        self.undone: list[dict[str, Any]] = []
        if not lines:
            assert saved is not None
            self.document = saved
            self._begin()
            return
        document = lines[0]["base"]
        for line in lines[1:]:
            document = self._replay(document, line)
        self.document, self._lines = document, lines

    def _read_log(self) -> list[dict[str, Any]]:
        """Its lines up to the first that is no whole one; what comes after is taken off."""
        path = self.home / LOG
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return []
        lines: list[dict[str, Any]] = []
        good = 0
        for raw in content.splitlines(keepends=True):
            line = _line(raw, is_first=not lines)
            if line is None:
                break
            lines.append(line)
            good += len(raw)
        if good < len(content):
            if content[good:].strip(b"\0\n") and b"\n" in content[good:]:
                replace_file(path.with_suffix(".damaged"), content[good:])
            with path.open("r+b") as file:
                file.truncate(good)
        return lines

    def _read_saved(self, *, has_log: bool) -> Document | None:
        path = self.folder / STUDIO
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            version = saved["schema_version"]
            if version == SCHEMA_VERSION:
                return _checked(saved)
        except (OSError, *_NOT_ONE) as error:
            if has_log:
                return None  # the log has all of it
            raise InputError(
                f"{path}: is damaged ({type(error).__name__}: {error}), and there is no log to "
                "restore it from; put a copy of it back"
            ) from error
        raise InputError(
            f"{path}: expected schema_version {SCHEMA_VERSION}, got {version!r:.20}; open it with "
            "the chromatrack that wrote it"
        )

    def _replay(self, document: Document, line: Mapping[str, Any]) -> Document:
        """Do what a line says, and keep book of what can be undone."""
        if line.get("view") is True:
            return with_parts(document, line["after"])
        if "do" in line:
            self.done.append(dict(line))
            self.undone.clear()
            return with_parts(document, line["after"])
        taken, given = (self.done, self.undone) if "undo" in line else (self.undone, self.done)
        if not taken:
            return document
        given.append(taken.pop())
        new = with_parts(document, given[-1]["before" if "undo" in line else "after"])
        return with_views_of(document, new)

    # -- writing -------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.done, self.undone = [], []
        with suppress(FileNotFoundError):
            (self.home / LOG).unlink()
        self._append({"base": self.document})
        self._save()

    def _append(self, line: dict[str, Any]) -> None:
        path = self.home / LOG
        try:
            with path.open("ab") as file:
                size = file.tell()
                try:
                    file.write(f"{json_text(line)}\n".encode())
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    with suppress(OSError):
                        file.close()
                    os.truncate(path, size)
                    raise
        except OSError as error:
            raise unwritable(path, error) from error
        self._lines.append(line)

    def _save(self) -> None:
        with suppress(OutputError):  # the log has it; it is written again after the next action
            replace_file(self.folder / STUDIO, json_text(self.document, indent=1))

    def do(
        self, document: Document, label: str, *, opens: bool = False, is_view: bool = False
    ) -> bool:
        """Take a changed document; False where nothing changed. Raises OutputError.

        opens: this is undone and redone with what is done next. is_view: it only looks at things
        otherwise, so that it is not undone, and what was undone can be done again.
        """
        before, after = changed_parts(self.document, document)
        if not after:
            return False
        line = {"do": label, "before": before, "after": after}
        line |= {name: True for name, is_so in (("opens", opens), ("view", is_view)) if is_so}
        self._append(line)
        self.document = self._replay(self.document, line)
        self._save()
        return True

    def undo(self) -> str | None:
        """Take the last action back; its label, or None where there is none."""
        label = self._turn("undo", self.done)
        while self.done and self.done[-1].get("opens") is True:
            self._turn("undo", self.done)
        return label

    def redo(self) -> str | None:
        """Do again what was taken back last; its label, or None."""
        while len(self.undone) > 1 and self.undone[-1].get("opens") is True:
            self._turn("redo", self.undone)
        return self._turn("redo", self.undone)

    def _turn(self, way: str, stack: list[dict[str, Any]]) -> str | None:
        if not stack:
            return None
        label = stack[-1]["do"]
        self._append({way: label})
        self.document = self._replay(self.document, {way: label})
        self._save()
        return label

    # -- where one was -------------------------------------------------------------------------

    @property
    def place(self) -> dict[str, Any]:
        """Where one was when it was closed: {"frame", "loop"}; {} where that is not known."""
        try:
            told = json.loads((self.home / _PLACE).read_text(encoding="utf-8"))
            loop = told["loop"] and [int(told["loop"][0]), int(told["loop"][1])]
            return {"frame": int(told["frame"]), "loop": loop}
        except (OSError, *_NOT_ONE):
            return {}

    def keep_place(self, frame: int, loop: Sequence[int] | None) -> None:
        """Keep where one is: the frame on show and the part that is looped, [start, end)."""
        with suppress(OutputError):  # it is for comfort alone
            told = {"frame": frame, "loop": None if loop is None else [*loop]}
            replace_file(self.home / _PLACE, json_text(told))

    # -- masks ---------------------------------------------------------------------------------

    def keep_mask(self, ids: np.ndarray) -> str:
        """Write `(H, W)` ids under the digest of their content, which is returned."""
        digest = ids_digest(ids)
        path = self.mask_path(digest)
        if not path.exists():
            write_mask(path, ids)
            with path.open("rb") as file, suppress(OSError):
                os.fsync(file.fileno())
        return digest

    def keep_still(self, content: bytes) -> str:
        """Write a PNG of a coloured frame under the digest of its content, which is returned."""
        digest = hashlib.sha256(content).hexdigest()[:32]
        path = self.home / "stills" / f"{digest}.png"
        if not path.exists():
            replace_file(path, content)
        return digest

    def mask_path(self, digest: str) -> Path:
        """Where a mask of a digest is."""
        return mask_path(self.folder, digest)

    def marked_ids(self, frame: int) -> np.ndarray | None:
        """`(H, W)` int32: what is painted on a frame; None where nothing is."""
        return marked_ids(self.document, self.folder, frame)


def ids_digest(ids: np.ndarray) -> str:
    """Of a mask's size and pixels, 32 hex digits."""
    content = np.ascontiguousarray(ids, dtype=np.uint16)
    head = f"{content.shape}".encode()
    return hashlib.sha256(head + content.tobytes()).hexdigest()[:32]


def object_digests(ids: np.ndarray) -> dict[int, str]:
    """{id: digest of where it is} of `(H, W)` ids, 0 left out."""
    numbers = [int(number) for number in distinct(ids) if number]
    return {
        number: hashlib.sha256(np.packbits(ids == number).tobytes()).hexdigest()[:16]
        for number in numbers
    }


def mask_path(folder: Path, digest: str) -> Path:
    """Where a project has a mask of a digest. Raises InputError for what is no digest."""
    if len(digest) != 32 or set(digest) - set("0123456789abcdef"):
        raise InputError(f"mask: expected a digest of 32 hex digits, got {digest!r:.40}")
    return folder / FOLDER / "masks" / f"{digest}.png"


def marked_ids(document: Document, folder: Path, frame: int) -> np.ndarray | None:
    """`(H, W)` int32: what is painted on a frame of a project; None where nothing is."""
    marks = document["marks"].get(str(frame))
    if marks is None or not marks["mask"] or not marks["objects"]:
        return None
    ids = read_mask(mask_path(folder, marks["mask"]))
    return np.where(np.isin(ids, [int(number) for number in marks["objects"]]), ids, 0)


def _line(raw: bytes, *, is_first: bool) -> dict[str, Any] | None:
    """A line of the log; None if it is not whole."""
    if not raw.endswith(b"\n"):
        return None
    try:
        line = json.loads(raw)
        if is_first:
            _checked(line["base"])
            return line
        whole = isinstance(line.get("undo", line.get("redo")), str) or (
            isinstance(line["do"], str)
            and isinstance(line["before"], dict)
            and isinstance(line["after"], dict)
        )
    except _NOT_ONE:
        return None
    return line if whole else None


def _checked(document: Document) -> Document:
    """The document, if it has all that one has; else KeyError, TypeError or ValueError."""
    if document["schema_version"] != SCHEMA_VERSION:
        raise ValueError("another version")
    settings = document["settings"]
    _ = str(document["name"]), settings["quality"], settings["range"]
    _ = float(settings.get("saturation", 1.0))
    for name in ("path", "name", "digest"):
        if not isinstance(document["video"][name], str):
            raise TypeError(f"video.{name} is no text")
    for thing in document["objects"]:
        if thing["key"] != f"{thing['kind']}:{int(thing['id'])}":
            raise ValueError(f"{thing['key']!r:.40} is no key")
        _ = [thing[name] for name in ("color", "name", "visible", "locked", "joints", "edges")]
    for frame, marks in document["marks"].items():
        numbers = [*marks["objects"], *marks["points"], *marks["boxes"], *marks["keypoints"]]
        _ = int(frame), marks["mask"], [int(number) for number in (*numbers, *marks["gone"])]
    for frame, colors in document.get("colors", {}).items():
        _ = int(frame), colors["still"], [(s["color"], s["radius"]) for s in colors["strokes"]]
        _ = str(colors.get("copied"))
    for number, texture in document.get("textures", {}).items():
        _ = int(number), [texture[name] for name in ("frame", "quad", "picture", "size", "name")]
    return document
