"""Long work: how far it is, as a callback, and an orderly Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[str, int, int | None], None]
"""Called as report(what is being done, frames done, frames in all or None if not known)."""


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C end a loop between two frames, where everything written so far is whole.

    Yields a function to call after each frame; it raises KeyboardInterrupt once Ctrl-C was pressed.
    Pressed again before that, Ctrl-C ends the frame at once; after it, while results are being
    finished, it is ignored. Outside the main thread, or where the program has its own handler of
    Ctrl-C, nothing is changed.
    """
    is_asked = is_ending = False

    def handle(*_: object) -> None:
        nonlocal is_asked, is_ending
        if is_asked and not is_ending:
            is_ending = True
            raise KeyboardInterrupt
        is_asked = True

    def check() -> None:
        nonlocal is_ending
        if is_asked:
            is_ending = True
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
