"""The guides of a generated project are true from the first line to the last."""

from pathlib import Path

import pytest

from tests.kit.guides import Reader
from tests.kit.processes import processes_in, run
from tests.kit.repository import LANGUAGES, PYTHON_VERSION, ROOT, RUNNERS

pytestmark = pytest.mark.slow

# Between them, the two languages' readers try both brokers.
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


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("runner", RUNNERS)
def test_every_step_of_the_guides_succeeds(runner: str, project: Path, tools: Path) -> None:
    readme = (project / "README.md").read_text()
    workers = (project / "docs/workers.md").read_text()
    with Reader.reading(project, tools, runner) as person:
        person.follow(readme, "README.md")
        person.follow(workers, "docs/workers.md")
        assert list((project / "data/outbox").glob("*.eml"))
    assert processes_in(project) == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("runner", RUNNERS)
def test_every_step_of_the_guide_to_own_jobs_succeeds(
    runner: str, project: Path, tools: Path
) -> None:
    jobs = (project / "docs/jobs.md").read_text()
    with Reader.reading(project, tools, runner) as person:
        person.follow(jobs, "docs/jobs.md")
    assert processes_in(project) == []
