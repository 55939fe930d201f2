"""The guides of a generated project are true from the first line to the last."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.reader import reader
from tests.template.conftest import ROOT

pytestmark = pytest.mark.slow

# Between them, the two languages' readers try both brokers.
BROKERS = {"en": "redis", "fa": "rabbitmq"}

PYTHON_VERSION = "3.11" if sys.version_info < (3, 12) else "3.12"


@pytest.mark.parametrize("language", ["en", "fa"])
@pytest.mark.parametrize("runner", ["temporal", "celery", "none"])
def test_whoever_follows_the_guides_succeeds(
    runner: str, language: str, template: Path, tools: Path, tmp_path: Path
) -> None:
    project = tmp_path / "my-app"
    subprocess.run(
        [
            tools / "lich", "init", project, "--template", template, "-t", runner, "-l",
            "-d", f"docs_language={language}", "-d", f"python_version={PYTHON_VERSION}",
            *(["-d", f"celery_broker={BROKERS[language]}"] if runner == "celery" else []),
        ],
        check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    readme = (project / "README.md").read_text()
    workers = (project / "docs/workers.md").read_text()
    with reader(project, tools, runner) as person:
        person.follow(readme, "README.md")
        person.follow(workers, "docs/workers.md")
        assert list((project / "data/outbox").glob("*.eml"))
    assert left_behind(project) == []


def left_behind(project: Path) -> list[str]:
    """Return the commands that still run in the project's folder."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(project):
                commands.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return commands
