"""Damage done to files: of bytes, of JSON by its structure, of CSV by its cells."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1,
    2,
    1e308,
    -1e308,
    5e-324,
    10**9,
    2**31,
    2**63,
    10**400,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "0",
    "abc",
    "\x00",
    "\ud800",
    "ä" * 300,
    "../../x.png",
    [],
    {},
    [[]],
    [0] * 5000,
)
"""Values that no format expects; the integer of 400 digits is no float."""

CELLS = (
    *("", " ", "-1", "0", "1e308", "-1e308", "nan", "inf", "1,5", "9" * 400, "9223372036854775808"),
    *("abc", '"', "\x00", "ä", "0x10", "1_000", "١٢", "true", "-0.0", "1e-320", "3.0"),
)


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four bytewise changes: flips, cuts, holes, insertions, repeats, big numbers."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not changed:
            break
        rng.choice(BYTEWISE)(changed, rng)
    return bytes(changed)


def _place(data: bytearray, rng: random.Random) -> int:
    """A position, half of the time near the front, where headers are."""
    return rng.randrange(min(len(data), 200) if rng.random() < 0.5 else len(data))


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3, 20))):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: random.Random) -> None:
    data[_place(data, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _hole(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    del data[start : start + rng.choice((1, 2, 7, 64, 1000))]


def _zero(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    length = min(rng.choice((4, 64, 1000)), len(data) - start)
    data[start : start + length] = bytes(length)


def _insert(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    data[start:start] = rng.randbytes(rng.choice((1, 4, 100)))


def _repeat(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    data[start:start] = data[start : start + rng.choice((1, 16, 512))] * rng.choice((1, 2, 5))


def _number(data: bytearray, rng: random.Random) -> None:
    start, value = _place(data, rng), rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
    packed = struct.pack(rng.choice(("<I", ">I")), value)
    data[start : start + 4] = packed[: len(data) - start]


BYTEWISE: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _set, _cut, _hole, _zero, _insert, _repeat, _number),
)


def damaged_json(data: bytes, rng: random.Random) -> bytes:
    """One to three values of a JSON text exchanged, dropped, repeated or renamed; or its bytes."""
    if rng.random() < 0.2:
        return damaged_bytes(data, rng)
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _changed(value, rng)
    if rng.random() < 0.03:
        return b"[" * 100_000
    try:
        return json.dumps(value).encode("utf-8", "surrogatepass")
    except ValueError:  # a list that was put into itself
        return data


def _spots(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in entries:
        found.append((value, key))
        if isinstance(inner, dict | list):
            _spots(inner, found)
    return found


def _changed(value: Any, rng: random.Random) -> Any:
    spots = _spots(value, []) if isinstance(value, dict | list) else []
    if not spots or rng.random() < 0.02:
        return rng.choice(STRANGE)
    inside, key = rng.choice(spots)
    what = rng.choice(("exchange", "exchange", "exchange", "drop", "repeat", "rename", "wrap"))
    if what == "exchange":
        inside[key] = rng.choice(STRANGE)
    elif what == "drop":
        del inside[key]
    elif what == "repeat" and isinstance(inside, list):
        inside[key:key] = [inside[key]] * rng.choice((1, 1, 3, 3, 3, 3000))
    elif what == "rename" and isinstance(inside, dict):
        inside[f"{key}_"] = inside.pop(key)
    else:
        inside[key] = rng.choice(([inside[key]], {"a": inside[key]}, str(inside[key])))
    return value


def damaged_csv(data: bytes, rng: random.Random) -> bytes:
    """Cells exchanged, rows dropped, repeated, cut or of other separators; or its bytes."""
    if rng.random() < 0.2:
        return damaged_bytes(data, rng)
    rows = [line.split(",") for line in data.decode().splitlines()]
    if rng.random() < 0.03:
        rows += [[str(n), *rows[1][1:]] for n in range(9, rng.choice((300, 5000, 50_000)))]
    for _ in range(rng.choice((1, 1, 2, 3))):
        row = rng.randrange(len(rows))
        what = rng.choice(("cell", "cell", "cell", "drop", "repeat", "short", "long", "separator"))
        if what == "cell" and rows[row]:
            rows[row][rng.randrange(len(rows[row]))] = rng.choice(CELLS)
        elif what == "drop" and len(rows) > 1:
            del rows[row]
        elif what == "repeat":
            rows.insert(row, list(rows[row]))
        elif what == "short":
            rows[row] = rows[row][:-1]
        elif what == "long":
            rows[row] = [*rows[row], "1"]
        else:
            rows[row] = [rng.choice((";", "\t", "|")).join(rows[row])]
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")
