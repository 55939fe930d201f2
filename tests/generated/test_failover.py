"""An API whose PostgreSQL server restarts, or whose password changes, goes on by itself."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from tests.kit.apart import apart, doors, networks_can_be_had
from tests.kit.ports import free_port, listens
from tests.kit.postgresql import server_pid
from tests.kit.processes import run, stop, user_environment
from tests.kit.projects import Render, migrate
from tests.kit.repository import IN_PROJECT
from tests.kit.waiting import until
from tests.kit.web import request, status

pytestmark = pytest.mark.slow


class Stack:
    """A project's PostgreSQL server, which asks for a password, and its API."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.project = project
        self.port, api = free_port(), free_port()
        self.api = f"http://127.0.0.1:{api}"
        self.passwords = folder / "passwords"
        url = f"postgresql://app@127.0.0.1:{self.port}/app"
        self.environment = user_environment() | {
            "DATA_DIR": str(folder / "data"),
            "DATABASE_URL": url,
            "MAX_SLEEP": "1",
            "PYTHONPATH": str(project),
        }
        self.server = self.start_server()
        self.change_password("old")
        access = folder / "data/postgresql/pg_hba.conf"
        access.write_text(access.read_text().replace("trust", "scram-sha-256"))
        self.stop_server()
        self.environment["DATABASE_URL"] = f"{url}?passfile={self.passwords}"
        self.write_password("old")
        self.server = self.start_server()
        migrate(project, **self.environment)
        serve = ("-m", "uvicorn", "api.main:app", "--port", str(api), "--log-level", "warning")
        self.serving = self.popen(*serve)

    def popen(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, *command], cwd=self.project, env=self.environment)

    def start_server(self) -> subprocess.Popen[bytes]:
        server = self.popen("-m", "dev.database")
        until(lambda: listens(self.port))
        return server

    def stop_server(self) -> None:
        stop(self.server)
        until(lambda: not listens(self.port))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend all processes of the server: its connections stay open, and get no answer."""
        server = server_pid(Path(self.environment["DATA_DIR"]) / "postgresql")
        assert server
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        numbers = [server, *map(int, children)]
        for number in numbers:
            os.kill(number, signal.SIGSTOP)
        try:
            yield
        finally:
            for number in numbers:
                os.kill(number, signal.SIGCONT)

    def write_password(self, password: str) -> None:
        self.passwords.write_text(f"127.0.0.1:{self.port}:*:app:{password}\n")
        self.passwords.chmod(0o600)

    def change_password(self, password: str) -> None:
        """Change the password, and end all connections, which were made with the old one."""

        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        others += " WHERE usename = 'app' AND pid != pg_backend_pid()"

        async def change() -> bool:
            with suppress(OSError, asyncpg.CannotConnectNowError):
                connection = await asyncpg.connect(self.environment["DATABASE_URL"])
                await connection.execute(f"ALTER ROLE app PASSWORD '{password}'")
                await connection.execute(others)
                await connection.close()
                return True
            return False

        until(lambda: asyncio.run(change()))

    def is_ready(self) -> bool:
        return status(f"{self.api}/readyz") == 200

    def has_done(self, job_id: str) -> bool:
        job = request(f"{self.api}/jobs/{job_id}")
        assert job["state"] not in ("failed", "cancelled"), job
        return bool(job["state"] == "succeeded")


@pytest.fixture(scope="module")
def stack(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    project = render({"task_runner": "none", "database": "postgresql"})
    stack = Stack(project, tmp_path_factory.mktemp("stack"))
    try:
        until(stack.is_ready)
        yield stack
    finally:
        stop(stack.serving, signal.SIGKILL)
        stop(stack.server)


def test_a_server_that_restarts_is_waited_for(stack: Stack) -> None:
    stack.stop_server()
    until(lambda: status(f"{stack.api}/readyz") == 503)
    email = {"to": "a@example.com", "subject": "Hi"}
    job_id = str(request(f"{stack.api}/jobs/email", email)["id"])
    until(lambda: request(f"{stack.api}/jobs/{job_id}")["error"])
    stack.server = stack.start_server()
    until(stack.is_ready)
    until(lambda: stack.has_done(job_id))


def test_a_server_that_is_frozen_is_not_waited_for_without_end(stack: Stack) -> None:
    until(stack.is_ready)
    with stack.frozen(), pytest.raises(OSError, match="answered 503"):
        request(f"{stack.api}/jobs/email-unknown")
    until(stack.is_ready)


@pytest.mark.skipif(not networks_can_be_had(), reason="network namespaces cannot be made here")
def test_a_machine_that_is_gone_without_a_word_is_given_up(stack: Stack, tmp_path: Path) -> None:
    program = [sys.executable, str(IN_PROJECT / "lost_network.py")]
    with doors(tmp_path, [stack.port]):
        command = apart(tmp_path, [stack.port], program)
        ends = json.loads(run(*command, cwd=stack.project, environment=stack.environment))
    assert ends == ["DatabaseUnavailable", "DatabaseUnavailable", "committed"]


def test_a_password_that_changed_is_read_for_the_next_connection(stack: Stack) -> None:
    stack.change_password("new")
    with pytest.raises(OSError, match="password authentication failed"):
        request(f"{stack.api}/readyz")
    stack.write_password("new")
    until(stack.is_ready)
