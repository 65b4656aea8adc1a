"""The video copied into its project's folder, where it is found on any machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chromatrack.errors import InputError, OutputError
from chromatrack.studio.store import video_digest

_PART_BYTES = 1 << 22


def copy_target(folder: Path, video: Path, name: str) -> Path:
    """Where a project's copy of its video goes. Raises InputError where there cannot be one."""
    if video.is_dir():
        raise InputError(f"{video}: is a folder of pictures; copy it beside the project yourself")
    target = folder / Path(name).name
    if target.exists():
        raise InputError(f"{target.name}: is in the project's folder already")
    return target


def copy_video(
    video: Path, target: Path, *, stopped: threading.Event, tell: Callable[[int, int], None]
) -> bool:
    """Copy a video, whole or not at all; False where it was stopped.

    Args:
        tell: called with MiB done and in all.

    Raises:
        OutputError: there is no room, or the folder cannot be written.
        InputError: the video cannot be read, or changed meanwhile.
    """
    total = video.stat().st_size
    free = os.statvfs(target.parent)
    if free.f_bavail * free.f_frsize < total:
        raise OutputError(f"{target}: needs {total >> 20} MiB more than there are; make room")
    aside, done = target.with_name(f".{target.name}.part"), 0
    try:
        with video.open("rb") as source, aside.open("wb") as out:
            while part := source.read(_PART_BYTES):
                if stopped.is_set():
                    return False
                out.write(part)
                done += len(part)
                tell(done >> 20, max(total, done) >> 20)
            out.flush()
            os.fsync(out.fileno())
        if video_digest(aside) != video_digest(video):
            raise InputError(f"{video}: changed while it was copied; copy it again")
        aside.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror}); make room") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return True
