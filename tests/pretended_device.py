"""A device that is not there: tensors that behave as if they were on it, computed on the CPU.

It refuses what a real device refuses: operations on tensors of it and of the CPU together (a single
CPU number is fine, as it is there), and NumPy arrays of its tensors. What is moved, either way, and
every number that Python asks of it (a wait, on a real device) is counted by the place that did it.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import chromatrack

DEVICE = torch.device("meta")
"""What its tensors say they are on; no tensor without content is made while it is on."""

_INDEXED = {
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put_.default,
    torch.ops.aten.index_put.default,
}

_ROOT = f"{Path(chromatrack.__file__).parent}{os.sep}"


class Pretended(torch.Tensor):
    """A tensor on the device; `there` is its content, on the CPU."""

    there: Tensor

    @staticmethod
    def __new__(cls, there: Tensor) -> Pretended:
        with torch.inference_mode(False):  # views of inference tensors are beyond a subclass
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                there.shape,
                strides=there.stride(),
                storage_offset=there.storage_offset(),
                dtype=there.dtype,
                device=DEVICE,
                requires_grad=False,
            )
        made.there = there
        return made

    def __repr__(self, **_: object) -> str:
        return f"Pretended({self.there!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func}: a tensor of the device was used outside PretendedDevice")


class _MadeOfNumbers(TorchFunctionMode):
    """Tensors made of Python's numbers, which no dispatch mode is told of."""

    def __init__(self, asked: Counter[str]) -> None:
        super().__init__()
        self.asked = asked

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.tolist and isinstance(args[0], Pretended):
            self.asked[_place()] += 1
            return args[0].there.tolist()
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], Pretended):
            args = (args[0], _as_tensors(args[1]), *args[2:])
        target = kwargs.get("device")
        if func is Tensor.new_tensor and isinstance(args[0], Pretended) and target is None:
            kwargs["dtype"] = kwargs.get("dtype") or args[0].dtype
            return Pretended(torch.tensor(*args[1:], **kwargs))
        is_made = func in (torch.tensor, torch.as_tensor, torch.asarray)
        if is_made and target is not None and torch.device(target) == DEVICE:
            if isinstance(args[0], Tensor):
                return args[0].to(**kwargs)
            return Pretended(func(*args, **(kwargs | {"device": torch.device("cpu")})))
        return func(*args, **kwargs)


def _as_tensors(index: Any) -> Any:
    """An index with its lists as tensors of the CPU."""
    if isinstance(index, tuple):
        return tuple(map(_as_tensors, index))
    return (
        torch.tensor(index, dtype=None if index else torch.long)
        if isinstance(index, list)
        else index
    )


class PretendedDevice(TorchDispatchMode):
    """While it is on, tensors made on or moved to `DEVICE` are on the pretended device.

    up, down: how often which place moved a tensor of more than one number to and from it.
    asked: how often which place asked for a single number. Places are "module:function".
    """

    def __init__(self) -> None:
        super().__init__()
        self.up: Counter[str] = Counter()
        self.down: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self._numbers = _MadeOfNumbers(self.asked)

    def __enter__(self) -> PretendedDevice:
        self._numbers.__enter__()
        self._autocast = torch.autocast
        torch.autocast = lambda kind, **how: self._autocast(  # pyright: ignore
            "cpu" if kind == DEVICE.type else kind, **how
        )
        super().__enter__()
        return self

    def __exit__(self, *what: Any) -> None:
        super().__exit__(*what)
        torch.autocast = self._autocast  # pyright: ignore
        self._numbers.__exit__(*what)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        names = _names(func)
        if "device" in names[: len(args)]:  # given by position
            at = names.index("device")
            kwargs |= dict(zip(names[at:], args[at:], strict=False))
            args = args[:at]
        given = [*_tensors(args), *_tensors(kwargs)]
        on_it = [x for x in given if isinstance(x, Pretended)]
        assert all(isinstance(x, Pretended) or x.device != DEVICE for x in given), (
            f"{func}: a tensor was made on the device that this file does not know of"
        )
        target = kwargs.get("device")
        if func is torch.ops.aten._local_scalar_dense.default and on_it:
            self.asked[_place()] += 1
            return func(on_it[0].there)
        args, kwargs = _mapped((args, kwargs), lambda x: getattr(x, "there", x))
        if target is not None and torch.device(target) == DEVICE:
            if given and not on_it and given[0].numel() > 1:
                self.up[_place()] += 1
            kwargs["device"] = torch.device("cpu")
            made = func(*args, **kwargs)
            if given and not on_it:  # on another device it is another tensor
                made = made.clone()
            return _mapped(made, Pretended)
        if target is not None and on_it:
            if on_it[0].numel() > 1:
                self.down[_place()] += 1
            else:
                self.asked[_place()] += 1
            return func(*args, **kwargs).clone()
        if not on_it:
            return func(*args, **kwargs)
        if func is torch.ops.aten.copy_.default and len(on_it) < len(given):
            moved = self.up if isinstance(given[0], Pretended) else self.down
            moved[_place()] += 1
        elif func in _INDEXED and isinstance(given[0], Pretended):  # indices of the CPU are fine
            if any(not isinstance(x, Pretended) for x in given):
                self.up[_place()] += 1
        elif any(not isinstance(x, Pretended) and x.dim() > 0 for x in given):
            where = ", ".join(
                f"{tuple(x.shape)} on {'the device' if isinstance(x, Pretended) else 'the CPU'}"
                for x in given
            )
            raise RuntimeError(f"{func}: expected all tensors on one device, got {where}")
        made = func(*args, **kwargs)
        known = {id(x.there): x for x in on_it}  # of operations in place
        return _mapped(made, lambda x: known[id(x)] if id(x) in known else Pretended(x))


@cache
def _names(func: Any) -> list[str]:
    return [one.name for one in func._schema.arguments]


def _tensors(tree: Any) -> Iterator[Tensor]:
    """The tensors among arguments; `torch.utils._pytree` would take most of the time here."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple | dict):
        for one in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(one)


def _mapped(tree: Any, of: Callable[[Tensor], Any]) -> Any:
    """The same with another in each tensor's place."""
    if isinstance(tree, Tensor):
        return of(tree)
    if isinstance(tree, dict):
        return {name: _mapped(one, of) for name, one in tree.items()}
    return type(tree)([_mapped(one, of) for one in tree]) if type(tree) in (list, tuple) else tree


def _place() -> str:
    """The innermost function of the package on the way here."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_ROOT):
            module = path.removeprefix(_ROOT).removesuffix(".py").replace(os.sep, ".")
            return f"{module}:{frame.f_code.co_qualname}"
        frame = frame.f_back
    return "outside"
