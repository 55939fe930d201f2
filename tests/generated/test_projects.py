"""A generated project of each runner, installed from nothing and used as a newcomer would."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.kit.answers import EVERY_RUNNER, Answers, name_of
from tests.kit.processes import processes_in, run, user_environment
from tests.kit.repository import LICH, PYTHON_VERSION, ROOT, tool
from tests.kit.trees import git

pytestmark = pytest.mark.slow


def uv(*arguments: str | Path, project: Path) -> str:
    """Return what uv prints in a project, run without this checkout's environment."""
    return run(tool("uv"), *arguments, cwd=project, environment=user_environment(), timeout=600)


@pytest.mark.parametrize("answers", EVERY_RUNNER, ids=name_of)
def test_a_new_project_passes_its_own_checks(answers: Answers, tmp_path: Path) -> None:
    project = tmp_path / "project"
    data = [f"{key}={value}" for key, value in answers.items() if key != "task_runner"]
    run(
        *LICH, "init", project, "-l", "-t", str(answers["task_runner"]),
        *(word for pair in [*data, f"python_version={PYTHON_VERSION}"] for word in ("-d", pair)),
        cwd=ROOT,
    )  # fmt: skip
    assert git(project, "status", "--porcelain") == ""

    uv("sync", "--quiet", "--python", sys.executable, project=project)
    assert git(project, "status", "--porcelain") == "?? uv.lock"
    uv("run", "--locked", "ruff", "check", project=project)
    uv("run", "--locked", "ruff", "format", "--check", project=project)
    uv("run", "--locked", "mypy", project=project)
    assert " passed" in uv("run", "--locked", "pytest", "-q", project=project)
    assert git(project, "status", "--porcelain") == "?? uv.lock"


@pytest.mark.parametrize(
    ("runner", "database"),
    [("temporal", "sqlite"), ("celery", "postgresql"), ("none", "sqlite")],
)
def test_the_demonstration_ends_with_the_finished_job_and_leaves_no_process(
    runner: str, database: str
) -> None:
    before = set((ROOT / "demo").glob("*"))
    output = run(sys.executable, "-m", "scripts.demo", runner, database, cwd=ROOT)
    [project] = set((ROOT / "demo").glob("*")) - before
    try:
        assert '"state": "succeeded"' in output
        assert str(project) in output
        assert ("web UI" in output) == (runner == "temporal")
        assert processes_in(project) == []
    finally:
        shutil.rmtree(project)
