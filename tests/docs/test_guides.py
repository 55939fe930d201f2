"""The guides of a generated project are true from the first line to the last."""

from pathlib import Path

import pytest

from tests.kit.guides import Reader
from tests.kit.processes import processes_in, run
from tests.kit.projects import Render
from tests.kit.repository import PYTHON_VERSION, ROOT

pytestmark = pytest.mark.slow

# What the guides of a project make one do is the same in both languages, block by block
# (`test_languages.py`): each is followed in one of them, Celery's with one broker in each. The
# guide to own jobs does not know the broker.
READERS = [("temporal", "en"), ("none", "fa"), ("celery", "fa"), ("celery", "en")]
BROKERS = {"en": "redis", "fa": "rabbitmq"}


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


@pytest.mark.parametrize(("runner", "language"), READERS)
def test_every_step_of_the_guides_succeeds(runner: str, project: Path, tools: Path) -> None:
    readme = (project / "README.md").read_text()
    workers = (project / "docs/workers.md").read_text()
    production = (project / "docs/production.md").read_text()
    with Reader.reading(project, tools, runner) as person:
        person.follow(readme, "README.md")
        person.follow(production, "docs/production.md")
        person.follow(workers, "docs/workers.md")
        assert list((project / "data/outbox").glob("*.eml"))
    assert processes_in(project) == []


# What it shows is the same for every runner.
@pytest.mark.parametrize(("runner", "language"), [("none", "fa")])
def test_every_step_of_the_guide_to_security_succeeds(
    runner: str, project: Path, tools: Path
) -> None:
    security = (project / "docs/security.md").read_text()
    with Reader.reading(project, tools, runner) as person:
        person.follow(security, "docs/security.md")
    assert processes_in(project) == []


@pytest.mark.parametrize(("runner", "language"), READERS[:3])
def test_every_step_of_the_guide_to_own_jobs_succeeds(
    runner: str, project: Path, tools: Path
) -> None:
    jobs = (project / "docs/jobs.md").read_text()
    with Reader.reading(project, tools, runner) as person:
        person.follow(jobs, "docs/jobs.md")
    assert processes_in(project) == []


def test_the_guide_to_own_jobs_is_the_same_with_either_broker(render: Render) -> None:
    redis, rabbitmq = (
        render({"task_runner": "celery", "celery_broker": broker})
        for broker in ("redis", "rabbitmq")
    )
    assert (redis / "docs/jobs.md").read_text() == (rabbitmq / "docs/jobs.md").read_text()
