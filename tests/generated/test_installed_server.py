"""A project's own tests pass on a PostgreSQL server that is installed, such as Debian's."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.ports import free_port
from tests.kit.postgresql import is_ready
from tests.kit.processes import run, user_environment
from tests.kit.projects import Render
from tests.kit.waiting import until

pytestmark = pytest.mark.slow

# Where Debian and those who follow it put each version.
VERSIONS = sorted(
    Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4])
)

TESTS = (
    "tests/test_failover.py",
    "tests/test_migrations.py",
    "tests/test_outages.py",
    "tests/test_services.py",
)


@pytest.fixture
def url() -> Iterator[str]:
    """Run the newest server that is installed, and return its URL."""
    if not VERSIONS:
        pytest.skip("there is no PostgreSQL in /usr/lib/postgresql")
    # Not as root, which the server refuses to be, and not where only root may look.
    user = pwd.getpwnam("postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    folder = Path(tempfile.mkdtemp(prefix="lich-postgresql-", dir="/tmp"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    (folder / "password").write_text("secret")
    os.chown(folder / "password", user.pw_uid, user.pw_gid)
    port = free_port()
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "cwd": folder}
    programs = VERSIONS[-1].parent
    try:
        subprocess.run(
            [
                *(programs / "initdb", "--pgdata", folder / "data", "--no-sync", "--username", "owner"),
                *("--auth", "scram-sha-256", "--pwfile", folder / "password"),
            ],
            check=True, stdout=subprocess.DEVNULL, **as_user,
        )  # fmt: skip
        options = (
            f"port={port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
        )
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *(part for option in options for part in ("-c", option))],
            stderr=subprocess.DEVNULL, **as_user,
        )  # fmt: skip
        try:
            url = f"postgresql://owner:secret@127.0.0.1:{port}/postgres"
            until(lambda: is_ready(url))
            yield url
        finally:
            server.kill()
            server.wait()
    finally:
        shutil.rmtree(folder)


def test_the_tests_of_a_project_pass_on_a_server_that_is_installed(
    url: str, render: Render
) -> None:
    project = render({"task_runner": "none", "database": "postgresql"})
    command = (sys.executable, "-m", "pytest", "-q", *TESTS)
    environment = user_environment() | {"TEST_DATABASE_URL": url}
    tested = run(*command, cwd=project, environment=environment, timeout=300)
    assert " passed" in tested
    assert "skipped" not in tested
