"""Long work: how far it is, as a callback, and an orderly end by Ctrl-C and other signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from chromatrack.errors import Interrupted

Report = Callable[[str, int, int | None], None]
"""Called as report(what is being done, frames done, frames in all or None if not known)."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_NUMBERS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C, SIGTERM or SIGHUP end a loop between two frames, where what is written is whole.

    Yields a function to call after each frame; once a signal came it raises KeyboardInterrupt, or
    `Interrupted`, which is one, for the others. A second one before that ends the frame at once;
    after it, while results are being finished, it is ignored. Outside the main thread, and for
    signals that the program ignores or has its own handler of, nothing is changed.
    """
    asked, is_ending = 0, False

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal asked, is_ending
        if asked and not is_ending:
            is_ending = True
            raise by_signal(number)
        asked = asked or number

    def check() -> None:
        nonlocal is_ending
        if asked:
            is_ending = True
            raise by_signal(asked)

    with _handled_by(handle):
        yield check


@contextmanager
def end_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Interrupted` anywhere in the block, so that it ends in order.

    Ctrl-C does already. Signals that are ignored, as under `nohup`, stay so.
    """
    with _handled_by(_raise):
        yield


def by_signal(number: int) -> KeyboardInterrupt:
    """What to raise for a signal; only others than Ctrl-C are told apart from it."""
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    return Interrupted(f"stopped by {signal.Signals(number).name}", exit_code=128 + number)


def told(error: KeyboardInterrupt, what: str) -> KeyboardInterrupt:
    """The same interruption, saying by what and `what` is left: "interrupted after 3 frames"."""
    how = str(error) or "interrupted"
    text = how + ("" if what[0] in ",;" else " ") + what
    if isinstance(error, Interrupted):
        return Interrupted(text, exit_code=error.exit_code)
    return KeyboardInterrupt(text)


def _raise(number: int, _: FrameType | None) -> None:
    raise by_signal(number)


@contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual: tuple[Any, ...] = (signal.default_int_handler, signal.SIG_DFL, _raise)
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    before = {number: handler for number, handler in before.items() if handler in usual}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
