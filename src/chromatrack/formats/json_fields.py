"""JSON that a user or another program wrote, read with errors that say where it is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np

from chromatrack.errors import InputError, shown
from chromatrack.formats.text_encoding import file_encoding
from chromatrack.structures import Kind, Names


def load_json_object(path: str | PathLike[str], *, what: str) -> dict[str, Any]:
    """The object in a JSON file that should hold `what`; a byte order mark is fine.

    Raises:
        InputError: no such file, not JSON, or JSON of something else than an object.
    """
    source = Path(path)
    try:
        data = json.loads(source.read_text(encoding=file_encoding(source)))
    except FileNotFoundError as error:
        raise InputError(f"no file '{source}'; check the path") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"'{source}': expected {what} as JSON, but it cannot be read ({error}); save it again"
        ) from error
    if not isinstance(data, dict):
        names = {list: "list", str: "text", bool: "truth value", type(None): "null"}
        raise InputError(
            f"'{source}': expected {what}, a JSON object {{...}}, got a "
            f"{names.get(type(data), 'number')}; check that it is the right file"
        )
    return data


@dataclass(frozen=True)
class JsonValue:
    """A value in a JSON file and where it stands there, such as `marks[0].id`; "" is the whole.

    What takes it for a number, a list and so on raises InputError where it is none.
    """

    value: Any
    file: str
    path: str = ""

    @property
    def place(self) -> str:
        """The file and where in it, as errors begin."""
        return f"'{self.file}': {self.path}" if self.path else f"'{self.file}'"

    def whole(self) -> int:
        """It as an integer from 0 up."""
        value = self.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # as tables with gaps save integers
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            raise self._unlike("an integer from 0 up")
        return value

    def number(self) -> float:
        """It as a finite number."""
        if not _is_number(self.value):
            raise self._unlike("a finite number")
        return float(self.value)

    def numbers(self, count: int) -> np.ndarray:
        """It as (count,) float64: a list of that many finite numbers."""
        values = self._list()
        if len(values) != count:
            raise InputError(
                f"{self.place}: expected {count} numbers, got {len(values)}; correct it"
            )
        if all(map(_is_number, values)):
            return np.array(values, dtype=np.float64)
        return np.array([item.number() for item in self.items()])  # raises, and says which

    def xy(self) -> tuple[float, float]:
        """It as finite [x, y] px."""
        if len(self._list()) != 2:
            raise self._unlike("[x, y]")
        x, y = self.items()
        return x.number(), y.number()

    def items(self) -> list[JsonValue]:
        """Its entries as a list."""
        values = enumerate(self._list())
        return [JsonValue(value, self.file, f"{self.path}[{i}]") for i, value in values]

    def fields(self) -> Mapping[str, Any]:
        """Its plain entries as an object."""
        if not isinstance(self.value, dict):
            raise self._unlike("an object {...}")
        return self.value

    def __contains__(self, key: str) -> bool:
        return key in self.fields()

    def __getitem__(self, key: str) -> JsonValue:
        """What it has under `key`; InputError if nothing."""
        if key not in self:
            raise InputError(
                f'{self.place}: expected "{key}", got only {shown(sorted(self.value))}; add it'
            )
        path = f"{self.path}.{key}" if self.path else key
        return JsonValue(self.value[key], self.file, path)

    def get(self, *keys: str) -> JsonValue | None:
        """What it has under the first of `keys` that is there and not null; None if none is."""
        key = next((key for key in keys if self.fields().get(key) is not None), None)
        return None if key is None else self[key]

    def _list(self) -> list[Any]:
        if not isinstance(self.value, list):
            raise self._unlike("a list [...]")
        return self.value

    def _unlike(self, expected: str) -> InputError:
        return InputError(f"{self.place}: expected {expected}, got {shown(self.value)}; correct it")


def _is_number(value: object) -> bool:
    # What is beyond any picture is no more a place than inf; arithmetic with it overflows.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e12


# -- names of things ---------------------------------------------------------------------------


def plain_names(names: Names) -> dict[str, dict[str, str]]:
    """Names of things for JSON: {"object": {"1": "cow"}}; ids ascending."""
    plain: dict[str, dict[str, str]] = {}
    for (kind, number), name in sorted(names.items()):
        plain.setdefault(kind, {})[str(number)] = name
    return plain


def names_from_plain(data: Mapping[str, Any]) -> dict[tuple[Kind, int], str]:
    """The names that `plain_names` made plain.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: they are not as it makes them.
    """
    return {
        (get_args(Kind)[get_args(Kind).index(kind)], int(number)): str(name)
        for kind, of_kind in data.items()
        for number, name in of_kind.items()
    }
