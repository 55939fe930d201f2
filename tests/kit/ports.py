"""Free ports of this machine."""

import random
import socket

# Ephemeral ports begin above: the system gives none of these to a client or to port 0.
_RANGE = range(20_000, 30_000)

_given: set[int] = set()


def free_port(preferred: int | None = None, *, also: int = 0) -> int:
    """Return a free port that this process was not given before.

    `preferred` is tried first. With `also`, the port so far above is free as well.
    """
    port = preferred or random.choice(_RANGE)
    while not all(_is_free(number) for number in {port, port + also}):
        port = random.choice(_RANGE)
    _given.update({port, port + also})
    return port


def listens(port: int) -> bool:
    """Tell whether a server accepts connections on this port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_free(port: int) -> bool:
    if port in _given:
        return False
    with socket.socket() as probe:
        # A connection that ended a moment ago does not keep a server from listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
