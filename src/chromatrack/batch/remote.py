"""Files on any file system that fsspec knows (the extra `cloud`), named by URL: `s3://bucket/a.mp4`.

Errors of the file systems become ours: InputError for what cannot be read, OutputError for what
cannot be written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chromatrack.errors import InputError, OutputError

_MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")
"""What file systems say of a file that changes as its content does."""


def is_remote(text: object) -> bool:
    """Whether a path is a URL."""
    return "://" in str(text)


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path on it.

    Raises:
        InputError: fsspec, or what it needs for such URLs, is not installed; or none is known.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(
            f"{url}: expected fsspec to read it, got none; pip install 'chromatrack[cloud]'"
        ) from None
    try:
        return url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{url}: no file system for it ({error}); install what it names, or use a local path"
        ) from error


def files_at(url: str) -> list[tuple[str, str]]:
    """(name, URL) of a file, or of all files in a folder; empty where nothing is."""
    fs, path = file_system(url)
    with _as_input_error(url):
        if fs.isfile(path):
            return [(path.rsplit("/", 1)[-1], url)]
        found = sorted(fs.find(path)) if fs.isdir(path) else []
    root = path.rstrip("/") + "/"
    names = [name.removeprefix(root) for name in found]
    return [(name, f"{url.rstrip('/')}/{name}") for name in names]


def stamp_of(url: str) -> tuple[int, str]:
    """Size in bytes, and what changes as the content does: a tag or a time."""
    fs, path = file_system(url)
    with _as_input_error(url):
        info = fs.info(path)
    marks = (info.get(key) for key in _MARKS)
    return int(info.get("size") or 0), str(next((mark for mark in marks if mark), ""))


def head_of(url: str, count: int) -> bytes:
    """The first bytes of a file."""
    fs, path = file_system(url)
    with _as_input_error(url), fs.open(path, "rb") as file:
        return file.read(count)


def fetch(url: str, target: Path) -> Path:
    """Copy a file here."""
    fs, path = file_system(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _as_input_error(url):
        fs.get_file(path, str(target))
    return target


def fetch_all(url: str, folder: Path) -> Path:
    """Copy a file, or all of a folder, into a folder here; its name there."""
    found = files_at(url)
    if not found:
        raise InputError(f"{url}: expected a file or folder, got nothing; check the path")
    name = url.rstrip("/").rsplit("/", 1)[-1]
    if len(found) == 1 and found[0][1] == url:
        return fetch(url, folder / name)
    for inside, one in found:
        fetch(one, folder / name / inside)
    return folder / name


@contextmanager
def _as_input_error(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{url}: cannot be read ({error}); check the path") from error


@contextmanager
def as_output_error(url: str) -> Iterator[None]:
    """OutputError for what a file system raises while it is written to."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{url}: cannot be written ({error}); choose a place with write access"
        ) from error
