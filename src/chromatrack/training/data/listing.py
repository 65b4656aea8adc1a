"""Which files there are: folders walked, tar shards listed in place, remote shards fetched once."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import BinaryIO, NamedTuple

from chromatrack.errors import InputError
from chromatrack.training.data.media import MediaFile
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


# -- folders, files and shards as they are named -------------------------------------------


@dataclass
class Listing:
    """The files found so far, in the order given, those of a folder sorted by name."""

    cache: Path | None
    known: Mapping[str, Shard]
    videos: list[MediaFile] = field(default_factory=list)
    photos: list[MediaFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    shards: dict[str, Shard] = field(default_factory=dict)
    seen: set[tuple[str, int]] = field(default_factory=set)

    def add(self, item: str) -> None:
        """Take in a folder with all below it, a file, a remote shard or several in braces.

        Raises:
            InputError: it does not exist, or needs a library that is missing.
        """
        path = Path(item).expanduser().absolute()
        if path.is_dir():
            for file in sorted(self._files_below(path), key=lambda p: p.relative_to(path).parts):
                self._add_file(file, file.relative_to(path).as_posix())
        elif path.exists():
            self._add_file(path, path.name, named=True)
        elif is_remote(item):
            for url in expand(item):
                self._add_remote(url)
        elif "{" in item:
            for name in expand(item):
                self.add(name)
        else:
            raise InputError(f"training data: {item!r} does not exist; name files or folders")

    def _files_below(self, folder: Path) -> Iterator[Path]:
        """Links are followed, but no folder is entered twice; hidden names are left out."""
        entered: set[str] = set()
        for here, folders, files in os.walk(folder, followlinks=True, onerror=self._no_entry):
            if (real := os.path.realpath(here)) in entered:
                folders.clear()
                continue
            entered.add(real)
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            yield from (Path(here) / name for name in files if not name.startswith("."))

    def _no_entry(self, error: OSError) -> None:
        self.problems.append(f"{error.filename}: cannot be read ({error.strerror})")

    def _add_file(self, path: Path, name: str, *, named: bool = False) -> None:
        """Sort a file in by its name; one that was `named` by the user is at least tried."""
        suffix = path.suffix.lower()
        is_packed = path.name.lower().endswith(COMPRESSED_SUFFIXES)
        is_known = is_packed or suffix == ".tar" or suffix in MEDIA_SUFFIXES
        if not is_known and not named:
            return
        try:
            info = path.stat()
        except OSError as error:
            return self._no_entry(error)
        if not stat.S_ISREG(info.st_mode):
            return
        if suffix == ".tar" or is_packed:
            self._add_shard(path, name, info)
            return
        file = MediaFile(name, str(path), 0, None, info.st_size, info.st_mtime_ns)
        self._sort_in(file, is_photo=suffix in IMAGE_SUFFIXES)

    def _sort_in(self, file: MediaFile, *, is_photo: bool) -> None:
        if (file.path, file.start) in self.seen:
            return
        self.seen.add((file.path, file.start))
        if not file.bytes:
            self.problems.append(f"{file.label}: the file is empty (0 bytes)")
        else:
            (self.photos if is_photo else self.videos).append(file)

    def _add_shard(self, path: Path, name: str, info: os.stat_result) -> None:
        shard = self.known.get(str(path))
        if not shard or (shard.bytes, shard.modified_ns) != (info.st_size, info.st_mtime_ns):
            try:
                shard = list_shard(path)
            except InputError as error:
                self.problems.append(str(error))
                return
        if shard.problem:
            self.problems.append(f"{path}: {shard.problem}")
        self.shards[str(path)] = shard
        for inside, start, length in shard.members:
            full = f"{name}::{inside}"
            file = MediaFile(full, str(path), start, length, length, shard.modified_ns)
            self._sort_in(file, is_photo=Path(inside).suffix.lower() in IMAGE_SUFFIXES)

    def _add_remote(self, url: str) -> None:
        if self.cache is None:
            self.problems.append(f"{url}: remote shards need a cache folder to be kept in")
            return
        try:
            path = fetch(url, self.cache / "shards")
            info = path.stat()
        except (InputError, OSError) as error:
            self.problems.append(str(error))
            return
        self._add_shard(path, url, info)
