"""The database of a project: its migrations, and the way from SQLite to PostgreSQL."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.ports import free_port
from tests.kit.processes import CommandFailed, run, stop, user_environment
from tests.kit.projects import migrate
from tests.kit.repository import BIN, IN_PROJECT, LICH, PYTHON_VERSION, ROOT
from tests.kit.trees import Tree

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


def test_a_migration_that_fails_leaves_the_database_as_it_was(project: Tree) -> None:
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


def test_of_many_that_migrate_at_once_one_does(project: Tree) -> None:
    command = [BIN / "alembic", "upgrade", "heads"]
    running = [
        subprocess.Popen(
            command, cwd=project.path, env=user_environment(), text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for _ in range(5)
    ]  # fmt: skip
    logs = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 5, logs
    assert sum("-> template_0001" in log for log in logs) == 1


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
