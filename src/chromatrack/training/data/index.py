"""What there is to learn from: videos, photos and shards, looked at once and remembered."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path

from chromatrack.atomic import replace_file
from chromatrack.errors import InputError, OutputError, VideoError
from chromatrack.json_text import json_text
from chromatrack.training.data.listing import Listing, Member, Shard, is_remote
from chromatrack.training.data.media import MediaFile, Stretch, VideoEntry, look_at

_PLACE = ("path", "start", "length", "bytes", "modified_ns")
_VERSION = 2  # of the cache file: raise it when the meaning of an entry changes


@dataclass(frozen=True)
class Index:
    """All usable data in a fixed order; `problems`: one line on everything that is not.

    digest: of names and sizes in order; the same data on another machine has the same digest.
    """

    videos: tuple[VideoEntry, ...]
    photos: tuple[MediaFile, ...]
    problems: tuple[str, ...]
    digest: str


def build_index(data: Sequence[str | PathLike[str]], *, cache: Path | None) -> Index:
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
    if not data:
        raise InputError(
            "training data: expected folders or files of videos, photos or .tar shards, got none; "
            "name at least one"
        )
    file = _cache_file(data, cache)
    known = _read_cache(file)
    found = Listing(cache, known.shards)
    for item in data:
        found.add(fspath(item))
    videos = _look_at_all(found, known)
    content = _Known({(v.path, v.start): v for v in videos}, found.shards)
    if file is not None and content != known:
        _write_cache(file, content)
    for problem in found.problems:
        warnings.warn(f"training data: {problem}", stacklevel=2)
    if not videos and not found.photos:
        reasons = "; ".join(found.problems[:3])
        raise InputError(
            f"training data: no video, photo or .tar shard that can be used in "
            f"{', '.join(map(str, data))}" + (f" ({reasons})" if reasons else "")
        )
    names = [(f.name, f.bytes) for f in (*videos, *found.photos)]
    digest = hashlib.sha256(json.dumps([names, len(videos)]).encode()).hexdigest()
    return Index(tuple(videos), tuple(found.photos), tuple(found.problems), digest)


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


def _look_at_all(found: Listing, known: _Known) -> list[VideoEntry]:
    """The usable videos, in order; what is wrong is added to the problems."""

    def look(file: MediaFile) -> VideoEntry | str:
        try:
            return known.video(file) or look_at(file)
        except VideoError as error:
            return str(error)

    usable: list[VideoEntry] = []
    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 1))) as pool:
        for entry in pool.map(look, found.videos):
            if isinstance(entry, str):
                found.problems.append(entry)
            else:
                usable.append(entry)
                if entry.problem:
                    found.problems.append(f"{entry.label}: {entry.problem}")
    return usable


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


@dataclass(frozen=True)
class _Known:
    """What was usable at an earlier look, by path and place."""

    videos: Mapping[tuple[str, int], VideoEntry] = field(default_factory=dict)
    shards: Mapping[str, Shard] = field(default_factory=dict)

    def video(self, file: MediaFile) -> VideoEntry | None:
        """The entry of a video that is still the same; its name may be another."""
        entry = self.videos.get((file.path, file.start))
        same = entry and all(getattr(entry, name) == getattr(file, name) for name in _PLACE)
        return replace(entry, name=file.name) if entry and same else None


def _read_cache(file: Path | None) -> _Known:
    """Nothing is known when there is no file, or it is not exactly as it was written."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8")) if file else {}
        content = raw["content"]
        if raw["check"] != _check(content):
            return _Known()
    except (OSError, ValueError, KeyError, TypeError):
        return _Known()
    videos = [VideoEntry(**{**e, "keyframes": tuple(e["keyframes"])}) for e in content["videos"]]
    shards = {
        path: Shard(**{**raw, "members": tuple(Member(*member) for member in raw["members"])})
        for path, raw in content["shards"].items()
    }
    return _Known({(video.path, video.start): video for video in videos}, shards)


def _write_cache(file: Path, known: _Known) -> None:
    """Remember what is usable; a folder that cannot be written to is no error."""
    content = {
        "videos": [asdict(video) for video in known.videos.values()],
        "shards": {path: asdict(shard) for path, shard in known.shards.items()},
    }
    with suppress(OutputError):
        replace_file(file, json_text({"check": _check(content), "content": content}))


def _check(content: object) -> str:
    return hashlib.sha256(json.dumps([_VERSION, content]).encode()).hexdigest()
