"""HTTP for uvicorn, with an end to slow requests: `uvicorn --http api.protocol:Protocol`."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from internal.config import get_settings

_UNFINISHED = (h11.IDLE, h11.SEND_BODY)
_UNANSWERED = (h11.IDLE, h11.SEND_RESPONSE)

_BODY = b'{"detail":"The request did not arrive in time."}'
_TIMEOUT = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_BODY), _BODY)
)


class Protocol(H11Protocol):
    """Ends a connection whose request is not here `REQUEST_TIMEOUT` seconds after its first byte.

    A client that has sent a part of it is told so, with status 408. Before the first request, and
    after the answer to one whose body did not end, this is so without a byte; between requests
    there is uvicorn's own `--timeout-keep-alive`. A route may give a request `more_time`, which is
    in its `scope` among the extensions.
    """

    _timer: asyncio.TimerHandle | None = None

    # uvicorn declares the argument as narrowly, against asyncio's own declaration.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Go on waiting unless the request is complete."""
        super().data_received(data)
        if self.scope is not None:
            self.scope["extensions"] = {"upload": {"more_time": self._more_time}}
        if self.conn.their_state in _UNFINISHED:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is None:
            timeout = get_settings().request_timeout
            self._timer = self.loop.call_later(timeout, self._give_up)

    def _give_up(self) -> None:
        begun = self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]
        if begun and self.conn.our_state in _UNANSWERED:
            self.transport.write(_TIMEOUT)
        # Who does not send may not read either: what it did not take at once is not waited for.
        self.transport.abort()

    def _more_time(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
