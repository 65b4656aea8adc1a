"""What there is to learn from: videos, photos and shards, looked at once and remembered."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from chromatrack.errors import InputError, VideoError
from chromatrack.training.data.entries import PhotoEntry, Stretch, VideoEntry
from chromatrack.training.data.listing import Found, ListedShard, Listing
from chromatrack.training.data.shards import Member, Shard, atomic, is_remote
from chromatrack.training.data.timeline import look_at

Report = Callable[[str, int, int | None], None]
"""Called as report("index", videos looked at, videos in all)."""

_PLACE = ("path", "start", "length", "bytes", "modified_ns")
_VERSION = 1  # of the cache file: raise it when the meaning of an entry changes


@dataclass(frozen=True)
class Index:
    """All usable data in a fixed order; `problems`: one line on everything that is not.

    digest: of names and sizes in order; the same data on another machine has the same digest.
    """

    videos: tuple[VideoEntry, ...]
    photos: tuple[PhotoEntry, ...]
    problems: tuple[str, ...]
    digest: str


def cache_folder() -> Path:
    """Where this user's caches are: XDG_CACHE_HOME or ~/.cache, on Windows LOCALAPPDATA."""
    given = os.environ.get("XDG_CACHE_HOME") or (
        os.environ.get("LOCALAPPDATA") if os.name == "nt" else None
    )
    return (Path(given) if given else Path.home() / ".cache") / "chromatrack"


def build_index(
    data: Sequence[str | PathLike[str]], *, cache: Path | None, progress: Report | None = None
) -> Index:
    """Look at all videos, photos and tar shards below the given files and folders.

    What cannot be used is named in `Index.problems` and in a warning each; it is never fatal.

    Args:
        data: folders (searched with all below them), files, and remote shards (`https://...`,
            `pipe:COMMAND`, with `{000..010}` for numbers).
        cache: folder in which remote shards are kept, and a file with what is known about each
            video, by size and time of change; None: nothing is kept.

    Raises:
        InputError: a path does not exist, nothing can be used, or remote shards are asked for and
            the library webdataset is missing.
    """
    known = _Known.load(_cache_file(data, cache))
    found = Listing(cache, known.shards)
    for item in data:
        found.add(fspath(item))
    videos = _look_at_all(found, known, progress)
    known.save([video for _, video in videos], found.shards)
    for problem in found.problems:
        warnings.warn(f"training data: {problem}", stacklevel=2)
    if not videos and not found.photos:
        told = "; ".join(found.problems[:3])
        raise InputError(
            f"training data: no video, photo or .tar shard that can be used in "
            f"{', '.join(map(str, data))}" + (f" ({told})" if told else "")
        )
    names = [*((f.name, f.bytes) for f, _ in videos), *((f.name, f.bytes) for f in found.photos)]
    digest = hashlib.sha256(json.dumps([names, len(videos)]).encode()).hexdigest()
    return Index(
        videos=tuple(video for _, video in videos),
        photos=tuple(
            PhotoEntry(f.path, f.start, f.length, f.bytes, f.modified_ns) for f in found.photos
        ),
        problems=tuple(found.problems),
        digest=digest,
    )


def stretches(index: Index, *, seconds: float) -> tuple[Stretch, ...]:
    """All videos cut into parts of at most `seconds`, at key pictures where one is in reach.

    No part is shorter than a quarter of `seconds`, unless its video is.
    """
    return tuple(
        Stretch(number, start, end)
        for number, video in enumerate(index.videos)
        for start, end in _parts(video, seconds)
    )


def _parts(video: VideoEntry, seconds: float) -> Iterator[tuple[float, float]]:
    start, stop = video.begin, video.begin + video.seconds
    while stop - start > seconds * (1 + 1e-6):
        latest = min(start + seconds, stop - seconds / 4)
        reach = [key for key in video.keyframes if start + seconds / 2 <= key <= latest]
        end = reach[-1] if reach else latest
        yield start, end
        start = end
    yield start, stop


# -- looking at videos ---------------------------------------------------------------------


def _look_at_all(
    found: Listing, known: _Known, progress: Report | None
) -> list[tuple[Found, VideoEntry]]:
    """The usable videos, in order; what is wrong is added to the problems."""

    def look(file: Found) -> VideoEntry | str:
        try:
            return known.video(file) or _look(file)
        except VideoError as error:
            return str(error).replace(file.path, file.label, 1)

    usable: list[tuple[Found, VideoEntry]] = []
    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 1))) as pool:
        for done, (file, entry) in enumerate(
            zip(found.videos, pool.map(look, found.videos), strict=True), start=1
        ):
            if isinstance(entry, str):
                found.problems.append(entry)
            else:
                usable.append((file, entry))
                if entry.problem:
                    found.problems.append(f"{file.label}: {entry.problem}")
            if progress is not None:
                progress("index", done, len(found.videos))
    return usable


def _look(file: Found) -> VideoEntry:
    seen = asdict(look_at(file.path, file.start, file.length))
    place = {name: getattr(file, name) for name in _PLACE}
    return VideoEntry(**place, **seen)


# -- the cache -----------------------------------------------------------------------------


def _cache_file(data: Sequence[str | PathLike[str]], cache: Path | None) -> Path | None:
    """One file for each list of folders, so that sets do not push each other out."""
    if cache is None:
        return None
    items = [
        fspath(item) if is_remote(fspath(item)) else str(Path(item).absolute()) for item in data
    ]
    name = hashlib.sha256(json.dumps(items).encode()).hexdigest()[:16]
    return cache / f"index-{name}.json"


@dataclass
class _Known:
    """What an earlier look found, by path and place; whatever has changed since is not known."""

    file: Path | None
    videos: dict[tuple[str, int], VideoEntry] = field(default_factory=dict)
    shards: dict[str, ListedShard] = field(default_factory=dict)
    check: str = ""

    @classmethod
    def load(cls, file: Path | None) -> _Known:
        """Nothing is known when there is no file, or it is not exactly as it was written."""
        if file is None:
            return cls(None)
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            content, check = raw["content"], raw["check"]
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return cls(file)
        if check != _check(content):
            return cls(file)
        entries = [
            VideoEntry(**{**e, "keyframes": tuple(e["keyframes"])}) for e in content["videos"]
        ]
        shards = {path: _shard_of(raw) for path, raw in content["shards"].items()}
        return cls(file, {(entry.path, entry.start): entry for entry in entries}, shards, check)

    def video(self, file: Found) -> VideoEntry | None:
        """The entry of a video that is still the same."""
        entry = self.videos.get((file.path, file.start))
        same = entry and all(getattr(entry, name) == getattr(file, name) for name in _PLACE)
        return entry if same else None

    def save(self, videos: Sequence[VideoEntry], shards: dict[str, ListedShard]) -> None:
        """Remember what is usable now; a folder that cannot be written to is no error."""
        content = {
            "videos": [asdict(video) for video in videos],
            "shards": {path: _raw_shard(listed) for path, listed in shards.items()},
        }
        check = _check(content)
        if self.file is None or check == self.check:
            return
        text = json.dumps({"check": check, "content": content})
        with suppress(OSError), atomic(self.file) as file:
            file.write(text.encode())


def _check(content: object) -> str:
    return hashlib.sha256(json.dumps([_VERSION, content]).encode()).hexdigest()


def _raw_shard(listed: ListedShard) -> dict[str, Any]:
    return {
        "stamp": [listed.bytes, listed.modified_ns],
        "members": [[m.name, m.start, m.length] for m in listed.shard.members],
        "problem": listed.shard.problem,
    }


def _shard_of(raw: dict[str, Any]) -> ListedShard:
    members = tuple(Member(*member) for member in raw["members"])
    size, modified_ns = raw["stamp"]
    return ListedShard(size, modified_ns, Shard(members, raw["problem"]))
