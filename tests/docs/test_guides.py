"""The guides of a generated project are true from the first line to the last."""

from pathlib import Path

import pytest

from tests.kit.guides import Reader
from tests.kit.markdown import blocks
from tests.kit.processes import processes_in, run
from tests.kit.projects import Render
from tests.kit.repository import PYTHON_VERSION, ROOT

pytestmark = pytest.mark.slow

# What the guides of a project make one do is the same in both languages, block by block
# (`test_languages.py`): each is followed in one of them, Celery's with one broker in each. The
# guide to own jobs does not know the broker.
READERS = [("temporal", "en"), ("none", "fa"), ("celery", "fa"), ("celery", "en")]
BROKERS = {"en": "redis", "fa": "rabbitmq"}

COUNT = """
import asyncio
from sqlalchemy import func, select
from internal.database import transaction
from internal.models.contacts import Contact

async def count():
    async with transaction(read_only=True) as session:
        print(await session.scalar(select(func.count()).select_from(Contact)))
        print("PostgreSQL" if session.get_bind().name == "postgresql" else "SQLite")

asyncio.run(count())
"""


@pytest.fixture
def project(runner: str, language: str, template: Path, tools: Path, tmp_path: Path) -> Path:
    """A new project whose guides are in a language."""
    project = tmp_path / "my-app"
    run(
        tools / "lich", "init", project, "--template", template, "-t", runner, "-l",
        "-d", f"docs_language={language}", "-d", f"python_version={PYTHON_VERSION}",
        *(["-d", f"celery_broker={BROKERS[language]}"] if runner == "celery" else []),
        cwd=ROOT,
    )  # fmt: skip
    return project


def follow(project: Path, tools: Path, runner: str, *guides: str) -> None:
    """Do all that guides of a project say; in the end, nothing of it may be running."""
    with Reader.reading(project, tools, runner) as person:
        for guide in guides:
            person.follow((project / guide).read_text(), guide)
    assert processes_in(project) == []


@pytest.mark.parametrize(("runner", "language"), READERS)
def test_every_step_of_the_guides_succeeds(runner: str, project: Path, tools: Path) -> None:
    # From the guide to security on, the API asks for a token.
    guides = ("README.md", "docs/production.md", "docs/workers.md", "docs/security.md")
    follow(project, tools, runner, *guides)
    assert list((project / "data/outbox").glob("*.eml"))


@pytest.mark.parametrize(("runner", "language"), READERS[:3])
def test_every_step_of_the_guide_to_own_jobs_succeeds(
    runner: str, project: Path, tools: Path
) -> None:
    follow(project, tools, runner, "docs/jobs.md")


@pytest.mark.parametrize(("runner", "language"), [("none", "fa")])
def test_every_step_of_the_guide_to_the_database_succeeds(
    runner: str, project: Path, tools: Path
) -> None:
    with Reader.reading(project, tools, runner) as person:
        # As `honcho start` has done for whoever reads this guide.
        person.shell("uv run alembic upgrade heads")
        person.follow((project / "docs/database.md").read_text(), "docs/database.md")
        rows = person.run(["uv", "run", "python", "-c", COUNT], PYTHONPATH=str(project))
    assert rows.split() == ["2", "PostgreSQL"]
    assert processes_in(project) == []


def test_the_guide_to_postgresql_dumps_a_service_that_there_is(render: Render, tools: Path) -> None:
    project = render({"task_runner": "none", "database": "postgresql"})
    text = (project / "docs/database.md").read_text()
    dumping = [block.text for block in blocks(text) if "docker compose" in block.text]
    assert len(dumping) == 3
    with Reader.reading(project, tools, "none") as person:
        for script in dumping:
            person.containers(script)


def test_the_guide_to_own_jobs_is_the_same_with_either_broker(render: Render) -> None:
    redis, rabbitmq = (
        render({"task_runner": "celery", "celery_broker": broker})
        for broker in ("redis", "rabbitmq")
    )
    assert (redis / "docs/jobs.md").read_text() == (rabbitmq / "docs/jobs.md").read_text()
