"""A generated project of each runner, installed from nothing and used as a newcomer would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.conftest import ROOT, RUNNERS, Answers, name_of

pytestmark = pytest.mark.slow

PYTHON_VERSION = "3.11" if sys.version_info < (3, 12) else "3.12"


def newcomer() -> dict[str, str]:
    """Return an environment that knows nothing of this checkout's own one."""
    own = {"VIRTUAL_ENV", "PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "COVERAGE_FILE"}
    return {name: value for name, value in os.environ.items() if name not in own}


def run(*command: str | Path, folder: Path, timeout: float = 600) -> str:
    done = subprocess.run(
        command, cwd=folder, env=newcomer(), stdin=subprocess.DEVNULL, text=True, timeout=timeout,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def uv() -> Path:
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    assert found, "uv is in the test group"
    return Path(found)


@pytest.mark.parametrize("answers", RUNNERS, ids=name_of)
def test_a_new_project_passes_its_own_checks(answers: Answers, tmp_path: Path) -> None:
    project = tmp_path / "project"
    data = [f"{key}={value}" for key, value in answers.items() if key != "task_runner"]
    run(
        sys.executable, "-m", "lich_wrapper", "init", project, "-l", "-t", answers["task_runner"],
        *(word for pair in [*data, f"python_version={PYTHON_VERSION}"] for word in ("-d", pair)),
        folder=ROOT,
    )  # fmt: skip
    assert run("git", "status", "--porcelain", folder=project) == ""

    run(uv(), "sync", "--quiet", "--python", sys.executable, folder=project)
    assert run("git", "status", "--porcelain", folder=project) == "?? uv.lock\n"
    run(uv(), "run", "--locked", "ruff", "check", folder=project)
    run(uv(), "run", "--locked", "ruff", "format", "--check", folder=project)
    run(uv(), "run", "--locked", "mypy", folder=project)
    assert " passed" in run(uv(), "run", "--locked", "pytest", "-q", folder=project)
    assert run("git", "status", "--porcelain", folder=project) == "?? uv.lock\n"


@pytest.mark.parametrize("runner", ["temporal", "celery", "none"])
def test_the_demonstration_ends_with_the_finished_job_and_leaves_no_process(runner: str) -> None:
    before = set((ROOT / "demo").glob("*"))
    output = run(sys.executable, ROOT / "scripts/demo.py", runner, folder=ROOT)
    [project] = set((ROOT / "demo").glob("*")) - before
    try:
        assert '"state": "succeeded"' in output
        assert str(project) in output
        assert ("web UI" in output) == (runner == "temporal")
        assert processes_of(project) == []
    finally:
        shutil.rmtree(project)


def processes_of(project: Path) -> list[str]:
    """Return the commands of the processes that run in a project's folder."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(project):
                commands.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return commands
