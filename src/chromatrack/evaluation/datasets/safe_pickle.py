"""Pickles of numpy arrays, as data sets are published in, read without running anything of them.

A pickle is a program; unpickling a stranger's file can do anything. Here its few operations that
build dicts, lists, numbers, texts and arrays are carried out, those names are recognised that numpy
writes, nothing is ever imported or called, and any other operation or name is refused. Long strings
are passed over, not read: what comes back of a file of gigabytes is small, can be pickled, and maps
an array's bytes only when it is loaded.
"""

from __future__ import annotations

import math
import os
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from chromatrack.errors import LayoutError

LONG = 1024
"""Bytes from which a string is left in the file."""

KINDS = "biufSO"
"""Kinds of arrays that are read: numbers, byte strings, and lists of what else is read."""


@dataclass(frozen=True)
class ByteSpan:
    """A byte string left in its file; `text`: as a text that has one character for each byte."""

    path: Path
    offset: int
    length: int
    text: bool = False

    def __len__(self) -> int:
        return self.length

    def read(self) -> bytes:
        """The bytes."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.length)
        return content.decode("utf-8", "surrogatepass").encode("latin-1") if self.text else content


@dataclass
class StoredArray:
    """An array left in its file; `items` in place of `content` for an array of objects."""

    shape: tuple[int, ...] = ()
    dtype: str = "|u1"
    order: str = "C"
    content: bytes | ByteSpan = b""
    items: list[Any] = field(default_factory=list)

    def load(self) -> np.ndarray:
        """The array, read-only; mapped from the file, so that what is not used is not read.

        Raises:
            LayoutError: an array of objects, or another number of bytes than its shape needs.
        """
        dtype, content = np.dtype(self.dtype), self.content
        if dtype.kind == "O":
            raise LayoutError("expected an array of numbers, got one of objects")
        needed = math.prod(self.shape) * dtype.itemsize
        if isinstance(content, ByteSpan) and (content.text or not needed):
            content = content.read()
        if len(content) != needed:
            raise LayoutError(f"an array of shape {self.shape} has another number of bytes")
        if isinstance(content, ByteSpan):
            where = {"offset": content.offset, "shape": self.shape, "order": self.order}
            return np.memmap(content.path, dtype=dtype, mode="r", **where)  # type: ignore[call-overload]
        return np.ndarray(self.shape, dtype, content, order=self.order)  # type: ignore[call-overload]


def read_array_pickle(path: str | PathLike[str]) -> Any:  # noqa: ANN401  (whatever was pickled)
    """What a pickle holds, with `StoredArray` for arrays, `ByteSpan` for long byte strings.

    Raises:
        LayoutError: no such file, no pickle, or one that holds anything but plain values and
            arrays of numbers and byte strings.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            return _Machine(file, stream).run()
    except _Refused as refused:
        raise LayoutError(
            f"'{file}': expected a pickle of numpy arrays and plain values, got one {refused}; "
            "nothing in it was run"
        ) from refused
    except OSError as error:
        raise LayoutError(f"cannot read '{file}': {error.strerror}") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LayoutError(f"'{file}' is no whole pickle of arrays: {line}") from error


class _Refused(Exception):
    """An operation or name that is not carried out."""


class _Passed(bytes):
    """Stands in for a string that was passed over: nothing, as long as that string."""

    length: int

    def __len__(self) -> int:
        return self.length


class _Stream:
    """A file for `pickletools.genops` that passes over long strings and says where they are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self.passed: tuple[int, int] | None = None
        self.readline, self.tell = file.readline, file.tell

    def read(self, count: int = -1) -> bytes:
        if count < LONG:
            return self._file.read(count)
        offset = self._file.tell()
        if count > self._size - offset:
            return b""  # which genops finds too short
        self._file.seek(count, os.SEEK_CUR)
        self.passed = offset, count
        stand_in = _Passed()
        stand_in.length = count
        return stand_in


@dataclass(frozen=True)
class _Name:
    """Something the pickle would import."""

    name: str


@dataclass
class _Type:
    """A dtype; its byte order comes later, in its state."""

    dtype: np.dtype


_MARK = object()
_BYTES = {"BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8", "BINSTRING"}
_TEXTS = {"BINUNICODE", "BINUNICODE8"}
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT", "STRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", *_BYTES, *_TEXTS,
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "MARK": lambda: _MARK,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """Carries out the operations of one pickle."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.stream = _Stream(file)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:  # noqa: ANN401
        """What the pickle builds."""
        for operation, argument, _ in pickletools.genops(self.stream):  # type: ignore[arg-type]
            passed, self.stream.passed = self.stream.passed, None
            if operation.name == "STOP":
                return self.stack.pop()
            if passed is not None:
                if operation.name not in _BYTES | _TEXTS:
                    raise _Refused(f"with a {operation.name} of {passed[1]} bytes")
                argument = ByteSpan(self.path, *passed, text=operation.name in _TEXTS)
            self._step(operation.name, argument)
        raise ValueError("it has no end")

    def _step(self, name: str, argument: Any) -> None:  # noqa: ANN401
        if name in ("PROTO", "FRAME"):
            return
        if name in _VALUES:
            self.stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(self._take(_TUPLES[name])))
        elif (method := getattr(self, f"_{name.lower()}", None)) is not None:
            method(argument)
        else:
            raise _Refused(f"with the operation {name}")

    def _take(self, count: int) -> list[Any]:
        """The last `count` values, off the stack."""
        if len(self.stack) < count:
            raise ValueError("a value is missing")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def _take_marked(self) -> list[Any]:
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    # Operations, each named as in `pickletools`:

    def _tuple(self, _: None) -> None:
        self.stack.append(tuple(self._take_marked()))

    def _list(self, _: None) -> None:
        self.stack.append(self._take_marked())

    def _dict(self, _: None) -> None:
        values = self._take_marked()
        self.stack.append(dict(zip(values[::2], values[1::2], strict=True)))

    def _append(self, _: None) -> None:
        value = self.stack.pop()
        self.stack[-1].append(value)

    def _appends(self, _: None) -> None:
        values = self._take_marked()
        self.stack[-1].extend(values)

    def _setitem(self, _: None) -> None:
        key, value = self._take(2)
        self.stack[-1].update({key: value})

    def _setitems(self, _: None) -> None:
        values = self._take_marked()
        self.stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _binput(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _binget(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _put = _long_binput = _binput
    _get = _long_binget = _binget

    def _global(self, argument: str) -> None:
        self.stack.append(_Name(argument.replace(" ", ".").replace("numpy._core.", "numpy.core.")))

    def _stack_global(self, _: None) -> None:
        self._global(".".join(self._take(2)))

    def _reduce(self, _: None) -> None:
        called, arguments = self._take(2)
        name = called.name if isinstance(called, _Name) else type(called).__name__
        if name not in _BUILDERS:
            raise _Refused(f"that names {name}")
        self.stack.append(_BUILDERS[name](*arguments))

    def _build(self, _: None) -> None:
        target, state = self._take(2)
        self.stack.append(target)
        if isinstance(target, _Type):
            target.dtype = _known(target.dtype.newbyteorder(">" if state[1] == ">" else "<"))
        elif isinstance(target, StoredArray):
            _, shape, kind, fortran, content = state
            _fill(target, content, kind, shape, "F" if fortran else "C")
        else:
            raise _Refused(f"that gives a state to {type(target).__name__}")


def _known(dtype: np.dtype) -> np.dtype:
    if dtype.kind not in KINDS or dtype.names or dtype.shape:
        raise _Refused(f"with an array of {dtype}")
    return dtype


def _fill(array: StoredArray, content: Any, kind: _Type, shape: Any, order: str) -> None:  # noqa: ANN401
    if not isinstance(kind, _Type) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise _Refused("with an array of unknown type or shape")
    if kind.dtype.kind == "O":
        if not isinstance(content, list):
            raise _Refused("with an array of objects that are not listed")
        array.items = content
    elif isinstance(content, str):  # Python 2's byte string
        content = content.encode("latin-1")
    if isinstance(content, bytes | ByteSpan):
        array.content = content
    elif kind.dtype.kind != "O":
        raise _Refused("with an array without bytes")
    array.shape, array.dtype, array.order = tuple(shape), kind.dtype.str, order


def _dtype(name: str, *_: Any) -> _Type:  # noqa: ANN401
    if not isinstance(name, str):
        raise _Refused("with an array of unknown type")
    return _Type(_known(np.dtype(name)))


def _blank(subtype: Any, *_: Any) -> StoredArray:  # noqa: ANN401
    if subtype != _Name("numpy.ndarray"):
        raise _Refused("with an array of another class")
    return StoredArray()


def _buffered(content: Any, kind: _Type, shape: Any, order: str) -> StoredArray:  # noqa: ANN401
    array = StoredArray()
    _fill(array, content, kind, shape, "F" if order == "F" else "C")
    return array


def _scalar(kind: _Type, content: Any) -> Any:  # noqa: ANN401
    """A number, or the bytes of a byte string."""
    array = StoredArray()
    _fill(array, content, kind, (), "C")
    if kind.dtype.kind == "S":
        return array.content
    return array.load()[()].item()


def _encoded(text: str | ByteSpan, encoding: str) -> bytes | ByteSpan:
    """Bytes as old pickles write them; left in the file, the text of them is."""
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"with a text in {encoding}")
    return text if isinstance(text, ByteSpan) else text.encode("latin-1")


def _bytes(content: Any = b"", *encoding: str) -> bytes | ByteSpan:  # noqa: ANN401
    if encoding:
        return _encoded(content, *encoding)
    if not isinstance(content, bytes | ByteSpan):
        raise _Refused("with bytes made of another thing")
    return content


# What pickles of arrays name, without the underscore of newer numpy's `_core`.
_BUILDERS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _blank,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _buffered,
    "_codecs.encode": _encoded,
    "builtins.bytearray": _bytes,
    "builtins.bytes": _bytes,
    "__builtin__.bytearray": _bytes,
    "__builtin__.bytes": _bytes,
}
