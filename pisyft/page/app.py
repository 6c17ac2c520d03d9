"""Serves the page: static files, a door that a token opens, and the sections as server-sent events."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pisyft.page.sections import Sections

SHORTEST_TOKEN = 8
_STATIC = Path(__file__).parent / "static"
_FILES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_LOOK_EVERY_SECONDS = 0.15
_BEAT_EVERY_SECONDS = 2.0
_AFTER_WRONG_TOKEN_SECONDS = 1.0
_LONGEST_ENTRY_BYTES = 1000
_VIEWERS = 200

# Nothing from elsewhere, nothing inline, no text that becomes markup.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Door:
    """Who may see what the page shows: who has the token; without one, whoever calls this machine by its own name.

    The token travels once, in the body of a request, and becomes a cookie that does not tell it.

    Args:
        token: None lets everybody in who calls `localhost`, as programs on this machine do. A web site that has its
            own name point to 127.0.0.1 is not among them.
    """

    def __init__(self, token: str | None = None) -> None:
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise ValueError(f"a token of {len(token)} characters can be guessed: take {SHORTEST_TOKEN} or more")
        self._token = token
        self._pass = token and hmac.new(token.encode(), b"pisyft classroom page", hashlib.sha256).hexdigest()

    def is_open_for(self, request: Request) -> bool:
        """Whether a request may see anything."""
        if self._pass is None:
            return is_loopback(request.url.hostname or "")
        shown = request.cookies.get(self._cookie(request), "")
        return hmac.compare_digest(shown.encode(), self._pass.encode())

    def enter(self, request: Request, token: object, response: Response) -> bool:
        """Give whoever has the token a cookie."""
        given = token.encode() if isinstance(token, str) else b""
        if self._token is None or self._pass is None or not hmac.compare_digest(given, self._token.encode()):
            return False
        response.set_cookie(self._cookie(request), self._pass, httponly=True, samesite="strict")
        return True

    def _cookie(self, request: Request) -> str:
        # Browsers give cookies to all ports of a host.
        return f"pisyft-page-{request.url.port or 80}"


def new_token() -> str:
    """One that nobody guesses."""
    return secrets.token_urlsafe(12)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own name for itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def make_app(
    sections: Sections,
    door: Door,
    on_viewer: Callable[[], object] = lambda: None,
    is_closing: Callable[[], bool] = lambda: False,
) -> ASGIApp:
    """The page as an ASGI application.

    Args:
        on_viewer: called whenever somebody begins to watch.
        is_closing: whether the server is about to stop, and waits for its answers to end.
    """
    viewers = 0

    async def index(request: Request) -> Response:
        return FileResponse(_STATIC / "index.html", media_type="text/html")

    async def static(request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        return FileResponse(_STATIC / name, media_type=_FILES[name])

    async def enter(request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse({"open": door.is_open_for(request)})
        response = JSONResponse({"open": True})
        if door.enter(request, await _token_in(request), response):
            return response
        await asyncio.sleep(_AFTER_WRONG_TOKEN_SECONDS)
        return JSONResponse({"open": False}, status_code=403)

    async def events(request: Request) -> Response:
        nonlocal viewers
        if not door.is_open_for(request):
            return JSONResponse({"open": False}, status_code=403)
        if viewers >= _VIEWERS:
            return JSONResponse({"viewers": viewers}, status_code=503)
        on_viewer()
        return StreamingResponse(stream(), media_type="text/event-stream")

    async def stream() -> AsyncIterator[str]:
        nonlocal viewers
        viewers += 1
        try:
            last, beat = 0, 0.0
            while not is_closing():
                last, changed = sections.since(last)
                if changed:
                    yield f"event: sections\ndata: {changed}\n\n"
                if time.monotonic() - beat >= _BEAT_EVERY_SECONDS:
                    beat = time.monotonic()
                    yield f"event: beat\ndata: {time.time():.3f}\n\n"
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
        finally:
            viewers -= 1

    routes = [
        Route("/", index),
        *(Route(f"/{name}", static) for name in _FILES),
        Route("/enter", enter, methods=["GET", "POST"]),
        Route("/events", events),
    ]
    return _with_headers(Starlette(routes=routes))


async def _token_in(request: Request) -> object:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_ENTRY_BYTES:
            return None
    try:
        return json.loads(body)["token"]
    except (ValueError, TypeError, KeyError):
        return None


def _with_headers(app: ASGIApp) -> ASGIApp:
    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await app(scope, receive, sending if scope["type"] == "http" else send)

    return with_headers


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is a free one.

    Raises:
        OSError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def make_server(sections: Sections, door: Door, on_viewer: Callable[[], object] = lambda: None) -> uvicorn.Server:
    """A server for the page. `run(sockets=[listener])` serves until SIGINT, SIGTERM, or `should_exit` is set.

    Args:
        on_viewer: called whenever somebody begins to watch.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(sections, door, on_viewer, lambda: server.should_exit),
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            limit_concurrency=2 * _VIEWERS,
            timeout_graceful_shutdown=3,
        )
    )
    return server
