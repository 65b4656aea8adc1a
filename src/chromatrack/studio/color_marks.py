"""What a project says of colours: coloured frames and strokes of colour, by frame. Pure: no files.

A document's "colors" holds for each frame {"still": digest of a picture or None, "strokes":
[{"color", "radius", "points"}]}; a document without it has none. A stroke whose colour is None is
of the eraser. Strokes that correct a coloured frame lie on the colours that it had: {"copied":
digest of their picture} (see `color_store`), in which colours were "changed" since: [[old, new]].
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from chromatrack.errors import InputError
from chromatrack.studio.document import Document

COLORS = "colors"


def references(document: Document) -> dict[int, dict[str, Any]]:
    """{frame: {"still", "strokes"}}, ascending."""
    return {int(f): one for f, one in sorted(document.get(COLORS, {}).items(), key=_number)}


def _number(item: tuple[str, Any]) -> int:
    return int(item[0])


def references_key(document: Document) -> str:
    """What tells these references from others, 16 hex digits."""
    told = json.dumps(references(document), sort_keys=True, allow_nan=False)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def with_still(document: Document, frame: int, digest: str) -> Document:
    """With a coloured picture of a frame; strokes on it stay."""
    return _with(document, frame, still=digest)


def with_strokes(
    document: Document,
    frame: int,
    strokes: Sequence[Mapping[str, Any]],
    *,
    copied: str | None = None,
) -> Document:
    """With other strokes on a frame. copied: the colours that they correct, if it had any."""
    given: dict[str, Any] = {"strokes": [dict(one) for one in strokes]}
    if copied is not None:
        given["copied"] = copied
    return _with(document, frame, **given)


def with_color(document: Document, old: str, new: str) -> Document:
    """With every stroke of one colour in another, on all frames, and what was copied of it.

    Raises:
        InputError: no stroke has it.
    """
    changed = copy.deepcopy(document)
    strokes = [one for given in changed.get(COLORS, {}).values() for one in given["strokes"]]
    of_it = [one for one in strokes if (one["color"] or "").lower() == old.lower()]
    if not of_it:
        raise InputError(f"colour {old}: no stroke has it")
    for one in of_it:
        one["color"] = new
    for given in changed[COLORS].values():
        if given.get("copied") is not None:
            given["changed"] = [*given.get("changed", ()), [old.lower(), new.lower()]]
    return changed


def without(document: Document, frame: int) -> Document:
    """Without the colours of a frame. Raises InputError where there are none."""
    if str(frame) not in document.get(COLORS, {}):
        raise InputError(f"frame {frame}: has no colours to clear")
    new = copy.deepcopy(document)
    del new[COLORS][str(frame)]
    return new


def _with(document: Document, frame: int, **given: Any) -> Document:  # noqa: ANN401
    new = copy.deepcopy(document)
    every = new.setdefault(COLORS, {})
    before = every.get(str(frame), {})
    here = {"still": None, "strokes": []} | before | given
    if here["still"] is not None:
        here.pop("copied", None)  # the picture is what strokes lie on
    if here.get("copied") != before.get("copied"):
        here.pop("changed", None)  # it was of another picture
    if here["still"] is None and not here["strokes"]:
        every.pop(str(frame), None)
    else:
        every[str(frame)] = here
    return new
