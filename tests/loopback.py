"""A small server on the loopback address that sends a file again and again, as a live stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def served_in_a_loop(
    file: Path, *, times: int | None = None, stated_length: int | None = None, pause: float = 0.0
) -> Iterator[str]:
    """The server's address; under any name with `live` in it `file` is sent `times` (for ever).

    stated_length: bytes that are promised, whatever is sent. pause: seconds between two turns.
    """
    content, stopped = file.read_bytes(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "live" not in self.path:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            if stated_length is not None:
                self.send_header("Content-Length", str(stated_length))
            self.end_headers()
            turn = 0
            try:
                while not stopped.is_set() and (times is None or turn < times):
                    self.wfile.write(content)
                    turn += 1
                    stopped.wait(pause)
            except OSError:  # whoever listened has left
                pass

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
