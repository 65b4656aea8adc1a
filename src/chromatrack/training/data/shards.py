"""Tar shards: what lies inside at which byte, and remote shards fetched once."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import BinaryIO, NamedTuple

from chromatrack.errors import InputError
from chromatrack.video.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES

MEDIA_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES

COMPRESSED_SUFFIXES = (".tgz", ".tbz", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Ends of names that announce a compressed shard."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}


class Member(NamedTuple):
    """A file inside a tar shard: `length` bytes from byte `start` of the shard on."""

    name: str
    start: int
    length: int


@dataclass(frozen=True)
class Shard:
    """The media in a shard as it was at this size and time of change.

    problem: why it is not all there; None when it is.
    """

    bytes: int
    modified_ns: int
    members: tuple[Member, ...]
    problem: str | None


def list_shard(path: Path) -> Shard:
    """The whole media files in an uncompressed tar shard; a shard cut short gives those before.

    Raises:
        InputError: empty, compressed, unreadable or no tar at all.
    """
    try:
        info = path.stat()
        with path.open("rb") as file:
            _check_head(path, file.read(8))
            file.seek(0)
            members, is_whole = _walk(file, info.st_size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    cut = f"the shard is cut short or damaged; the {len(members)} files before that are used"
    media = tuple(member for member in members if is_media(member.name))
    return Shard(info.st_size, info.st_mtime_ns, media, None if is_whole else cut)


def is_media(name: str) -> bool:
    """Whether a file in a shard is a photo or a video by its name, and not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith(".")


def _check_head(path: Path, head: bytes) -> None:
    if not head:
        raise InputError(f"{path}: the shard is empty (0 bytes)")
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            raise InputError(
                f"{path}: expected an uncompressed tar shard, got a {kind} file; decompress it "
                "(pictures and videos inside are compressed already)"
            )


def _walk(file: BinaryIO, size: int) -> tuple[list[Member], bool]:
    """The files in a tar, and whether it is whole."""
    members: list[Member] = []
    try:
        with tarfile.open(fileobj=file, mode="r:") as shard:
            for info in shard:
                if not info.isfile() or info.issparse():
                    continue
                if info.offset_data + info.size > size:
                    return members, False
                members.append(Member(info.name, info.offset_data, info.size))
    except tarfile.TarError as error:
        if not members:
            raise InputError(
                f"{file.name}: expected an uncompressed tar shard ({error})"
            ) from error
        return members, False
    return members, True


# -- remote shards -------------------------------------------------------------------------


def is_remote(item: str) -> bool:
    """Whether an item of data is fetched: `https://...`, `pipe:COMMAND` and the like."""
    return item.startswith("pipe:") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", item) is not None


def expand(item: str) -> list[str]:
    """The shards that `item-{000..010}.tar` stands for.

    Raises:
        InputError: the library webdataset is missing.
    """
    return list(_webdataset("shardlists").expand_urls(item))


def fetch(url: str, folder: Path) -> Path:
    """The local copy of a remote shard in `folder`; fetched if it is not there yet.

    Written under another name and renamed, so that a broken connection leaves nothing behind.
    Fetched once: a shard that changes at its source needs another name, or its copy deleted.

    Raises:
        InputError: the library webdataset is missing, or the shard cannot be fetched or kept.
    """
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", url.rsplit("/", 1)[-1])[-40:].removesuffix(".tar")
    target = folder / f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:16]}.tar"
    if target.exists():
        return target
    gopen = _webdataset("gopen").gopen
    try:
        with atomic(target) as file, gopen(url, "rb") as stream:
            shutil.copyfileobj(stream, file, 1 << 20)
            if not file.tell():
                raise OSError("it is empty")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{url}: the shard cannot be fetched into {folder} ({error}); check the address, the "
            "connection and the space left"
        ) from error
    return target


def _webdataset(part: str) -> ModuleType:
    try:
        return importlib.import_module(f"webdataset.{part}")
    except ImportError as error:
        raise InputError(
            "remote shards need the library webdataset: pip install chromatrack[shards]"
        ) from error


@contextmanager
def atomic(target: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the name `target` at the end, or vanishes on any error.

    Raises OSError where it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:60]}-")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
