"""A project whose task runner is switched does its jobs on the new one."""

import sys
from itertools import permutations
from pathlib import Path

import pytest

from tests.kit.processes import run, user_environment
from tests.kit.repository import LICH, PYTHON_VERSION, ROOT, RUNNERS
from tests.kit.trees import Tree

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("old", "new"), [*permutations(RUNNERS, 2)])
def test_a_switched_project_passes_the_same_tests_of_its_api(
    old: str, new: str, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    python = f"python_version={PYTHON_VERSION}"
    run(*LICH, "init", project, "-l", "-t", old, "-d", python, cwd=ROOT)
    contract = (project / "tests/test_jobs.py").read_bytes()

    run(*LICH, "update", "-t", new, cwd=project)
    switched = Tree(project, init=False)
    switched.commit()

    assert (project / "tests/test_jobs.py").read_bytes() == contract
    # Real jobs, on the real engine and worker of the new runner.
    pytest_of_project = (sys.executable, "-m", "pytest", "-q", "tests/test_jobs.py")
    jobs = run(*pytest_of_project, cwd=project, environment=user_environment(), timeout=600)
    assert " passed" in jobs
    assert "skipped" not in jobs
    assert switched.git("status", "--porcelain") == ""
