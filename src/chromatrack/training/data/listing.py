"""Which files there are: folders walked, shards opened, names sorted into videos and photos."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from chromatrack.errors import InputError
from chromatrack.training.data.shards import (
    COMPRESSED_SUFFIXES,
    Member,
    Shard,
    expand,
    fetch,
    is_remote,
    list_shard,
)
from chromatrack.video.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES

MEDIA_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES


@dataclass(frozen=True)
class Found:
    """Something to learn from; `name`: as in the digest, free of this machine's folders."""

    name: str
    path: str
    start: int
    length: int | None
    bytes: int
    modified_ns: int

    @property
    def label(self) -> str:
        """How messages call it."""
        return self.path if self.length is None else f"{self.path}::{self.name.split('::')[-1]}"


@dataclass(frozen=True)
class ListedShard:
    """What a shard held when it had this size and time of change."""

    bytes: int
    modified_ns: int
    shard: Shard


@dataclass
class Listing:
    """The files found so far, in the order given, those of a folder sorted by name."""

    cache: Path | None
    known: Mapping[str, ListedShard]
    videos: list[Found] = field(default_factory=list)
    photos: list[Found] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    shards: dict[str, ListedShard] = field(default_factory=dict)
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
        file = Found(name, str(path), 0, None, info.st_size, info.st_mtime_ns)
        self._sort_in(file, is_photo=suffix in IMAGE_SUFFIXES)

    def _sort_in(self, file: Found, *, is_photo: bool) -> None:
        if (file.path, file.start) in self.seen:
            return
        self.seen.add((file.path, file.start))
        if not file.bytes:
            self.problems.append(f"{file.label}: the file is empty (0 bytes)")
        else:
            (self.photos if is_photo else self.videos).append(file)

    def _add_shard(self, path: Path, name: str, info: os.stat_result) -> None:
        try:
            shard = self._list_shard(path, info)
        except InputError as error:
            self.problems.append(str(error))
            return
        if shard.problem:
            self.problems.append(f"{path}: {shard.problem}")
        self.shards[str(path)] = ListedShard(info.st_size, info.st_mtime_ns, shard)
        for member in shard.members:
            full = f"{name}::{member.name}"
            file = Found(
                full, str(path), member.start, member.length, member.length, info.st_mtime_ns
            )
            self._sort_in(file, is_photo=Path(member.name).suffix.lower() in IMAGE_SUFFIXES)

    def _list_shard(self, path: Path, info: os.stat_result) -> Shard:
        known = self.known.get(str(path))
        if known and (known.bytes, known.modified_ns) == (info.st_size, info.st_mtime_ns):
            return known.shard
        shard = list_shard(path)
        return replace(shard, members=tuple(filter(_is_media, shard.members)))

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


def _is_media(member: Member) -> bool:
    name = Path(member.name)
    return name.suffix.lower() in MEDIA_SUFFIXES and not name.name.startswith(".")
