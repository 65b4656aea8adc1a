"""Pickles of numpy arrays, as data sets are published in, read without running anything of them.

A pickle is a program; unpickling a stranger's file can do anything. Here Python's own unpickler is
given no name to import or call: the few that numpy writes are built here, any other is refused.
Long strings stay in the file: what comes back of a file of gigabytes is small, can be pickled, and
maps an array's bytes only when it is loaded.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

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
            return _Reader(file, stream).load()
    except _Refused as refused:
        raise LayoutError(
            f"'{file}': expected a pickle of numpy arrays and plain values, got one {refused}; "
            "nothing in it was run"
        ) from refused
    except EOFError as error:
        raise LayoutError(f"'{file}' is no whole pickle of arrays: pickle exhausted") from error
    except OSError as error:
        raise LayoutError(f"cannot read '{file}': {error.strerror}") from error
    except _DAMAGE as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LayoutError(f"'{file}' is no whole pickle of arrays: {line}") from error


_DAMAGE = (
    pickle.UnpicklingError, struct.error, ValueError, IndexError, KeyError, TypeError,
    AttributeError, OverflowError, MemoryError,
)  # fmt: skip
"""What damaged bytes make the unpickler raise."""


class _Refused(Exception):
    """An operation or name that is not carried out."""


@dataclass(frozen=True)
class _Name:
    """Something the pickle would import."""

    name: str


@dataclass
class _Type:
    """A dtype; its byte order comes later, in its state."""

    dtype: np.dtype


class _Reader(pickle._Unpickler):
    """Python's unpickler with stand-ins for all that it would import, and long strings left."""

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin-1")
        self.path, self.file = path, file
        self.size = os.fstat(file.fileno()).st_size

    def find_class(self, module: str, name: str) -> _Name:
        """A stand-in; newer numpy's `_core` is called as before."""
        return _Name(f"{module}.{name}".replace("numpy._core.", "numpy.core."))

    def string(self, length: int, encoding: str | None) -> bytes | str | ByteSpan:
        """The next bytes, or text; left in the file where they are many."""
        if length < LONG:
            content = self.file.read(length)
            return content.decode(encoding, "surrogatepass") if encoding else content
        offset = self.file.tell()
        if length > self.size - offset:
            raise EOFError
        self.file.seek(length, os.SEEK_CUR)
        return ByteSpan(self.path, offset, length, text=encoding == "utf-8")

    def reduce(self) -> None:
        """Build what the pickle would have called a function for."""
        arguments, called = self.stack.pop(), self.stack.pop()
        name = called.name if isinstance(called, _Name) else type(called).__name__
        if name not in _BUILDERS:
            raise _Refused(f"that names {name}")
        self.stack.append(_BUILDERS[name](*arguments))

    def build(self) -> None:
        """Give a dtype or array its state."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Type):
            target.dtype = _known(target.dtype.newbyteorder(">" if state[1] == ">" else "<"))
        elif isinstance(target, StoredArray):
            _, shape, kind, fortran, content = state
            _fill(target, content, kind, shape, "F" if fortran else "C")
        else:
            raise _Refused(f"that gives a state to {type(target).__name__}")

    def skip_frame_size(self) -> None:
        """Frames are read as what is in them, so that long strings need not be."""
        self.file.seek(8, os.SEEK_CUR)


def _string(length: str, encoding: str | None = None) -> Callable[[_Reader], None]:
    def load(reader: _Reader) -> None:
        (count,) = struct.unpack(length, reader.file.read(struct.calcsize(length)))
        reader.stack.append(reader.string(count, encoding))

    return load


def _refusal(name: str) -> Callable[[_Reader], None]:
    def refuse(reader: _Reader) -> None:
        raise _Refused(f"with the operation {name}")

    return refuse


_REFUSED = (
    "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX",
    "NEXT_BUFFER", "READONLY_BUFFER", "EMPTY_SET", "FROZENSET", "LONG4",
)  # fmt: skip
_OPERATIONS = {
    **{name: _refusal(name) for name in _REFUSED},
    "REDUCE": _Reader.reduce,
    "BUILD": _Reader.build,
    "FRAME": _Reader.skip_frame_size,
    "BINBYTES": _string("<I"),
    "BINBYTES8": _string("<Q"),
    "BYTEARRAY8": _string("<Q"),
    "BINSTRING": _string("<I", "latin-1"),  # Python 2's byte string
    "BINUNICODE": _string("<I", "utf-8"),
    "BINUNICODE8": _string("<Q", "utf-8"),
}
_Reader.dispatch |= {getattr(pickle, name)[0]: step for name, step in _OPERATIONS.items()}


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
