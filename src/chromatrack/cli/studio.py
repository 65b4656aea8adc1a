"""The command that serves the studio, a web app for one person on this machine.

Nothing heavy is imported before it runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from chromatrack.errors import InputError

HOME = Path("~/Chromatrack")
"""Where uploads and the demo go, unless the user says otherwise."""


def studio(
    path: Annotated[Path | None, Positional, arg(metavar="VIDEO|PROJECT")] = None,
    /,
    *,
    port: int = 8760,
    browser: bool = True,
    home: Path = HOME,
    small_copy: bool = True,
) -> int:
    """Mark, track, watch, correct and export in the browser.

    Args:
        path: video, or the folder of a project or of a run; it is opened first.
        port: to serve on, at 127.0.0.1 alone; 0 takes a free one. If it is taken, the next free one
            is used.
        browser: open the browser.
        home: folder for uploads and the demo.
        small_copy: make a small copy of a long film in the background, so that each of its frames
            is found at once (in the folder for caches, 4 GB at most).
    """
    from chromatrack.studio.serve import serve

    if not 0 <= port < 65536:
        raise InputError(f"port: expected a number from 0 to 65535, got {port}")
    if path is not None and not path.exists():
        raise InputError(f"{path}: expected a video or a project, found nothing; check the path")

    def announce(address: str) -> None:
        print(address, flush=True)
        print("chromatrack: the studio runs until Ctrl-C", file=sys.stderr)
        if browser:
            import webbrowser

            webbrowser.open(address)

    serve(path, port=port, home=home.expanduser(), small_copies=small_copy, announce=announce)
    return 0
