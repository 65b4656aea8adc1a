"""The state of a pass through the frames, written down between two frames and taken up again.

Everything a pass remembers comes back to the bit. What belongs to the run (network, marks, video)
is not written but found again in it. Only classes of this package, tensors and plain values are
read, so that a file can do no harm.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.tracking.inference import TrackerRun

_PLAIN = {
    "builtins": {"set", "frozenset", "slice", "range", "complex", "bytearray"},
    "collections": {"deque", "defaultdict", "OrderedDict"},
    "numpy": {"ndarray", "dtype"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.core.numeric": {"_frombuffer"},
}


def shared_by(run: TrackerRun) -> dict[str, object]:
    """What a pass of a run refers to and does not own."""
    decode = run.embedder.decode
    own: dict[str, object] = {"run": run, "encode": run.encode}
    return own if decode is None else own | {"decode": decode}


def dumped_parts(
    state: object, shared: Mapping[str, object] | None = None
) -> list[bytes | memoryview]:
    """State as pieces of bytes, to be written one after the other before anything changes.

    Tensors on the CPU are not copied. shared: objects that are not written, by the name to find
    them by.
    """
    text = io.BytesIO()
    writer = _Writer(text, shared or {})
    writer.dump(state)
    parts = [memoryview(part).cast("B") for part in writer.parts]
    head = pickle.dumps(([part.nbytes for part in parts], text.getvalue()))
    return [head, *parts]


def dumped(state: object, shared: Mapping[str, object] | None = None) -> bytes:
    """`dumped_parts` in one."""
    return b"".join(dumped_parts(state, shared))


def loaded(content: bytes | memoryview, shared: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401
    """The state that `dumped` wrote; what comes behind it is passed over.

    Raises:
        InputError: the bytes are not as it wrote them.
    """
    return loaded_first(content, shared)[0]


def loaded_first(
    content: bytes | memoryview, shared: Mapping[str, object] | None = None
) -> tuple[Any, memoryview]:
    """The state that comes first, and the bytes behind it. Raises InputError as `loaded`."""
    try:
        file = io.BytesIO(content)
        lengths, text = _Reader(file, {}, []).load()
        places = list(accumulate(lengths, initial=file.tell()))
        whole = memoryview(content)
        if len(whole) < places[-1]:
            raise EOFError("it ends too early")
        parts = [whole[a:b] for a, b in pairwise(places)]
        return _Reader(io.BytesIO(text), shared or {}, parts).load(), whole[places[-1] :]
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, EOFError) as error:
        raise InputError(f"state of a run: cannot be read ({error})") from error
    except (AttributeError, ImportError, RuntimeError) as error:
        raise InputError(f"state of a run: is of another version ({error})") from error


class _Writer(pickle.Pickler):
    """Tensors as views of their memory, so that what shared it shares it again."""

    def __init__(self, file: io.BytesIO, shared: Mapping[str, object]) -> None:
        super().__init__(file, protocol=5)
        self.names = {id(value): name for name, value in shared.items()}
        self.parts: list[Any] = []
        self.places: dict[int, int] = {}
        self.kept: list[Tensor] = []  # alive, so that no other takes its place in memory

    def persistent_id(self, obj: object) -> tuple[Any, ...] | None:
        if id(obj) in self.names:
            return ("shared", self.names[id(obj)])
        if not isinstance(obj, Tensor):
            return None
        storage = obj.untyped_storage()
        place = self.places.setdefault(storage.data_ptr(), len(self.parts))
        if place == len(self.parts):
            memory = torch.empty(0, dtype=torch.uint8, device=obj.device).set_(storage)
            self.parts.append(memory.cpu().numpy())
            self.kept.append(memory)
        kind = str(obj.dtype).removeprefix("torch.")
        where = obj.storage_offset(), tuple(obj.shape), obj.stride()
        return ("tensor", place, kind, *where, str(obj.device))


class _Reader(pickle.Unpickler):
    def __init__(
        self, file: io.BytesIO, shared: Mapping[str, object], parts: list[memoryview]
    ) -> None:
        super().__init__(file)
        self.shared, self.parts = shared, parts
        self.memory: dict[int, Tensor] = {}

    def persistent_load(self, pid: tuple[Any, ...]) -> object:
        if pid[0] == "shared":
            return self.shared[pid[1]]
        _, place, kind, offset, shape, stride, device = pid
        if place not in self.memory:
            content = bytearray(self.parts[place])
            memory = torch.empty(len(content), dtype=torch.uint8)  # it begins where products do
            if content:
                memory.copy_(torch.frombuffer(content, dtype=torch.uint8))
            self.memory[place] = memory.to(device)
        dtype = getattr(torch, kind)
        flat = torch.empty(0, dtype=dtype, device=device)
        return flat.set_(self.memory[place].untyped_storage(), offset, shape, stride)

    def find_class(self, module_name: str, global_name: str) -> Any:  # noqa: ANN401
        if (module_name, global_name) == ("builtins", "getattr"):
            return self._method
        if global_name in _PLAIN.get(module_name, ()):
            return super().find_class(module_name, global_name)
        found = None
        if module_name.startswith("chromatrack.") and "." not in global_name:
            found = super().find_class(module_name, global_name)
        if not isinstance(found, type) or found.__module__ != module_name:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not expected here")
        return found

    def _method(self, owner: object, name: str) -> object:
        """A method of one of our objects."""
        if name.startswith("_") or not type(owner).__module__.startswith("chromatrack."):
            raise pickle.UnpicklingError(f"{name} is not expected here")
        return getattr(owner, name)
