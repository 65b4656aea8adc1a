"""Marks from Python brought to their types: whole numbers, finite coordinates, one of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Integral, Real
from os import PathLike
from typing import Any, TypeVar

import numpy as np

from chromatrack.errors import InputError
from chromatrack.structures import BoxMark, KeypointMark, LostMark, PointMark

LARGEST_ID = 2**31 - 1
"""Ids are stored as int32, as masks are."""

LARGEST_FRAME = 2**40

LARGEST = 1e12
"""Coordinates beyond this are no places; each is compared with the frame besides."""

_Mark = TypeVar("_Mark", PointMark, BoxMark, KeypointMark, LostMark)


def whole(value: Any, what: str, *, least: int = 0, most: int = LARGEST_ID) -> int:  # noqa: ANN401
    """An int of Python or NumPy as an int.

    Raises:
        InputError: something else, or outside `least` to `most`.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if is_whole and least <= int(value) <= most:
        return int(value)
    raise InputError(
        f"{what}: expected a whole number from {max(least, 0)} to {most}, got {_brief(value)}"
    )


def frame_number(value: object, what: str) -> int:
    """A frame's number as an int; those before the first are refused where the video is known."""
    return whole(value, f"{what}: frame", least=-LARGEST_FRAME, most=LARGEST_FRAME)


def finite(value: Any, what: str, unit: str = "pixels") -> float:  # noqa: ANN401
    """A number of Python or NumPy as a float that can be reckoned with.

    Raises:
        InputError: no number, not finite, or beyond `LARGEST`.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if is_number and -LARGEST <= value <= LARGEST:  # pyright: ignore[reportOperatorIssue]
        return float(value)
    raise InputError(f"{what}: expected a finite number of {unit}, got {_brief(value)}")


def typed(marks: object, kind: type[_Mark], name: str) -> list[_Mark]:
    """The marks of one kind, ids and frames as ints, coordinates as floats.

    Args:
        name: of the argument, for messages.

    Raises:
        InputError: not a sequence of marks of that kind, or a number in one that is none.
    """
    if isinstance(marks, kind):
        marks = [marks]
    if not isinstance(marks, Iterable) or isinstance(marks, str | bytes | Mapping):
        raise InputError(
            f"{name}: expected a sequence of {kind.__name__}, got {type(marks).__name__}"
        )
    found = list(marks)
    for mark in found:
        if not isinstance(mark, kind):
            raise InputError(f"{name}: expected {kind.__name__}, got {_brief(mark)}")
    return [_typed(mark, name) for mark in found]


def _typed(mark: _Mark, name: str) -> _Mark:
    number = whole(mark.id, f"{name}: id")
    frame = frame_number(mark.frame, f"{name} {number}")
    what = f"{name} {number} on frame {frame}"
    if isinstance(mark, KeypointMark):
        joints, lost = joint_array(mark.joints, what), np.asarray(mark.lost)
        if lost.dtype != bool or lost.shape != (len(joints),):
            raise InputError(
                f"{what}: expected lost as ({len(joints)},) bool, got {lost.shape} {lost.dtype}"
            )
        return replace(mark, id=number, frame=frame, joints=joints, lost=lost)
    if isinstance(mark, LostMark):
        return replace(mark, id=number, frame=frame)
    fields = ("x", "y") if isinstance(mark, PointMark) else ("x", "y", "width", "height")
    values = {field: getattr(mark, field) for field in fields}
    numbers = {
        field: None if value is None else _pixel(value, f"{what}: {field}")
        for field, value in values.items()
    }
    return replace(mark, id=number, frame=frame, **numbers)


def _pixel(value: object, what: str) -> float:
    """As `finite`, but NaN and infinity stay, which are refused where the video is known."""
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        return float(value)
    return finite(value, what)


def joint_array(joints: object, what: str) -> np.ndarray:
    """`(J, 2)` float64 joints; NaN, "not marked", stays, and so does infinity.

    Raises:
        InputError: of another shape, not numbers, or beyond `LARGEST`.
    """
    try:
        xy = np.asarray(joints)
    except ValueError:
        xy = np.empty(0, dtype=object)
    if xy.ndim != 2 or xy.shape[-1] != 2 or len(xy) == 0 or xy.dtype.kind not in "iuf":
        raise InputError(
            f"{what}: expected (J, 2) joints, got {xy.shape} {xy.dtype}"
            if xy.dtype != object
            else f"{what}: expected (J, 2) joints of numbers, got {_brief(joints)}"
        )
    xy = xy.astype(np.float64)
    if bool((np.isfinite(xy) & (np.abs(xy) > LARGEST)).any()):
        raise InputError(f"{what}: expected finite joints, got {_brief(joints)}")
    return xy


def mask_array(mask: object, what: str) -> np.ndarray:
    """A mask as an `(H, W)` integer array, bool as 0 and 1.

    Raises:
        InputError: no such array, or ids beyond `LARGEST_ID`.
    """
    array = np.asarray(mask) if isinstance(mask, np.ndarray | list) else None
    if array is None or array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iub":
        got = _brief(mask) if array is None else f"{array.shape} {array.dtype}"
        raise InputError(f"{what}: expected (H, W) integer object ids, got {got}")
    if (high := int(array.max())) > LARGEST_ID:
        raise InputError(f"{what}: expected object ids from 0 to {LARGEST_ID}, got {high}")
    return array.astype(np.int32) if array.dtype.kind == "b" else array


def is_path(value: object) -> bool:
    """Whether it names a file."""
    return isinstance(value, str | PathLike)


def _brief(value: Any) -> str:  # noqa: ANN401
    """A value in few characters; a huge number by its length."""
    if isinstance(value, Integral) and not isinstance(value, bool) and abs(value) >= 10**30:  # pyright: ignore[reportOperatorIssue]
        return "a whole number of 31 digits or more"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
