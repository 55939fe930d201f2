"""A project whose task runner is switched does its owner's jobs on the new one."""

import shutil
import sys
from itertools import permutations
from pathlib import Path

import pytest

from tests.kit.processes import run, user_environment
from tests.kit.repository import LICH, OWN_JOBS, PYTHON_VERSION, ROOT, RUNNERS
from tests.kit.trees import Tree

pytestmark = pytest.mark.slow


def make(folder: Path, runner: str) -> Tree:
    """Make a project with two jobs of its owner's, one file each."""
    python = f"python_version={PYTHON_VERSION}"
    run(*LICH, "init", folder, "-l", "-t", runner, "-d", python, cwd=ROOT)
    project = Tree(folder, init=False)
    for path in OWN_JOBS.glob("*.py"):
        shutil.copy(path, folder / "internal/jobs")
    project.commit()
    return project


@pytest.mark.parametrize(("old", "new"), [*permutations(RUNNERS, 2)])
def test_own_jobs_are_left_alone_by_a_switch_and_pass_their_tests(
    old: str, new: str, tmp_path: Path
) -> None:
    project = make(tmp_path / "project", old)
    run(*LICH, "update", "-t", new, cwd=project.path)
    project.commit()

    for path in OWN_JOBS.glob("*.py"):
        assert (project.path / "internal/jobs" / path.name).read_bytes() == path.read_bytes()
    # Real jobs, on the real engine and worker of the new runner.
    tests = ("tests/test_every_job.py", "tests/test_send_email.py")
    tested = run(
        sys.executable, "-m", "pytest", "-q", *tests,
        cwd=project.path, environment=user_environment(), timeout=600,
    )  # fmt: skip
    assert " passed" in tested
    assert "skipped" not in tested
    assert project.git("status", "--porcelain") == ""


def test_a_project_comes_back_from_all_switches_as_it_was(tmp_path: Path) -> None:
    project = make(tmp_path / "project", "temporal")
    before = project.git("rev-parse", "HEAD^{tree}")
    for runner in ("celery", "none", "temporal"):
        run(*LICH, "update", "-t", runner, cwd=project.path)
        project.commit()
    assert project.git("rev-parse", "HEAD^{tree}") == before
