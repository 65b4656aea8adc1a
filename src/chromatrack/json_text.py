"""JSON as its standard has it: without NaN and infinity, which other programs cannot read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(value: object, *, indent: int | None = None) -> str:
    """`value` as JSON; what is not finite becomes null, what is unknown its text."""
    return json.dumps(strict(value), indent=indent, default=str, allow_nan=False)


def strict(value: Any) -> Any:  # noqa: ANN401  (whatever JSON can hold)
    """The same with None for NaN and infinity (the PSNR of equal frames), which JSON has not.

    Numbers of NumPy become those of Python.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: strict(part) for name, part in value.items()}
    return [strict(part) for part in value] if isinstance(value, list | tuple) else value


TAG = "not finite"


def tagged(value: Any) -> Any:  # noqa: ANN401
    """The same with `{"not finite": "nan"}` for NaN, likewise infinity: `untagged` undoes it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else {TAG: str(value)}
    if isinstance(value, Mapping):
        return {name: tagged(part) for name, part in value.items()}
    return [tagged(part) for part in value] if isinstance(value, list | tuple) else value


def untagged(value: Any) -> Any:  # noqa: ANN401
    """What `tagged` made, read back from JSON, as it was."""
    if isinstance(value, dict):
        if set(value) == {TAG}:
            return float(value[TAG])
        return {name: untagged(part) for name, part in value.items()}
    return [untagged(part) for part in value] if isinstance(value, list) else value
