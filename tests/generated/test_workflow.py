"""What a project's workflow and hooks do, done here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.kit.processes import run, user_environment
from tests.kit.repository import BIN, LICH, PYTHON_VERSION, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, whose first commit has no lock file."""
    project = tmp_path_factory.mktemp("workflow") / "project"
    answers = ("-t", "none", "-d", f"python_version={PYTHON_VERSION}")
    run(*LICH, "init", project, "-l", *answers, cwd=ROOT)
    return project


def do(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as whoever has uv and pre-commit would."""
    environment = user_environment() | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "UV_PYTHON": sys.executable,
        "PRE_COMMIT_HOME": str(project.parent / "pre-commit"),
    }
    return subprocess.run(
        command, cwd=project, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def install(project: Path) -> subprocess.CompletedProcess[str]:
    """Do the step of the workflow that installs the project."""
    workflow = yaml.safe_load((project / ".github/workflows/ci.yml").read_text())
    steps = [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]
    [step] = [step for step in steps if "uv sync" in step]
    return do(project, "bash", "-e", "-c", step)


def test_the_workflow_says_how_to_make_the_lock_file_and_installs_by_it(project: Path) -> None:
    first = install(project)
    assert first.returncode != 0
    assert "run `uv lock`" in first.stdout
    do(project, "uv", "lock")
    lock = (project / "uv.lock").read_text()
    second = install(project)
    assert second.returncode == 0, second.stdout
    assert (project / "uv.lock").read_text() == lock

    settings = project / "pyproject.toml"
    content = settings.read_text()
    settings.write_text(content.replace('    "uvicorn>=', '    "tomli>=2",\n    "uvicorn>='))
    third = install(project)
    settings.write_text(content)
    assert third.returncode != 0
    assert "uv.lock" in third.stdout
    assert (project / "uv.lock").read_text() == lock


def test_the_hooks_accept_a_new_project_and_refuse_what_ci_would(project: Path) -> None:
    do(project, "uv", "sync")
    installed = do(project, "pre-commit", "install")
    assert installed.returncode == 0, installed.stdout
    do(project, "git", "add", "--all")
    accepted = do(project, "git", "commit", "--message", "Add the lock file")
    assert accepted.returncode == 0, accepted.stdout
    assert "mypy" in accepted.stdout

    (project / "internal/unused.py").write_text('"""A module."""\n\nimport os\n')
    do(project, "git", "add", "--all")
    refused = do(project, "git", "commit", "--message", "Add a module")
    do(project, "git", "reset", "--quiet", "--hard")
    assert refused.returncode != 0
    assert "F401" in refused.stdout
