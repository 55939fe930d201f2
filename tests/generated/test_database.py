"""The database of a project: its migrations, and the way from SQLite to PostgreSQL."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.kit.answers import Answers
from tests.kit.ports import free_port
from tests.kit.postgresql import is_ready
from tests.kit.processes import CommandFailed, run, stop, user_environment
from tests.kit.projects import migrate, render
from tests.kit.repository import BIN, IN_PROJECT, LICH, PYTHON_VERSION, ROOT
from tests.kit.trees import Tree
from tests.kit.waiting import until

pytestmark = pytest.mark.slow

# As the first versions of the template made them, each at its first use.
EARLIER_TABLES = """
CREATE TABLE contacts (email TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE imports (
    id TEXT PRIMARY KEY,
    rows_done INTEGER NOT NULL,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE deliveries (
    message_id TEXT PRIMARY KEY,
    delivered_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO contacts VALUES ('ada@example.com', 'Ada');
INSERT INTO imports (id, rows_done) VALUES ('import-1', 7);
INSERT INTO deliveries (message_id) VALUES ('<k@example.com>');
"""

VERSIONS = "SELECT version_num FROM alembic_version ORDER BY version_num"

WAITING_JOB = """
INSERT INTO outbox (id, kind, key, input, due) VALUES (
    'email-k', 'email', 'k', '{"to": "a@example.com", "subject": "Hi"}', '2026-01-01 00:00:00.000000'
);
"""

HAND_OVER = """
import asyncio
from internal.runner import get

async with asyncio.timeout(30):
    while (await get("email-k")).state != "succeeded":
        await asyncio.sleep(0.05)
"""

FAILING = '''"""One that does half of what it should."""

from alembic import op

revision = "failing"
down_revision = "app_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE half (id INTEGER)")
    op.execute("INSERT INTO contacts VALUES ('b@example.com', 'B')")
    raise OSError("enough")
'''


@pytest.fixture
def project(tmp_path: Path) -> Tree:
    """A project without a task runner, with SQLite."""
    python = f"python_version={PYTHON_VERSION}"
    run(*LICH, "init", tmp_path / "project", "-l", "-t", "none", "-d", python, cwd=ROOT)
    return Tree(tmp_path / "project", init=False)


def records(project: Tree, statement: str) -> list[tuple[object, ...]]:
    """Return what the project's SQLite file answers."""
    with closing(sqlite3.connect(project.path / "data/app.db")) as database:
        return list(database.execute(statement))


def test_a_database_of_an_earlier_release_keeps_its_rows(project: Tree) -> None:
    (project.path / "data").mkdir()
    with closing(sqlite3.connect(project.path / "data/app.db")) as database:
        database.executescript(EARLIER_TABLES)
    migrate(project.path)

    assert records(project, "SELECT * FROM contacts") == [("ada@example.com", "Ada")]
    assert records(project, "SELECT id, rows_done FROM imports") == [("import-1", 7)]
    assert records(project, "SELECT message_id FROM deliveries") == [("<k@example.com>",)]
    run(BIN / "alembic", "check", cwd=project.path, environment=user_environment())


def test_a_migration_that_fails_leaves_the_file_as_it_was_and_nothing_starts(project: Tree) -> None:
    migrate(project.path)
    before = records(project, "SELECT name, sql FROM sqlite_master ORDER BY name")
    versions = records(project, VERSIONS)
    path = project.path / "migrations/app/failing.py"
    path.write_text(FAILING)

    with pytest.raises(CommandFailed, match="enough"):
        migrate(project.path)
    assert records(project, "SELECT name, sql FROM sqlite_master ORDER BY name") == before
    assert records(project, "SELECT * FROM contacts") == []
    assert records(project, VERSIONS) == versions

    processes = dict(line.split(": ", 1) for line in project.read("Procfile").splitlines())
    starting = user_environment() | {"API_PORT": str(free_port())}
    starting["PATH"] = f"{BIN}:{starting['PATH']}"
    with pytest.raises(CommandFailed, match="enough"):
        run("sh", "-c", processes["api"], cwd=project.path, environment=starting, timeout=60)


def migrate_at_once(project: Path, **environment: str) -> None:
    """Let three processes migrate one database, of which one must do it."""
    command = [BIN / "alembic", "upgrade", "heads"]
    running = [
        subprocess.Popen(
            command, cwd=project, env=user_environment() | environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    logs = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 3, logs
    assert sum("-> template_0001" in log for log in logs) == 1


def test_of_many_that_migrate_a_file_at_once_one_does(project: Tree) -> None:
    migrate_at_once(project.path)


class Server:
    """A project with PostgreSQL, and its server of development."""

    def __init__(self, project: Path, url: str) -> None:
        self.project = project
        self._url = url
        self._databases = 0

    def make_database(self) -> str:
        """Make an empty database, and return its URL."""
        self._databases += 1
        self.records(self._url, f"CREATE DATABASE database_{self._databases}")
        return urlsplit(self._url)._replace(path=f"/database_{self._databases}").geturl()

    @staticmethod
    def records(url: str, statement: str) -> list[tuple[object, ...]]:
        """Return what a database answers."""

        async def fetch() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(url)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(fetch())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    answers: Answers = {"task_runner": "none", "database": "postgresql"}
    project = render(tmp_path_factory.mktemp("postgresql") / "project", answers)
    port = free_port()
    url = f"postgresql://sample@127.0.0.1:{port}/sample"
    environment = user_environment() | {"DATABASE_URL": url, "PYTHONPATH": str(project)}
    running = subprocess.Popen(
        [sys.executable, "-m", "dev.database"], cwd=project, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: is_ready(url))
        yield Server(project, url)
    finally:
        stop(running)


TABLES = """
SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY 1, 2
"""


def test_a_migration_that_fails_leaves_a_database_of_a_server_as_it_was(server: Server) -> None:
    url = server.make_database()
    migrate(server.project, DATABASE_URL=url)
    before = server.records(url, TABLES)
    versions = server.records(url, VERSIONS)
    path = server.project / "migrations/app/failing.py"
    path.write_text(FAILING)
    try:
        for failing in (url, empty := server.make_database()):
            with pytest.raises(CommandFailed, match="enough"):
                migrate(server.project, DATABASE_URL=failing)
    finally:
        path.unlink()
    assert server.records(url, TABLES) == before
    assert server.records(url, "SELECT * FROM contacts") == []
    assert server.records(url, VERSIONS) == versions
    assert server.records(empty, TABLES) == []


def test_of_many_that_migrate_a_database_of_a_server_at_once_one_does(server: Server) -> None:
    url = server.make_database()
    migrate_at_once(server.project, DATABASE_URL=url)
    check = (BIN / "alembic", "check")
    run(*check, cwd=server.project, environment=user_environment() | {"DATABASE_URL": url})


def test_rows_come_over_to_postgresql_with_the_jobs_that_wait(project: Tree) -> None:
    migrate(project.path)
    with closing(sqlite3.connect(project.path / "data/app.db")) as database, database:
        rows = [(f"{number}@example.com", f"Nr. {number}") for number in range(6_000)]
        database.executemany("INSERT INTO contacts VALUES (?, ?)", rows)
        database.execute("INSERT INTO deliveries (message_id) VALUES ('<d@example.com>')")
        database.execute(WAITING_JOB)
    run(*LICH, "update", "-d", "database=postgresql", cwd=project.path)
    project.commit()

    url = f"postgresql://sample@127.0.0.1:{free_port()}/sample"
    environment = user_environment() | {"DATABASE_URL": url, "PYTHONPATH": str(project.path)}
    server = subprocess.Popen(
        [sys.executable, "-m", "dev.database"], cwd=project.path, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        # It waits for the server.
        migrate(project.path, DATABASE_URL=url)
        bring_over = (sys.executable, "-m", "internal.from_sqlite", "data/app.db")
        said = run(*bring_over, cwd=project.path, environment=environment)
        assert said.splitlines() == [
            "contacts: 6000 rows", "deliveries: 1 rows", "imports: 0 rows", "outbox: 1 rows",
        ]  # fmt: skip
        with pytest.raises(CommandFailed, match="The table contacts has rows here"):
            run(*bring_over, cwd=project.path, environment=environment)

        # What waited for the task runner still does.
        hand_over = (sys.executable, IN_PROJECT / "guide_block.py", HAND_OVER)
        run(*hand_over, cwd=project.path, environment=environment)
        assert [path.name for path in (project.path / "data/outbox").iterdir()] == ["email-k.eml"]
    finally:
        stop(server)
