"""The settings that a run was made with, read back from its result.json and checked by type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from chromatrack.errors import InputError, shown
from chromatrack.propagation.bidirectional import Direction
from chromatrack.propagation.config import PropagateConfig
from chromatrack.tracking.config import ColoringConfig, TrackConfig

LATER: Mapping[str, object] = {
    "mirror": False,
    "square": False,
    "long_multiple": 1,
    "upsample": "guided",
    "stretch": False,
    "protocol": "ours",
    "decoder": "none",
    "int8": False,
    "narrow": False,
    "coloring": {},
}
"""Settings that came after the first runs were saved, and what those were made with."""


def saved_config(data: Mapping[str, Any], place: str) -> TrackConfig:
    """The settings under "config" of a result.json; `place` is the file, for messages.

    Raises:
        InputError: a setting is missing, unknown to this version, or of another type or range.
    """
    config = data.get("config")
    known = [field.name for field in fields(TrackConfig)]
    config = config if isinstance(config, dict) else {}
    given = {name: config[name] for name in known if name in config}
    given |= {name: then for name, then in LATER.items() if given.get(name) is None}
    inner = {"propagate": PropagateConfig, "color": PropagateConfig, "coloring": ColoringConfig}
    for name, kind in inner.items():
        if isinstance(given.get(name), dict):
            given[name] = _made(kind, given[name], f"{place}: config.{name}")
    return _made(TrackConfig, given, f"{place}: config", needed=known)


def saved_range(data: Mapping[str, Any], place: str) -> tuple[int | None, Direction]:
    """The frame before which a run was to end (None: none) and the directions it went.

    Raises:
        InputError: they are something else.
    """
    config = data.get("config")
    given = config if isinstance(config, dict) else {}
    end, direction = given.get("end"), given.get("direction", "both")
    if not _fits(end, int | None) or not _fits(direction, Direction):
        raise InputError(
            f"{place}: config: its settings are not those of this version (got end "
            f"{shown(end)}, direction {shown(direction)}); track the video again"
        )
    return end, direction


def _made(cls: type, given: Mapping[str, Any], place: str, *, needed: Iterable[str] = ()) -> Any:  # noqa: ANN401
    hints = get_type_hints(cls)
    unknown, missing = sorted(set(given) - set(hints)), sorted(set(needed) - set(given))
    if unknown or missing:
        raise InputError(
            f"{place}: its settings are not those of this version "
            f"({'unknown' if unknown else 'missing'}: {', '.join(unknown or missing):.80}); track "
            "the video again"
        )
    for name, value in given.items():
        if not _fits(value, hints[name]):
            raise InputError(
                f"{place}.{name}: its settings are not those of this version (got {shown(value)}); "
                "track the video again"
            )
    try:
        return cls(**given)
    except InputError as error:
        raise InputError(f"{place}: {error}; track the video again") from error


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401
    """Whether a value of JSON is of a type; `true` is no number, NaN neither."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in inner)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(item, inner[0]) for item in value)
    if hint is NoneType:
        return value is None
    if hint is float:
        return isinstance(value, int | float) and type(value) is not bool and abs(value) < 1e300
    if hint is int:
        return isinstance(value, int) and type(value) is int and abs(value) < 2**31
    return type(value) is hint
