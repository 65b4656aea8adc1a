"""Object files of x86-64 Linux brought into memory and called: what compiled loops are kept as.

The compiler itself takes over 100 MiB once it is imported, and it is not needed to run what it
made before. Objects here are of the kind that it makes to run at once: code that may lie anywhere,
with every address in it written out in 64 bits. Whatever is not of that kind is refused.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

Kind = tuple[object, ...]
"""What a loop needs to know of an argument; see `kind_of`."""

_READ_RUN = 1 | 4  # PROT_READ | PROT_EXEC of mmap(2)
_ALLOCATED, _WRITTEN, _NO_BITS, _RELOCATIONS, _UNWIND = 2, 1, 8, 4, 0x70000001
_X86_64, _OBJECT, _ADDRESS = 62, 1, 1  # EM_X86_64, ET_REL, R_X86_64_64
_COMMON = 0xFFF2
"""Section of what any object may hold: numba's environments, from which errors take their text."""

_NOTHING = 64
"""Bytes of zeros that stand for all environments: errors here are numbers."""


class ObjectCodeError(Exception):
    """An object that is damaged or of another kind, or memory that may not hold code."""


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class _Symbol(NamedTuple):
    name: int
    info: int
    other: int
    section: int
    value: int
    size: int


def can_run() -> bool:
    """Whether this machine is of the kind whose objects are read here."""
    is_linux = sys.platform.startswith("linux") and sys.maxsize > 2**32
    return is_linux and sys.byteorder == "little" and _machine() in ("x86_64", "amd64")


def _machine() -> str:
    import platform

    return platform.machine().lower()


class Code:
    """An object file in memory, ready to run; it stays there while this is referred to."""

    def __init__(self, content: bytes) -> None:
        """Raises ObjectCodeError."""
        try:
            self._place(content)
        except (struct.error, IndexError, ValueError, OSError, UnicodeDecodeError) as error:
            raise ObjectCodeError(f"an object file that cannot be read ({error})") from error

    def address(self, name: str) -> int:
        """Where a function begins. Raises ObjectCodeError if there is none of that name."""
        if name not in self._functions:
            raise ObjectCodeError(f"{name}: is not in the object file")
        return self._functions[name]

    def _place(self, content: bytes) -> None:
        head = struct.unpack_from("<16sHHIQQQIHHHHHH", content)
        if head[0][:6] != b"\x7fELF\x02\x01" or head[1:3] != (_OBJECT, _X86_64):
            raise ObjectCodeError("expected an object file of x86-64")
        sections = [
            _Section(*struct.unpack_from("<IIQQQQIIQQ", content, head[6] + 64 * i))
            for i in range(head[12])
        ]
        places, end = {}, 0
        for number, section in enumerate(sections):
            if not section.flags & _ALLOCATED or section.kind == _UNWIND:
                continue  # nothing is thrown through a loop, so nothing has to unwind it
            if section.flags & _WRITTEN:
                raise ObjectCodeError("expected code without memory of its own")
            end += -end % max(1, section.align)
            places[number] = end
            end += section.size
        self._nothing = end = end + -end % 8
        self._memory = mmap.mmap(-1, end + _NOTHING)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        for number, place in places.items():
            section = sections[number]
            if section.kind != _NO_BITS:
                part = content[section.offset : section.offset + section.size]
                self._memory[place : place + section.size] = part
        self._functions: dict[str, int] = {}
        for section in sections:
            if section.kind == _RELOCATIONS and section.info in places:
                self._relocate(content, sections, section, places, start)
        table = next(section for section in sections if section.kind == 2)
        for symbol, name in _symbols(content, sections, table):
            if symbol.section in places and symbol.info & 15 == 2:
                self._functions[name] = start + places[symbol.section] + symbol.value
        libc = ctypes.CDLL(None, use_errno=True)
        length = ctypes.c_size_t(len(self._memory))
        if libc.mprotect(ctypes.c_void_p(start), length, _READ_RUN):
            raise ObjectCodeError(f"memory may not hold code (error {ctypes.get_errno()})")

    def _relocate(
        self,
        content: bytes,
        sections: list[_Section],
        section: _Section,
        places: dict[int, int],
        start: int,
    ) -> None:
        """Write out the addresses in one section."""
        symbols = _symbols(content, sections, sections[section.link])
        into, size = places[section.info], sections[section.info].size
        for at in range(section.offset, section.offset + section.size, 24):
            offset, info, more = struct.unpack_from("<QQq", content, at)
            symbol, name = symbols[info >> 32]
            if info & 0xFFFFFFFF != _ADDRESS or offset + 8 > size:
                raise ObjectCodeError(f"an address of another kind ({info & 0xFFFFFFFF})")
            if symbol.section in places:
                value = start + places[symbol.section] + symbol.value
            elif symbol.section == _COMMON and symbol.size <= _NOTHING:
                value = start + self._nothing
            elif symbol.section == 0 and name:
                value = _of_libraries(name)
            else:
                raise ObjectCodeError(f"{name}: is nowhere")
            struct.pack_into("<Q", self._memory, into + offset, (value + more) % 2**64)


def _symbols(
    content: bytes, sections: list[_Section], table: _Section
) -> list[tuple[_Symbol, str]]:
    names = sections[table.link]
    text = content[names.offset : names.offset + names.size]
    found = []
    for at in range(table.offset, table.offset + table.size, 24):
        symbol = _Symbol(*struct.unpack_from("<IBBHQQ", content, at))
        found.append((symbol, text[symbol.name : text.index(b"\0", symbol.name)].decode()))
    return found


@cache
def _libraries() -> list[ctypes.CDLL]:
    return [ctypes.CDLL(None), ctypes.CDLL("libm.so.6")]


@cache
def _of_libraries(name: str) -> int:
    """Address of a function of the C library."""
    for library in _libraries():
        if (found := getattr(library, name, None)) is not None:
            address = ctypes.cast(found, ctypes.c_void_p).value
            assert address is not None
            return address
    raise ObjectCodeError(f"{name}: is not in the C library")


# -- how the compiler's functions are called ---------------------------------------------------

_NUMBERS: dict[str, type[ctypes._SimpleCData]] = {  # pyright: ignore[reportPrivateUsage]
    "bool": ctypes.c_bool,
    "int64": ctypes.c_int64,
    "uint64": ctypes.c_uint64,
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}


def kind_of(value: object) -> Kind | None:
    """The kind of an argument: arrays and numbers of the same kind run the same code.

    None: no argument of an object here.
    """
    if isinstance(value, np.ndarray):
        flags, dtype = value.flags, value.dtype
        if not dtype.isnative or dtype.kind not in "biuf" or type(value) is not np.ndarray:
            return None
        layout = "C" if flags.c_contiguous else "F" if flags.f_contiguous else "A"
        return _name(dtype.char), value.ndim, layout, flags.aligned, flags.writeable
    kind = type(value)
    if kind in (bool, int, float):
        return ("bool" if kind is bool else "int64" if kind is int else "float64",)
    if isinstance(value, np.generic) and value.dtype.name in _NUMBERS:
        return (value.dtype.name,)
    return None


@cache
def _name(char: str) -> str:
    return np.dtype(char).name


def function(code: Code, name: str, kinds: tuple[Kind, ...]) -> Callable[..., None]:
    """A function of arrays and numbers that gives nothing back, as numba compiles it.

    It takes where to put its result and its error, then of every array its owner (twice), counts of
    items and bytes, address, sides and strides. It runs beside Python.
    """
    types: list[type] = [ctypes.c_void_p, ctypes.c_void_p]
    for kind in kinds:
        if len(kind) != 1:
            ndim = kind[1]
            assert isinstance(ndim, int)
            types += [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
            types += [ctypes.c_void_p, *[ctypes.c_int64] * (2 * ndim)]
        else:
            types.append(_NUMBERS[str(kind[0])])
    call = ctypes.CFUNCTYPE(ctypes.c_int32, *types)(code.address(name))

    def run(*arguments: object) -> None:
        outcome = (ctypes.c_void_p * 2)()
        at = ctypes.addressof(outcome)
        flat: list[object] = [at, at + 8]
        for value in arguments:
            if isinstance(value, np.ndarray):
                flat += (None, None, value.size, value.itemsize, value.ctypes.data)
                flat += value.shape
                flat += value.strides
            else:
                flat.append(value if isinstance(value, int | float) else value.item())  # pyright: ignore[reportAttributeAccessIssue]
        if call(*flat) not in (0, -2):  # done, done with None
            raise RuntimeError(f"a compiled loop failed: {name}")

    run.code = code  # pyright: ignore[reportFunctionMemberAccess]  (it must not go before)
    return run
