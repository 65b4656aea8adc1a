"""Compiled loops kept on disk, so that a process that only runs them needs no compiler.

The first process that calls a loop with arguments of some kind compiles it (numba's front, LLVM's
passes), writes its machine code, and calls it as later ones do (`object_code`): these import
neither numba nor LLVM, about 120 MiB and most of a second. Numba's own way, which wraps every loop
for calls from Python and C and keeps a cache of its own, is taken only where that cannot be.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from chromatrack.atomic import replace_file
from chromatrack.caches import cache_folder
from chromatrack.errors import OutputError
from chromatrack.ops.object_code import Code, Kind, ObjectCodeError, can_run, function, kind_of

_FORMAT = "1"
_MAGIC = b"chromatrack loop\n"
_LOCK = RLock()

_MEMORY = """
declare i8* @malloc(i64)
declare void @free(i8*)

define i8* @NRT_Allocate(i64 %size) {
  %1 = call i8* @malloc(i64 %size)
  ret i8* %1
}

define void @NRT_Free(i8* %what) {
  call void @free(i8* %what)
  ret void
}

define i8* @NRT_MemInfo_alloc_aligned(i64 %size, i32 %align) {
  %wide = zext i32 %align to i64
  %some = add i64 %size, %wide
  %all = add i64 %some, 48
  %block = call i8* @malloc(i64 %all)
  %none = icmp eq i8* %block, null
  br i1 %none, label %end, label %made
made:
  %start = ptrtoint i8* %block to i64
  %after = add i64 %start, 48
  %up = add i64 %after, %wide
  %less = sub i64 %up, 1
  %mask = sub i64 0, %wide
  %data = and i64 %less, %mask
  %fields = bitcast i8* %block to i64*
  store i64 1, i64* %fields
  %f1 = getelementptr i64, i64* %fields, i64 1
  store i64 0, i64* %f1
  %f2 = getelementptr i64, i64* %fields, i64 2
  store i64 0, i64* %f2
  %f3 = getelementptr i64, i64* %fields, i64 3
  store i64 %data, i64* %f3
  %f4 = getelementptr i64, i64* %fields, i64 4
  store i64 %size, i64* %f4
  %f5 = getelementptr i64, i64* %fields, i64 5
  store i64 0, i64* %f5
  br label %end
end:
  ret i8* %block
}

define i8* @NRT_MemInfo_alloc(i64 %size) {
  %1 = call i8* @NRT_MemInfo_alloc_aligned(i64 %size, i32 16)
  ret i8* %1
}

define void @NRT_MemInfo_call_dtor(i8* %block) {
  call void @free(i8* %block)
  ret void
}
"""
"""Memory of arrays that a loop makes for itself, of the C library, laid out as numba's MemInfo:
count of owners, what to call when it goes (nothing), for whom, where the items are, bytes, whose.
"""


class KeptLoop:
    """A function of arrays and numbers, compiled at its first call and kept on disk."""

    def __init__(
        self, plain: Callable[..., None], prepare: Callable[[], None] | None = None
    ) -> None:
        """prepare: tells the compiler of functions that `plain` calls; its file is source, too."""
        self._plain = plain
        self._prepare = prepare
        self._is_prepared = prepare is None
        self._ready: dict[tuple[Kind | None, ...], Callable[..., None]] = {}
        self._compiler: Any = None  # numba's, once it was needed

    def __call__(self, *arguments: object) -> None:
        """Run it."""
        kinds = tuple(map(kind_of, arguments))
        run = self._ready.get(kinds)
        if run is None:
            with _LOCK:
                run = self._ready[kinds] = self._ready.get(kinds) or self._made(kinds, arguments)
        run(*arguments)

    def _made(
        self, kinds: tuple[Kind | None, ...], arguments: tuple[object, ...]
    ) -> Callable[..., None]:
        """What runs it: kept code, or the compiler's, which is kept for others if it can be."""
        known = tuple(kind for kind in kinds if kind is not None)
        if len(known) < len(kinds) or not can_keep():
            return self._by_compiler()
        path = _place(self._plain, known, prepare=self._prepare)
        if path is None:
            return self._by_compiler()
        try:
            return _read(path, known)
        except _CannotBeKeptError:
            return self._by_compiler()
        except (OSError, ObjectCodeError):
            pass
        try:
            self._tell_compiler()
            name, code = _compiled(self._plain, arguments)
            made = function(Code(code), name, known)
        except ObjectCodeError:
            with suppress(OutputError):
                replace_file(path, _MAGIC)
            return self._by_compiler()
        with suppress(OutputError):  # what is not kept is compiled again by the next process
            replace_file(path, _written(name, code))
        return made

    def _by_compiler(self) -> Callable[..., None]:
        if self._compiler is None:
            self._tell_compiler()
            self._compiler = _dispatcher(self._plain)
            with suppress(RuntimeError):  # no folder to keep it in: compiled in every process
                self._compiler.enable_caching()
        return self._compiler

    def _tell_compiler(self) -> None:
        if self._prepare is not None and not self._is_prepared:
            self._prepare()
            self._is_prepared = True


def calling(*parts: Callable[..., None]) -> Callable[[], None]:
    """What tells the compiler of functions of its own file that a loop calls."""

    def tell() -> None:
        from numba.extending import register_jitable

        for part in parts:
            register_jitable(part)

    return tell


_OPTIONS = {"nogil": True, "fastmath": True}


def _dispatcher(plain: Callable[..., None]) -> Any:  # noqa: ANN401
    import numba

    compiler: Any = numba.njit
    return compiler(**_OPTIONS)(plain)


TESTED = ("0.68",)
"""Releases of numba whose arguments and arrays are laid out as is told here and in `object_code`.
With any other one, numba does all, as slowly to load as it is."""


@cache
def can_keep() -> bool:
    """Whether loops are kept as machine code; not where the user told numba not to compile."""
    told = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
    with suppress(PackageNotFoundError):
        return can_run() and told and version("numba").rpartition(".")[0] in TESTED
    return False


class _CannotBeKeptError(Exception):
    """Another process found that a loop cannot be kept."""


def _read(path: Path, kinds: tuple[Kind, ...]) -> Callable[..., None]:
    """The loop in a file. Raises OSError or ObjectCodeError where there is none that is whole."""
    content = path.read_bytes()
    if content == _MAGIC:
        raise _CannotBeKeptError
    head, check, name, code = (content.split(b"\n", 3) + [b""] * 3)[:4]
    if head + b"\n" != _MAGIC or check.decode("ascii", "replace") != _digest(name + code):
        raise ObjectCodeError(f"{path}: is damaged")
    return function(Code(code), name.decode(), kinds)


def _written(name: str, code: bytes) -> bytes:
    """The file of a loop."""
    return _MAGIC + _digest(name.encode() + code).encode() + b"\n" + name.encode() + b"\n" + code


def _compiled(plain: Callable[..., None], arguments: tuple[object, ...]) -> tuple[str, bytes]:
    """A loop's name and object file, for arguments of these kinds.

    Once through the compiler, and without what numba makes for itself: wrappers, and code in
    memory of its own. Raises ObjectCodeError if it cannot be.
    """
    import llvmlite.binding as llvm
    from numba import typeof
    from numba.core import compiler, errors, registry
    from numba.core.compiler_lock import global_compiler_lock

    flags: Any = compiler.Flags()
    target: Any = registry.cpu_target
    target.options.parse_as_flags(flags, {"nopython": True, **_OPTIONS})
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    contexts = target.typing_context, target.target_context
    for context in contexts:
        context.refresh()  # functions that were told of
    types = tuple(map(typeof, arguments))
    try:
        with global_compiler_lock:
            found = compiler.compile_extra(*contexts, plain, types, None, flags, {})
            name, library = found.fndesc.llvm_func_name, found.library
            module = library._final_module
            for other in dict.fromkeys(library._linking_libraries):
                module.link_in(other._get_module_for_linking(), preserve=True)
            module.link_in(llvm.parse_assembly(_MEMORY))
            for part in module.functions:
                if not part.is_declaration and part.name != name:
                    part.linkage = "internal"
            library._optimize_final_module()
            passes = llvm.create_new_module_pass_manager()
            passes.add_global_dead_code_eliminate_pass()
            machine = library.codegen._tm
            tuning = llvm.create_pipeline_tuning_options()
            passes.run(module, llvm.create_pass_builder(machine, tuning))
            return name, machine.emit_object(module)
    except (errors.NumbaError, RuntimeError, AttributeError, NameError) as error:
        raise ObjectCodeError(f"{plain.__qualname__}: cannot be kept ({error})") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# -- which file ------------------------------------------------------------------------------


def _place(
    plain: Callable[..., None],
    kinds: tuple[Kind, ...],
    *,
    prepare: Callable[[], None] | None = None,
) -> Path | None:
    """The file of a loop for arguments of some kinds; None: there is no folder for it.

    Its name tells all that the code depends on: source, numbers that it takes from around it,
    compiler and machine.
    """
    code = plain.__code__
    source = Path(code.co_filename)
    folder = _folder(source.parent)
    try:
        text = _source_digest(source)
        if prepare is not None:
            text += _source_digest(Path(prepare.__code__.co_filename))
    except OSError:
        return None
    if folder is None:
        return None
    around = {name: plain.__globals__[name] for name in code.co_names if name in plain.__globals__}
    for name, cell in zip(code.co_freevars, plain.__closure__ or (), strict=True):
        around[name] = cell.cell_contents
    numbers = sorted((n, repr(x)) for n, x in around.items() if isinstance(x, _NUMBERS))
    told = (_FORMAT, text, plain.__qualname__, numbers, kinds, _machine())
    name = f"{source.stem}.{code.co_name}-{code.co_firstlineno}.{_digest(repr(told).encode())[:24]}"
    return folder / f"{name}.loop"


_NUMBERS = (bool, int, float, np.generic)


@cache
def _source_digest(source: Path) -> str:
    return _digest(source.read_bytes())


@cache
def _machine() -> str:
    """The compiler and the processor that code is made for."""
    lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    told = [x.strip() for n, x in fields.items() if n.strip() in ("model name", "model", "flags")]
    asked = sorted((n, x) for n, x in os.environ.items() if n.startswith("NUMBA_"))
    return repr((version("numba"), version("llvmlite"), told, asked))


@cache
def _folder(source: Path) -> Path | None:
    """Where files lie: as numba's cache does, beside the source or in the user's own folder."""
    wanted = os.environ.get("NUMBA_CACHE_DIR")
    choices = [Path(wanted)] if wanted else [source / "__pycache__", cache_folder()]
    for folder in choices:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    return None
