"""Ctrl-C, SIGTERM and SIGHUP end a run between two steps, where everything it holds is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from chromatrack.errors import StoppedError


@contextmanager
def asked_to_stop(*, again_ends: bool) -> Iterator[Callable[[], int]]:
    """Yields a function that says which signal has asked for the end: its number, or 0.

    again_ends: a second signal ends the process at once. Not under torchrun, where Ctrl-C comes
    twice, from the terminal and from torchrun. Outside the main thread signals cannot be caught,
    and nothing is changed.
    """
    got = 0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)  # not under nohup
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal got
        got = got or number
        if again_ends:
            restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield lambda: got
    finally:
        restore()


def raise_for(number: int, *, step: int) -> None:
    """End as the signal asks: KeyboardInterrupt for Ctrl-C, else StoppedError."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number:
        name = signal.Signals(number).name
        error = StoppedError(f"stopped by {name} after step {step}; the run is saved: --resume")
        error.exit_code = 128 + number
        raise error
