"""What is to be done: a table, lines of JSON, or a folder of videos with marks beside them."""

from __future__ import annotations

import csv
import json
import os
import posixpath
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chromatrack.batch.columns import SEPARATOR, Column, dashed, nearest, needed_columns, plain
from chromatrack.batch.inputs import split_frame
from chromatrack.batch.job import Command, Commands, Job, Step
from chromatrack.batch.remote import fetch, is_remote
from chromatrack.batch.store import check_name
from chromatrack.errors import InputError, shown

OWN = ("job", "video", "command", "marks")
"""Columns that are no option of a command."""

VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv")
BESIDE = {
    ".png": "masks",
    ".masks": "masks",
    ".json": "marks",
    ".polygons.json": "polygons",
    ".points.csv": "points",
    ".boxes.csv": "boxes",
    ".keypoints.json": "keypoints",
    ".skeleton.json": "skeleton",
    ".reference.png": "reference",
}
"""What lies beside CLIP.mp4 in a folder, as CLIP.png, and what option it is."""

USUAL_COMMAND = "track"
CHAIN = "+"


@dataclass(frozen=True)
class Row:
    """One row as it stands.

    place: where, for messages: `jobs.csv line 3`. is_found: nobody wrote it, so that what is there
    and of no use to its command is passed over.
    """

    place: str
    cells: Mapping[str, Any]
    is_found: bool = False


@dataclass(frozen=True)
class Fault:
    """Something wrong with a row."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass
class Manifest:
    """Jobs, and what is wrong with the rows that gave none."""

    jobs: list[Job] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_manifest(
    path: Path | str, commands: Commands, *, settings: Mapping[str, str] | None = None
) -> Manifest:
    """Every row as a job; no video and no marks are opened.

    Args:
        path: .csv, .jsonl (or .ndjson), or a folder; of the first two a URL, too (`remote`).
        settings: cells of all rows that do not have their own.

    Raises:
        InputError: no such file, or no row can be read of it.
    """
    if is_remote(path):
        rows, home = _rows_elsewhere(str(path)), str(path).rpartition("/")[0]
    else:
        path = Path(path)
        rows, home = list(_rows(path)), (path if path.is_dir() else path.parent).resolve()
    if not rows:
        raise InputError(f"{path}: expected at least one job, got none")
    usual, found, places = dict(settings or {}), Manifest(), {}
    reader = _RowReader(commands, home)
    reader.check_usual(usual)
    for row in rows:
        job, faults = reader.job(row, usual)
        if job is not None:
            if (first := places.setdefault(job.name.lower(), job.place)) != job.place:
                text = f"job: {job.name!r} is {first}, too; give each its own name in a column job"
                faults = [Fault(row.place, text)]
            else:
                found.jobs.append(job)
        found.faults += faults
    return found


# -- rows ------------------------------------------------------------------------------------


def _rows_elsewhere(url: str) -> list[Row]:
    """The rows of a table or of lines of JSON at a URL."""
    if Path(url).suffix.lower() not in (".csv", ".jsonl", ".ndjson"):
        raise InputError(f"{url}: expected a .csv or .jsonl file; folders are of this machine")
    with tempfile.TemporaryDirectory() as folder:
        return list(_rows(fetch(url, Path(folder, url.rpartition("/")[2]))))


def _rows(path: Path) -> Iterator[Row]:
    if path.is_dir():
        return _folder_rows(path)
    if not path.exists():
        raise InputError(f"{path}: expected a manifest (.csv, .jsonl) or a folder, got nothing")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_rows(path)
    if path.suffix.lower() == ".csv":
        return _csv_rows(path)
    raise InputError(f"{path}: expected a .csv or .jsonl file, or a folder of videos")


def _csv_rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            names = [name for name in header if name]
            if "video" not in header or len(set(names)) != len(header):
                raise InputError(
                    f"{path}: expected one line with the names of columns, each once, video among "
                    f"them, got {shown(','.join(header))}"
                )
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    place = f"{path.name} line {reader.line_num}"
                    given = {n: c.strip() for n, c in zip(header, cells, strict=False)}
                    if len(cells) > len(header):
                        given[""] = cells[len(header)]
                    yield Row(place, {name: cell for name, cell in given.items() if cell})
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV table in UTF-8 ({error})") from error


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield Row(f"{path.name} line {number}", _json_cells(line))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text in UTF-8 ({error})") from error


def _json_cells(line: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"": f"expected a line of JSON ({error})"}
    if not isinstance(found, dict):
        return {"": f"expected an object, {{...}}, got {shown(found)}"}
    return {name: cell for name, cell in found.items() if cell is not None}


def _folder_rows(path: Path) -> Iterator[Row]:
    for folder, folders, files in os.walk(path, followlinks=True):
        folders.sort()
        videos = [name for name in sorted(files) if Path(name).suffix.lower() in VIDEOS]
        here = {*files, *folders}
        for name in videos:
            video = Path(folder, name)
            stem = video.stem
            cells: dict[str, Any] = {"video": str(video.resolve())}
            for suffix, option in BESIDE.items():
                if f"{stem}{suffix}" in here:
                    beside = str((video.parent / f"{stem}{suffix}").resolve())
                    cells[option] = [*cells.get(option, []), beside]
            inside = video.relative_to(path)
            cells["job"] = "--".join(inside.with_suffix("").parts)
            single = {
                k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in cells.items()
            }
            yield Row(inside.as_posix(), single, is_found=True)


# -- a row as a job --------------------------------------------------------------------------


class _RowReader:
    """Turns rows into jobs; what depends on the command alone is looked up once."""

    def __init__(self, commands: Commands, home: Path | str) -> None:
        self._commands, self._home = commands, home
        self._columns = {name: command.columns for name, command in commands.items()}
        self._needed = {
            name: [
                *c.needs,
                *(n for n in needed_columns(c.function) if n in self._columns[name]),
            ]
            for name, c in commands.items()
        }
        self._checked: dict[str, str | None] = {}

    def check_usual(self, usual: Mapping[str, Any]) -> None:
        """InputError for a cell of all rows that no command takes."""
        for name, value in usual.items():
            cell = _column_name(name)
            command, _, option = cell.rpartition(".")
            if cell in OWN:
                continue
            of = [self._columns.get(command, {})] if command else [*self._columns.values()]
            takes = [columns[option] for columns in of if option in columns]
            if not takes:
                near = nearest(option, [*OWN, *(n for columns in of for n in columns)])
                raise InputError(f"set {name}: no such column{near}")
            takes[0].value(value)

    def job(self, row: Row, usual: Mapping[str, Any]) -> tuple[Job | None, list[Fault]]:
        """The job of a row, or what is wrong with it."""
        if "" in row.cells:
            said = str(row.cells[""])
            text = said if said.startswith("expected") else f"more cells than columns: {said!r}"
            return None, [Fault(row.place, text)]
        try:
            return self._job(row, usual), []
        except _Wrong as wrong:
            return None, [Fault(row.place, text) for text in wrong.texts]

    def _job(self, row: Row, usual: Mapping[str, Any]) -> Job:
        cells = {_column_name(k): v for k, v in {**usual, **row.cells}.items()}
        names = str(cells.get("command") or USUAL_COMMAND).replace(" ", "").split(CHAIN)
        wrong = self._chain_faults(names)
        if wrong:
            raise _Wrong(wrong)
        video = cells.get("video")
        if not isinstance(video, str):
            raise _Wrong([f"video: expected a path, got {shown(video)}"])
        if "marks" in cells:
            cells |= self._marks(cells.pop("marks"), names)
        steps, wrong = [], self._unknown(cells, names, set() if row.is_found else set(row.cells))
        for name in names:
            try:
                steps.append(self._step(name, cells))
            except InputError as error:
                wrong.append(str(error))
        path = self._path(video)
        job_name = str(cells.get("job") or Path(video).stem)
        if text := check_name(job_name):
            wrong.append(text)
        if wrong:
            raise _Wrong(list(dict.fromkeys(wrong)))
        return Job(job_name, path, tuple(steps), row.place)

    def _chain_faults(self, names: list[str]) -> list[str]:
        wrong, known = [], list(self._commands)
        for number, name in enumerate(names):
            if name not in self._commands:
                near = nearest(name, known)
                wrong.append(f"command: expected {', '.join(known)}, got {name!r}{near}")
            elif name in names[:number]:
                wrong.append(f"command: expected each once, got {name} twice")
            elif (before := self._commands[name].reads) and before not in names[:number]:
                wrong.append(
                    f"command: {name} reads what {before} writes; write {before}{CHAIN}{name}"
                )
        return wrong

    def _unknown(self, cells: Mapping[str, Any], names: list[str], own: set[str]) -> list[str]:
        """Columns that no command of the row has; those for all rows may be of other commands."""
        wrong = []
        chosen = {n for name in names for n in self._columns[name]}
        every = {n for columns in self._columns.values() for n in columns}
        ours = {_column_name(name) for name in own}
        for cell in cells:
            command, dot, option = cell.rpartition(".")
            options = self._columns.get(command, {}) if dot else chosen
            if cell in OWN or (option in options and (not dot or command in names)):
                continue
            if option in (self._columns.get(command, {}) if dot else every):
                if cell in ours:
                    wrong.append(f"{dashed(cell)}: is no option of {CHAIN.join(names)}")
                continue
            near = nearest(option, [*OWN, *chosen])
            wrong.append(f"{dashed(cell)}: no such column{near}")
        return wrong

    def _step(self, name: str, cells: Mapping[str, Any]) -> Step:
        command, columns = self._commands[name], self._columns[name]
        given = {cell: cells[cell] for cell in cells if cell in columns}
        prefix = f"{name}."
        given |= {c.removeprefix(prefix): v for c, v in cells.items() if c.startswith(prefix)}
        given = {cell: value for cell, value in given.items() if cell in columns}
        options = {cell: plain(columns[cell].value(value)) for cell, value in given.items()}
        if missing := [n for n in self._needed[name] if n not in options]:
            raise InputError(f"{dashed(missing[0])}: expected one, {name} needs it, got none")
        for option in command.files:
            if option in options:
                options[option] = self._paths(_texts(given[option], columns[option]))
        for option in command.names_or_files:
            if option in options and Path(path := self._path(str(options[option]))).is_file():
                options[option] = path
        self._check(command, name, options)
        return Step(name, options)

    def _check(self, command: Command, name: str, options: Mapping[str, Any]) -> None:
        """What is wrong with settings, looked at once for all rows that have the same."""
        kept = {k: v if k not in command.files else bool(v) for k, v in options.items()}
        key = repr((name, sorted(kept.items())))
        if key not in self._checked:
            self._checked[key] = None
            try:
                command.check(command.arguments(options))
            except InputError as error:
                self._checked[key] = str(error)
        if (text := self._checked[key]) is not None:
            raise InputError(text)

    def _marks(self, given: object, names: list[str]) -> dict[str, Any]:
        """The column `marks`: files of any format that `track --marks` reads, and masks."""
        texts = given.split(SEPARATOR) if isinstance(given, str) else given
        if not isinstance(texts, list):
            raise _Wrong([f"marks: expected a path or several, got {shown(given)}"])
        found: dict[str, Any] = {}
        for text in (str(text).strip() for text in texts):
            option = "reference" if names == ["colorize"] else kind_of_marks(self._path(text))
            found[option] = [*found.get(option, []), text]
        return found

    def _paths(self, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, list):
            return [self._path(str(one)) for one in value]
        return self._path(str(value))

    def _path(self, text: str) -> str:
        """A path as seen from the manifest's folder."""
        path = Path(text).expanduser()
        if is_remote(text) or (isinstance(self._home, str) and path.is_absolute()):
            return text
        if isinstance(self._home, str):
            scheme, _, place = self._home.partition("://")
            return f"{scheme}://{posixpath.normpath(posixpath.join(place, text))}"
        return os.path.normpath(self._home / path)


def _texts(value: Any, column: Column) -> Any:  # noqa: ANN401  (a cell)
    """Paths as they were written: a URL is no path of this machine."""
    if isinstance(value, str) and column.takes_several:
        return [part.strip() for part in value.split(SEPARATOR)]
    return value if column.takes_several else str(value)


class _Wrong(Exception):
    """Several things are wrong with a row."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = list(texts)


def kind_of_marks(path: str) -> str:
    """What option a file of marks is for: pictures are masks, `@FRAME` behind some of them.

    Everything else is told by its content, when it is read.
    """
    is_picture = Path(split_frame(path)[0]).suffix.lower() == ".png"
    return "masks" if is_picture else "marks"


def _column_name(text: str) -> str:
    return str(text).strip().removeprefix("--").replace("-", "_")
