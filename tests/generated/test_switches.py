"""A project whose task runner is switched does its jobs on the new one."""

import sys
from itertools import permutations
from pathlib import Path

import pytest

from tests.generated.test_projects import PYTHON_VERSION, run
from tests.template.conftest import ROOT

pytestmark = pytest.mark.slow

LICH = (sys.executable, "-m", "lich_wrapper")


@pytest.mark.parametrize(("old", "new"), [*permutations(["temporal", "celery", "none"], 2)])
def test_a_switched_project_keeps_the_promises_of_its_api(
    old: str, new: str, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    python = f"python_version={PYTHON_VERSION}"
    run(*LICH, "init", project, "-l", "-t", old, "-d", python, folder=ROOT)
    promises = (project / "tests/test_jobs.py").read_bytes()

    run(*LICH, "update", "-t", new, folder=project)
    run("git", "add", "--all", folder=project)
    run("git", "commit", "--quiet", "--message", f"Switch to {new}", folder=project)

    assert (project / "tests/test_jobs.py").read_bytes() == promises
    # Real jobs, on the real engine and worker of the new runner.
    jobs = run(sys.executable, "-m", "pytest", "-q", "tests/test_jobs.py", folder=project)
    assert " passed" in jobs
    assert "skipped" not in jobs
    assert run("git", "status", "--porcelain", folder=project) == ""
