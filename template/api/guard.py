"""Asks for a token and limits the rate of requests, before anything else of a request is read."""

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import ANYBODY, Client
from api.oidc import Provider, ProviderUnavailable
from api.rate_limit import RateLimit
from internal.access import find_key
from internal.config import Settings

UNLIMITED = "/livez"
"""Whoever restarts the API when this does not answer must not be told to come back later."""


class Guard:
    """Answers 401, 429 or 503, or passes a request on with its `Client` in `request.state`."""

    def __init__(self, app: ASGIApp, settings: Settings, public: Iterable[str]) -> None:
        self._app = app
        self._settings = settings
        self._public = [compile_path(path)[0] for path in public]
        self._provider = Provider.of(settings)
        self._rate_limit: RateLimit | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused; pass any other on to the application."""
        if scope["type"] != "lifespan":
            client, refusal = await self._ask(scope)
            if refusal is not None:
                await self._refuse(refusal, scope, receive, send)
                return
            scope.setdefault("state", {})["client"] = client
        await self._app(scope, receive, send)

    async def _ask(self, scope: Scope) -> tuple[Client | None, Response | None]:
        token = _token(scope)
        try:
            client = await self._client(token)
        except ProviderUnavailable as error:
            return None, _answer(503, str(error), {"Retry-After": str(error.retry_after)})
        path = scope["path"]
        if self._settings.limit and path != UNLIMITED:
            who = client.name if client and client.name else _address(scope)
            if pause := await self._counts(self._settings.limit).pause(who):
                sentence = f"Too many requests: come back in {pause} seconds."
                return None, _answer(429, sentence, {"Retry-After": str(pause)})
        if client is None and not any(pattern.match(path) for pattern in self._public):
            challenge = 'Bearer error="invalid_token"' if token else "Bearer"
            sentence = "This needs a valid token: Authorization: Bearer TOKEN."
            return None, _answer(401, sentence, {"WWW-Authenticate": challenge})
        return client, None

    def _counts(self, limit: str) -> RateLimit:
        loop = asyncio.get_running_loop()
        if self._rate_limit is None or self._loop is not loop:
            # Its connections belong to an event loop.
            self._rate_limit, self._loop = RateLimit(limit, self._settings), loop
        return self._rate_limit

    async def _client(self, token: str | None) -> Client | None:
        if not self._settings.asks_for_tokens:
            return ANYBODY
        if not token:
            return None
        if key := find_key(token, self._settings.api_keys):
            return Client(key.name, key.scopes)
        return await self._provider.client(token) if self._provider else None

    async def _refuse(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await response(scope, receive, send)


def _answer(status_code: int, sentence: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"detail": sentence}, status_code, headers)


def _token(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if kind.lower() == "bearer" else None
    return None


def _address(scope: Scope) -> str:
    host: str = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:
        return f"address:{host}"
    # One client of IPv6 has a network of addresses.
    return f"address:{ip_network((address, 64), strict=False) if address.version == 6 else address}"
