"""Which files there are: folders walked, shards opened, names sorted into videos and photos."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chromatrack.errors import InputError
from chromatrack.training.data.media import MediaFile
from chromatrack.training.data.shards import (
    COMPRESSED_SUFFIXES,
    MEDIA_SUFFIXES,
    Shard,
    expand,
    fetch,
    is_remote,
    list_shard,
)
from chromatrack.video.images import IMAGE_SUFFIXES


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
