"""What of long work comes next."""

from __future__ import annotations

from collections.abc import Sequence


class Stages:
    """Where work is in its stages, each told by name with how many frames of it are done.

    stages: (name, frames) in order. Some may be passed over, and one may come again.
    """

    def __init__(self, stages: Sequence[tuple[str, int]]) -> None:
        """Nothing is told yet; the stages may be filled in until then."""
        self._stages, self._at, self._done = stages, -1, 0

    def after(self, name: str, done: int) -> int | None:
        """Frames of the stage that follows the one that is told of; None: unknown, or none."""
        is_same = self._at >= 0 and self._stages[self._at][0] == name and done > self._done
        if not is_same:
            later = range(self._at + 1, len(self._stages))
            found = next((n for n in later if self._stages[n][0] == name), None)
            if found is None:
                return None
            self._at = found
        self._done = done
        following = self._stages[self._at + 1 : self._at + 2]
        return following[0][1] if following else None

    def part(self, name: str) -> str:
        """Which of several stages of this name it is, in words: " (2/4)"; "" where there is one."""
        alike = [n for n, (one, _) in enumerate(self._stages) if one == name]
        is_told = self._at in alike and len(alike) > 1
        return f" ({alike.index(self._at) + 1}/{len(alike)})" if is_told else ""
