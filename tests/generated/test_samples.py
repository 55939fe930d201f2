"""The sample jobs can be deleted as the guide says."""

import re
import sys
from pathlib import Path

import pytest

from tests.kit.markdown import blocks
from tests.kit.processes import run, user_environment
from tests.kit.repository import LICH, PYTHON_VERSION, ROOT, RUNNERS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_project_without_the_samples_passes_its_own_checks(runner: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    python = f"python_version={PYTHON_VERSION}"
    run(*LICH, "init", project, "-l", "-t", runner, "-d", python, cwd=ROOT)
    guide = (project / "docs/jobs.md").read_text()
    [deletion] = [block.text for block in blocks(guide) if "git rm" in block.text]
    for command in re.findall(r"^git rm .*$", deletion, re.MULTILINE):
        run(*command.split(), cwd=project)
    jobs = {path.name for path in (project / "internal/jobs").iterdir()} - {"__pycache__"}
    assert jobs == {"__init__.py"}

    for tool in (["pytest", "-q"], ["mypy"], ["ruff", "check"]):
        run(sys.executable, "-m", *tool, cwd=project, environment=user_environment(), timeout=600)
