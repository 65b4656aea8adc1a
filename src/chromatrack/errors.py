"""The exception tree. Every message says what was expected, what came and what to do.

The library raises these; the command line prints one line and exits with `exit_code`.
"""

from __future__ import annotations

import json
from functools import partial


class ChromatrackError(Exception):
    """Base of everything this package raises on purpose."""

    exit_code = 2


class InputError(ChromatrackError, ValueError):
    """An argument, file or array is not what was asked for."""


class VideoError(InputError):
    """A video or image source cannot be opened or holds no usable frames."""


class DamagedVideoError(VideoError):
    """Raised after the last good frame of a truncated or damaged stream was yielded.

    `frame_index` is the index of the first frame that could not be read.
    """

    exit_code = 3

    def __init__(self, message: str, *, frame_index: int) -> None:
        super().__init__(message)
        self.frame_index = frame_index

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """So that it passes from one process to another."""
        return partial(type(self), frame_index=self.frame_index), self.args


class BehindDamageError(DamagedVideoError):
    """A mark lies behind the damage of a video, where nothing can be read: nothing was begun."""

    exit_code = InputError.exit_code


class BeyondEndError(VideoError):
    """A frame was asked for that a source does not have; `frame_count`: how many it has."""

    def __init__(self, message: str, *, frame_count: int) -> None:
        super().__init__(message)
        self.frame_count = frame_count

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """So that it passes from one process to another."""
        return partial(type(self), frame_count=self.frame_count), self.args


class OutputError(ChromatrackError, OSError):
    """A result cannot be written where it was asked for."""


class WeightsError(InputError):
    """A weights file is missing, damaged or of another shape than its configuration says."""


class LayoutError(InputError):
    """A data set folder does not follow the published layout."""


class TrainingError(ChromatrackError):
    """Training cannot go on (no usable data, a loss that is not finite)."""


class WorkerError(ChromatrackError):
    """A process that did a part of the work has died, such as for lack of memory."""


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGHUP asked for the end, as Ctrl-C does; what was written is whole.

    exit_code: 128 and the signal's number: 143 SIGTERM, 129 SIGHUP.
    """

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StoppedError(ChromatrackError):
    """SIGTERM asked a long job to end; what it did so far is saved."""

    exit_code = 143


def shown(value: object) -> str:
    """`value` as JSON, shortened, for an error message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
