"""The options of a command as columns of a table: their names, what they take, and the call.

Read off the command's own signature, so that a column is spelled, checked and meant as the option.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from chromatrack.errors import InputError, shown

SEPARATOR = ";"
"""Between the values of an option that takes several, where they are one text."""

YES, NO = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Column:
    """One option.

    name: as after `--`, with `_` for `-`. hint: its type. place: names that lead to it: the
    parameter of the function, and the field of its dataclass.
    """

    name: str
    hint: Any
    place: tuple[str, ...]

    @property
    def takes_several(self) -> bool:
        """Whether it is a list."""
        return any(get_origin(kind) is tuple for kind in _kinds(self.hint))

    def value(self, given: object) -> Any:  # noqa: ANN401  (whatever the option is)
        """What a cell says, or a value of JSON, as the option's own type.

        Raises:
            InputError: it is none of that kind.
        """
        for kind in _kinds(self.hint):
            try:
                return _as_kind(kind, given)
            except ValueError:
                continue
        said = shown(given) if not isinstance(given, str) else repr(given)
        raise InputError(f"{dashed(self.name)}: expected {_in_words(self.hint)}, got {said}")


Columns = Mapping[str, Column]


def dashed(name: str) -> str:
    """A column as the option is typed."""
    return name.replace("_", "-")


@cache
def columns_of(function: Callable[..., object], *, without: tuple[str, ...] = ()) -> Columns:
    """Every option of a command, those in its dataclasses too; what has no name is none."""
    hints, found = _hints(function), {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if is_dataclass(hint := hints[name]):
            inner = get_type_hints(hint)
            for known in fields(hint):
                found[known.name] = Column(known.name, inner[known.name], (name, known.name))
        else:
            found[name] = Column(name, hint, (name,))
    return {name: column for name, column in found.items() if name not in without}


def needed_columns(function: Callable[..., object]) -> list[str]:
    """Options that a command cannot do without."""
    parameters = inspect.signature(function).parameters.values()
    named = (p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in named if p.default is inspect.Parameter.empty]


def arguments_for(
    function: Callable[..., object], columns: Columns, given: Mapping[str, object]
) -> dict[str, Any]:
    """Keyword arguments of a command for the cells of a row.

    Raises:
        InputError: a cell is not of its option's kind, or a setting is out of its range.
    """
    hints = _hints(function)
    found: dict[str, Any] = {}
    for name, cell in given.items():
        parameter, *field = columns[name].place
        value = columns[name].value(cell)
        if field:
            found.setdefault(parameter, {})[field[0]] = value
        else:
            found[parameter] = value
    return {
        name: hints[name](**value) if is_dataclass(hints[name]) else value
        for name, value in found.items()
    }


def plain(value: object) -> Any:  # noqa: ANN401  (JSON)
    """A value as JSON has it: what `Column.value` takes back."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        parts = [plain(part) for part in value]
        nested = all(isinstance(part, list) for part in parts)
        return [one for part in parts for one in part] if parts and nested else parts
    return value


def nearest(word: str, known: Collection[str]) -> str:
    """` (did you mean size?)`, or nothing where nothing is near."""
    near = get_close_matches(word, list(known), n=1)
    return f" (did you mean {dashed(near[0])}?)" if near else ""


@cache
def _hints(function: Callable[..., object]) -> dict[str, Any]:
    return get_type_hints(function)


# -- values ----------------------------------------------------------------------------------


def _kinds(hint: object) -> list[Any]:
    """What an option may be, None aside: that is leaving it out."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [part for part in parts if part is not types.NoneType]


def _as_kind(kind: Any, given: object) -> Any:  # noqa: ANN401
    """A value as one kind. Raises ValueError where it is none of it."""
    if get_origin(kind) is Literal:
        for choice in get_args(kind):
            if given == choice or str(given) == str(choice):
                return choice
        raise ValueError
    if get_origin(kind) is tuple:
        return _as_tuple(get_args(kind), given)
    if kind is bool:
        return _as_bool(given)
    if kind in (str, Path):
        if isinstance(given, bool | list | dict) or given is None:
            raise ValueError
        return kind(str(given))
    if kind in (int, float):
        return _as_number(kind, given)
    raise ValueError


def _as_tuple(parts: Sequence[Any], given: object) -> tuple[Any, ...]:
    if isinstance(given, str):
        given = [part.strip() for part in given.split(SEPARATOR)]
    values = list(given) if isinstance(given, list | tuple) else [given]
    if parts[-1] is not ...:
        if len(values) != len(parts):
            raise ValueError
        return tuple(_as_kind(part, value) for part, value in zip(parts, values, strict=True))
    if get_origin(parts[0]) is tuple:  # an option that may be repeated: all of it at once
        return (_as_tuple(get_args(parts[0]), values),)
    return tuple(_as_kind(parts[0], value) for value in values)


def _as_bool(given: object) -> bool:
    if isinstance(given, bool):
        return given
    if (text := str(given).lower()) in (*YES, *NO):
        return text in YES
    raise ValueError


def _as_number(kind: type[int] | type[float], given: object) -> int | float:
    if isinstance(given, bool) or not isinstance(given, str | int | float) or "_" in str(given):
        raise ValueError
    if kind is int and isinstance(given, float) and not given.is_integer():
        raise ValueError
    return kind(given)


def _in_words(hint: object) -> str:
    words = [text for kind in _kinds(hint) for text in _words(kind)]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _words(kind: Any) -> list[str]:  # noqa: ANN401
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    if get_origin(kind) is tuple:
        inner = next(part for part in get_args(kind) if part is not ...)
        return [f"a list of {' or '.join(_words(inner))} ({SEPARATOR} between)"]
    names = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    return [names.get(kind, "a text")]
