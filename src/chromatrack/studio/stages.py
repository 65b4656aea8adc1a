"""How far work of several stages is, over all of them."""

from __future__ import annotations

from collections.abc import Sequence

WRITING = "draw"
"""The stage in which what is done is written: it takes little and is told by itself."""


class Stages:
    """Where work is in its stages, each told by name with how many frames of it are done.

    stages: (name, frames) in order, 0 frames where that is told only when it begins. Some may be
    passed over, and one may come again.
    """

    def __init__(self, stages: Sequence[tuple[str, int]]) -> None:
        """Nothing is told yet; the stages may be filled in until then."""
        self._stages, self._at = stages, -1
        self._before, self._done, self._size = 0, 0, 0

    def overall(self, name: str, done: int, total: int | None) -> tuple[int, int | None]:
        """(frames done, of how many), those of the stages before and after it counted.

        Args:
            done, total: of the stage itself, and all that is said where it is none of them.
        """
        is_same = self._at >= 0 and self._stages[self._at][0] == name and done >= self._done
        if not is_same:
            later = range(self._at + 1, len(self._stages))
            found = next((n for n in later if self._stages[n][0] == name), None)
            if found is None:
                return done, total
            self._before += self._size
            self._at = found
        self._done, self._size = done, self._stages[self._at][1] if total is None else total
        if name == WRITING:
            return done, total
        after = sum(frames for one, frames in self._stages[self._at + 1 :] if one != WRITING)
        return self._before + done, self._before + self._size + after
