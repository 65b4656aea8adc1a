"""A video that the browser sends: written where it stays while it comes, and nowhere else.

Neither memory nor the disk of temporary files ever holds it, so that a large one cannot fill them.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from chromatrack.errors import InputError, OutputError
from chromatrack.runs.file_names import RUN_NAMES
from chromatrack.studio.library import slug
from chromatrack.studio.store import FOLDER, STUDIO, is_project

FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
"""What an upload is, for the description of the API."""

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")
_TAKEN = {Path(name).stem.lower() for name in (*RUN_NAMES, STUDIO, FOLDER)}
_TAKEN |= {"con", "prn", "aux", "nul"}
_TAKEN |= {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
"""What a project's other files are called, without the suffix, and what Windows keeps to itself."""

_SPARE = 64 << 20  # bytes of the disk that an upload leaves free


class Upload:
    """The parts of a form as they come; the first that is a file is kept."""

    def __init__(self, boundary: bytes, place: Callable[[str], Path]) -> None:
        """place: gives the path for a file of a name; it is asked once."""
        self.name, self.path = "", Path()
        self._place, self._out = place, None
        self._header = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._is_file = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, a, b: self._take(0, data[a:b]),
                "on_header_value": lambda data, a, b: self._take(1, data[a:b]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._write,
            },
        )

    _out: BinaryIO | None

    def _begin(self) -> None:
        self._headers, self._is_file = {}, False

    def _take(self, which: int, content: bytes) -> None:
        self._header[which] += content

    def _end_header(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _open(self) -> None:
        _, given = parse_options_header(self._headers.get(b"content-disposition"))
        if given.get(b"name") == b"file" and b"filename" in given and self._out is None:
            self.name = given[b"filename"].decode("utf-8", "replace")
            self.path = self._place(self.name)
            self._out = self.path.open("xb")
            self._is_file = True

    def _write(self, data: bytes, begin: int, end: int) -> None:
        if self._is_file and self._out is not None:
            self._out.write(memoryview(data)[begin:end])

    def feed(self, content: bytes) -> None:
        """Take in what came. Raises OutputError, and InputError where it is no form."""
        try:
            self._parser.write(content)
        except FormParserError as error:
            raise InputError(f"file: expected a form with a file ({error})") from error
        except OSError as error:
            raise _no_room(error) from error

    def close(self) -> None:
        """All came, or no more will. Raises OutputError where its end cannot be written."""
        if self._out is not None:
            try:
                self._out.close()
            except OSError as error:
                raise _no_room(error) from error

    @property
    def is_there(self) -> bool:
        """Whether a file came."""
        return self._out is not None


async def receive(request: Request, place: Callable[[str], Path]) -> Upload:
    """Write the file of a form to the path that `place` gives for its name.

    Raises:
        InputError: there is none. OutputError: there is no room for it.
    """
    kind, given = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not given.get(b"boundary"):
        raise InputError("file: expected a form with a file")
    upload = Upload(given[b"boundary"], place)
    try:
        async for content in request.stream():
            await asyncio.to_thread(upload.feed, content)
    except ClientDisconnect as error:
        raise InputError("the upload broke off; send it again") from error
    finally:
        upload.close()
    if not upload.is_there:
        raise InputError("file: expected a form with a file, got none")
    return upload


def check_room(folder: Path, length: str | None) -> None:
    """Raises OutputError where an upload of so many bytes will not fit."""
    if length is None or not length.isdecimal():
        return
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return
    if int(length) + _SPARE > free:
        raise OutputError(
            f"the video takes {max(1, int(length) >> 20)} MB, and {there} has {free >> 20} MB, of "
            f"which {_SPARE >> 20} stay free; make room, or open the video by its path"
        )


def names_of(given: str) -> tuple[str, str]:
    """(name to show, name of the file in a folder of its own) of a file that a client named.

    No part of a path in it counts, with "/" or with a backslash.
    """
    name = given.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    suffix = _SUFFIX.fullmatch(dot + ending)
    stem = stem if suffix else name
    shown = "".join(c for c in stem if c.isprintable())[:60].strip() or "video"
    safe = slug(shown)
    file = "video" if safe.lower() in _TAKEN else safe
    return shown, f"{file}{suffix.group().lower() if suffix else ''}"


def discard(video: Path) -> None:
    """Take away what was made for an upload that is no video; a project beside it stays."""
    with suppress(OSError):
        if not is_project(video.parent):
            video.unlink(missing_ok=True)
            video.parent.rmdir()


def _no_room(error: OSError) -> OutputError:
    return OutputError(f"the upload cannot be kept ({error.strerror or error}); make room")
