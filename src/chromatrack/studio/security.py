"""Who may talk to the studio: the browser that was given the token, on this machine.

Host and Origin are checked, so that no other site can reach it through the browser (DNS rebinding,
cross-site requests). Requests larger than allowed are refused before they are read.
"""

from __future__ import annotations

import asyncio
import html
import json
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 48 << 20
"""Bytes of any request but an upload."""

MOST_UPLOAD = 4 << 30
"""Bytes of an uploaded video."""

UPLOAD = "/api/upload"

_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


_OLD = "this address is of a studio that has ended; open the one that was printed last"
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Chromatrack</title>'
    '<meta name="color-scheme" content="light dark"><style>body {{ font: 16px/1.5 system-ui, '
    "sans-serif; max-width: 34em; margin: 20vh auto; padding: 0 1.5em }}</style>"
    "<h1>Chromatrack</h1><p>{}.</p>"
    "<p>It stands in the window in which the studio was started; or start it anew there: "
    "<code>chromatrack studio</code></p>"
)


class TooLargeError(Exception):
    """A request turned out larger than it may be."""


class Gate:
    """An ASGI app that lets through to another one what may come through."""

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        """token: of the session. port: that the server listens on."""
        self._app, self._token = app, token
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._cookie = f"chromatrack-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is not None:
            await _refuse(scope, receive, send, *refused)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        if scope["path"] == "/" and b"token=" in scope["query_string"]:
            await self._let_in(scope, send)
            return
        limit = MOST_UPLOAD if scope["path"] == UPLOAD else MOST_BODY
        length = _header(scope, b"content-length")
        if length is not None and (not length.isdecimal() or int(length) > limit):
            text = (
                f"expected a request of at most {limit >> 20} MB, got {int(length) >> 20} MB"
                if (length.isdecimal())
                else "expected a length in numbers"
            )
            await _refuse(scope, receive, send, 413, text)
            return
        await self._pass(scope, receive, send, limit)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        host = _header(scope, b"host")
        if host not in self._hosts:
            return 403, "expected this machine as host; open the address that was printed"
        origin = _header(scope, b"origin")
        if origin is not None and origin not in {f"http://{name}" for name in self._hosts}:
            return 403, "requests of other sites are refused"
        if scope["type"] == "http" and scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
            if given is not None:
                return None if self._is_token(given[0]) else (401, _OLD)
        if not self._has_cookie(scope):
            return 401, "open the address that `chromatrack studio` printed, with its token"
        return None

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _has_cookie(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name != b"cookie":
                continue
            cookies: SimpleCookie = SimpleCookie()
            try:
                cookies.load(value.decode("latin-1"))
            except CookieError:
                continue
            if self._cookie in cookies and self._is_token(cookies[self._cookie].value):
                return True
        return False

    async def _let_in(self, scope: Scope, send: Send) -> None:
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
        headers += [*_HEADERS, (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _pass(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        got, has_begun = 0, False
        text = f"expected a request of at most {limit >> 20} MB"

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > limit:
                raise TooLargeError(text)
            return message

        async def guarded(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
            await send(message)

        try:
            await self._app(scope, counted, guarded)
        except TooLargeError:
            if not has_begun:
                await _refuse(scope, receive, send, 413, text)
        except asyncio.CancelledError:  # uvicorn ends what is still being answered
            if not has_begun:
                await _refuse(scope, receive, send, 503, "the studio is being closed")


def _header(scope: Scope, name: bytes) -> str | None:
    found = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return found[0] if len(found) == 1 else "several" if found else None


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    kind, body = b"application/json", json.dumps({"error": text}, allow_nan=False).encode()
    if status == 401 and "text/html" in (_header(scope, b"accept") or ""):  # to be read
        shown = html.escape(text[0].upper() + text[1:])
        kind, body = b"text/html; charset=utf-8", _PAGE.format(shown).encode()
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *_HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
