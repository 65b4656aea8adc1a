"""JSON that a user or another program wrote, read with errors that say where it is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any

from chromatrack.errors import InputError, shown


def load_json_object(path: str | PathLike[str], *, what: str) -> dict[str, Any]:
    """The object in a JSON file that should hold `what`; a byte order mark is fine.

    Raises:
        InputError: no such file, not JSON, or JSON of something else than an object.
    """
    source = Path(path)
    try:
        data = json.loads(source.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"no file '{source}'; check the path") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"'{source}': expected {what} as JSON, but it cannot be read ({error}); save it again"
        ) from error
    if not isinstance(data, dict):
        raise InputError(
            f"'{source}': expected {what}, a JSON object {{...}}, got a {_kind(data)}; "
            "check that it is the right file"
        )
    return data


def whole(value: object, place: str) -> int:
    """`value` as an integer from 0 up; raises InputError, beginning with `place`, if it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InputError(f"{place}: expected an integer from 0 up, got {shown(value)}; correct it")
    return value


def number(value: object, place: str) -> float:
    """`value` as a finite number; raises InputError, beginning with `place`, if it is none."""
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not abs(value) < 1e300  # an int beyond a float's range is no more a number than inf
    ):
        raise InputError(f"{place}: expected a finite number, got {shown(value)}; correct it")
    return float(value)


def listed(value: object, place: str) -> list[Any]:
    """`value` if it is a list; raises InputError, beginning with `place`, if it is none."""
    if not isinstance(value, list):
        raise InputError(f"{place}: expected a list [...], got {shown(value)}; correct it")
    return value


def mapped(value: object, place: str) -> dict[str, Any]:
    """`value` if it is an object; raises InputError, beginning with `place`, if it is none."""
    if not isinstance(value, dict):
        raise InputError(f"{place}: expected an object {{...}}, got {shown(value)}; correct it")
    return value


def entry(data: Mapping[str, Any], key: str, place: str) -> Any:  # noqa: ANN401 (JSON)
    """What `data` has under `key`; raises InputError, beginning with `place`, if nothing."""
    if key not in data:
        raise InputError(f'{place}: expected "{key}", got only {shown(sorted(data))}; add it')
    return data[key]


def xy_pair(value: object, place: str) -> tuple[float, float]:
    """`value` as finite [x, y] px; raises InputError, beginning with `place`, if it is none."""
    pair = listed(value, place)
    if len(pair) != 2:
        raise InputError(f"{place}: expected [x, y], got {shown(value)}; correct it")
    return number(pair[0], place), number(pair[1], place)


def last_number(file_name: str) -> int | None:
    """The last run of digits in a file's name without folder and suffix; None without digits."""
    stem = PurePosixPath(file_name.replace("\\", "/")).stem
    digits = re.findall(r"[0-9]+", stem)
    return int(digits[-1]) if digits and len(digits[-1]) <= 18 else None


def _kind(value: object) -> str:
    names = {list: "list", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")
