"""What the tests need of the database: a file with all tables, and copies of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from internal.config import get_settings

ALEMBIC = Config(Path(__file__).parent.parent / "alembic.ini")


@contextmanager
def server(path: Path) -> Iterator[str]:
    """Return the URL of a database with this path; SQLite needs no server."""
    yield f"sqlite:///{path}"


@pytest.fixture(scope="session")
def empty_database(
    environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Make a database with all tables and no rows, by the migrations."""
    path = tmp_path_factory.mktemp("database") / "empty.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", f"sqlite:///{path}")
        get_settings.cache_clear()
        command.upgrade(ALEMBIC, "heads")
    get_settings.cache_clear()
    return path


@pytest.fixture(scope="session", autouse=True)
def database(empty_database: Path) -> None:
    """Make the database of the API, and of the processes that tests start."""
    shutil.copy(empty_database, get_settings().data_dir / "app.db")


@pytest.fixture
def own_database(empty_database: Path, tmp_path: Path) -> str:
    """Make a database of the test's own, and return its URL."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'own.db')}"


@pytest.fixture
def absent_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process look for its database where there is none."""
    monkeypatch.setenv("DATABASE_URL", "sqlite:////dev/null/app.db")
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()
