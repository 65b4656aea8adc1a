"""Two tabs that edit at once: what one changes that the other has not seen yet.

Actions change single things, so those of two tabs are merged, one after the other; only where both
say something of the same thing on the same frame, the later one is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chromatrack.errors import ChromatrackError
from chromatrack.studio.document import Document

_TABLES = ("objects", "points", "boxes", "keypoints")


class StaleError(ChromatrackError):
    """What was done was done on a state that is no longer so."""


def touched(before: Document, after: Document) -> dict[str, str]:
    """{name: in words} of every single thing that differs between two documents."""
    old, new = dict(_named(before)), dict(_named(after))
    words = _words(before) | _words(after)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return {name: words.get(name, name) for name in names}


def _named(document: Document) -> Iterator[tuple[str, Any]]:
    yield "settings", document["settings"]
    for thing in document["objects"]:
        said = {name: value for name, value in thing.items() if name != "colorIsFree"}
        yield thing["key"], said  # a first mark says nothing of the thing itself
    for frame, marks in document["marks"].items():
        for table in _TABLES:
            for number, value in marks[table].items():
                yield f"{table}/{number}@{frame}", value
        for number in marks["gone"]:
            yield f"objects/{number}@{frame}", "gone"
    for frame, colors in document.get("colors", {}).items():
        yield f"colors@{frame}", colors
    for number, texture in document.get("textures", {}).items():
        yield f"texture:{number}", texture


def _words(document: Document) -> dict[str, str]:
    kinds = {"object": "objects", "point": "points", "box": "boxes", "keypoints": "keypoints"}
    called = {f"{kinds[one['kind']]}/{one['id']}": one["name"] for one in document["objects"]}
    words = {one["key"]: one["name"] for one in document["objects"]} | {"settings": "the settings"}
    for name, _ in _named(document):
        what, at, frame = name.partition("@")
        if at:
            thing = "the colours" if what == "colors" else called.get(what, what)
            words[name] = f"{thing} on frame {frame}"
    return words


class Changes:
    """When every single thing of a project was changed last, by the state's revision."""

    def __init__(self) -> None:
        """Nothing was changed yet."""
        self._last: dict[str, int] = {}

    @property
    def newest(self) -> int:
        """Revision of the last change."""
        return max(self._last.values(), default=0)

    def note(self, before: Document, after: Document, revision: int) -> None:
        """Take in a change."""
        self._last.update(dict.fromkeys(touched(before, after), revision))

    def unseen(self, names: Mapping[str, str], revision: int) -> str | None:
        """In words: one of the named things that was changed after a revision; None: none was."""
        return next((names[name] for name in names if self._last.get(name, 0) > revision), None)

    def is_gone(self, document: Document, key: str, revision: int) -> bool:
        """Whether a thing was removed after a revision."""
        keys = {one["key"] for one in document["objects"]}
        return key not in keys and self._last.get(key, 0) > revision
