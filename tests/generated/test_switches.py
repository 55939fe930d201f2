"""A project whose task runner is switched does its owner's jobs on the new one."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.kit.processes import run, user_environment
from tests.kit.repository import LICH, OWN_JOBS, PYTHON_VERSION, RUNNERS
from tests.kit.trees import Tree

pytestmark = pytest.mark.slow


def make(folder: Path, runner: str, template: Path) -> Tree:
    """Make a project with two jobs of its owner's, one file each."""
    python = f"python_version={PYTHON_VERSION}"
    run(*LICH, "init", folder, "--template", template, "-l", "-t", runner, "-d", python)
    project = Tree(folder, init=False)
    for path in OWN_JOBS.glob("*.py"):
        shutil.copy(path, folder / "internal/jobs")
    project.commit()
    return project


@pytest.fixture(scope="module")
def new(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tree]:
    """A new project of each runner with the same jobs of its owner's."""
    return {
        runner: make(tmp_path_factory.mktemp(runner) / "project", runner, template)
        for runner in RUNNERS
    }


@pytest.mark.parametrize("runner", RUNNERS)
def test_own_jobs_pass_their_tests_on_every_runner(runner: str, new: dict[str, Tree]) -> None:
    project = new[runner]
    # Real jobs, on the real engine and worker of the runner.
    tests = ("tests/test_every_job.py", "tests/test_send_email.py")
    tested = run(
        sys.executable, "-m", "pytest", "-q", *tests,
        cwd=project.path, environment=user_environment(), timeout=600,
    )  # fmt: skip
    assert " passed" in tested
    assert "skipped" not in tested
    assert project.git("status", "--porcelain") == ""


# Between them, the two ways lead from every runner to every other one.
@pytest.mark.parametrize("runners", [RUNNERS, RUNNERS[::-1]], ids="-".join)
def test_a_switched_project_is_like_a_new_one_and_has_its_own_jobs(
    runners: tuple[str, ...], new: dict[str, Tree], template: Path, tmp_path: Path
) -> None:
    project = make(tmp_path / "project", runners[-1], template)
    for runner in runners:
        run(*LICH, "update", "-t", runner, cwd=project.path)
        project.commit()
        assert project.git("rev-parse", "HEAD^{tree}") == new[runner].git(
            "rev-parse", "HEAD^{tree}"
        )
    for path in OWN_JOBS.glob("*.py"):
        assert (project.path / "internal/jobs" / path.name).read_bytes() == path.read_bytes()
