"""What the tests need of the database: a PostgreSQL server, and databases with all tables.

With `TEST_DATABASE_URL`, the server is that one: its user must be allowed to make databases.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

from dev.database import prepare, start
from internal.config import get_settings
from tests.conftest import free_port

ALEMBIC = Config(Path(__file__).parent.parent / "alembic.ini")

STARTING = (OSError, asyncpg.CannotConnectNowError)

# Nothing has to outlive a crash of the machine.
IN_A_HURRY = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


class Databases:
    """Makes databases on a server, by copies of one that is made by the migrations."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.names: list[str] = []

    def make(self, template: str = "template0") -> str:
        """Make a database, and return its name."""
        self.names.append(f"test_{uuid4().hex}")
        self.execute(f'CREATE DATABASE {self.names[-1]} TEMPLATE "{template}"')
        return self.names[-1]

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return make_url(self.server).set(database=name).render_as_string(hide_password=False)

    @contextmanager
    def outage(self, url: str) -> Iterator[None]:
        """Let a database end all connections, and take none, until the block ends."""
        name = make_url(url).database
        self.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            self.disconnect(url)
            yield
        finally:
            self.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def disconnect(self, url: str) -> None:
        """Let a database end all connections."""
        name = make_url(url).database
        self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )

    def execute(self, statement: str) -> None:
        """Do something that is no part of a transaction."""

        async def execute() -> None:
            connection = await asyncpg.connect(self.server)
            await connection.execute(statement)
            await connection.close()

        asyncio.run(execute())


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server, and return its URL."""
    url = f"postgresql://test@127.0.0.1:{free_port()}/test"
    prepare(url, folder)
    with start(url, folder, *IN_A_HURRY, stderr=subprocess.DEVNULL) as running:
        try:
            asyncio.run(_until_it_answers(url))
            yield url
        finally:
            running.kill()


async def _until_it_answers(url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await (await asyncpg.connect(url)).close()
                return
            except STARTING:
                await asyncio.sleep(0.05)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Return what makes databases, and delete at the end what it has made."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        databases = Databases(url)
        yield databases
        for name in databases.names:
            databases.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    else:
        with server(tmp_path_factory.mktemp("postgresql") / "data") as url:
            yield Databases(url)


@pytest.fixture(scope="session")
def empty_database(environment: pytest.MonkeyPatch, databases: Databases) -> str:
    """Make a database with all tables and no rows, by the migrations, and return its name."""
    name = databases.make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", databases.url(name))
        get_settings.cache_clear()
        command.upgrade(ALEMBIC, "heads")
    get_settings.cache_clear()
    return name


@pytest.fixture(scope="session", autouse=True)
def database(environment: pytest.MonkeyPatch, databases: Databases, empty_database: str) -> None:
    """Make the database of the API, and of the processes that tests start."""
    environment.setenv("DATABASE_URL", databases.url(databases.make(empty_database)))
    get_settings.cache_clear()


@pytest.fixture
def own_database(databases: Databases, empty_database: str) -> str:
    """Make a database of the test's own, and return its URL."""
    return databases.url(databases.make(empty_database))


@pytest.fixture
def absent_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process look for its database where there is none."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://test@127.0.0.1:{free_port()}/test")
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()
