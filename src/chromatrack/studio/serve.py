"""The studio's server: a socket on this machine alone, a token, and the app on it."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from chromatrack.errors import InputError
from chromatrack.studio.app import make_app
from chromatrack.studio.manager import Studio

HOST = "127.0.0.1"
_TRIED = 20  # ports from the one asked for on


def serve(
    path: Path | None,
    *,
    port: int,
    home: Path,
    small_copies: bool = True,
    announce: Callable[[str], None],
) -> None:
    """Serve until a signal ends it.

    Args:
        path: video or project to open first, or None.
        port: to listen on, or the first free one behind it; 0: any.
        small_copies: of long films, so that each of their frames is found at once.
        announce: called with the address, token in it, once the server answers.

    Raises:
        InputError: no port is free, or `path` cannot be opened.
    """
    listening = _bound(port)
    own_port = listening.getsockname()[1]
    token = secrets.token_urlsafe(32)
    studio = Studio(home, small_copies=small_copies)
    config = uvicorn.Config(
        make_app(studio, token=token, port=own_port),
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=1 << 16,
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    server = uvicorn.Server(config)
    failed: list[BaseException] = []

    async def run() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            try:
                if path is not None:
                    await studio.open(path)
                announce(f"http://{HOST}:{own_port}/?token={token}")
            except (InputError, OSError) as error:
                failed.append(error)
                server.should_exit = True
        await serving

    try:
        asyncio.run(run())
    finally:
        listening.close()
    if failed:
        raise failed[0]


def _bound(port: int) -> socket.socket:
    for tried in range(port, min(port + _TRIED, 65536)) if port else [0]:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, tried))
        except OSError:
            listening.close()
            continue
        listening.listen(128)
        return listening
    raise InputError(f"port: none from {port} to {port + _TRIED - 1} is free; name another one")
