"""A template that grows does not get in the way of the owner's jobs."""

import shutil
from pathlib import Path

import pytest

from tests.kit.processes import run
from tests.kit.repository import LICH, OWN_JOBS, RUNNERS
from tests.kit.trees import Tree, git


def append(path: Path, old: str, new: str) -> None:
    """Add lines after others, as whoever maintains the template would."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, old + new))


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_new_job_setting_and_route_of_the_template_meet_no_conflict_with_own_jobs(
    runner: str, template: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", str(template), "grown")
    grown = Tree(tmp_path / "grown", init=False)
    project = Tree(tmp_path / "project", init=False)
    shutil.rmtree(project.path)
    run(*LICH, "init", project.path, "--template", grown.path, "-l", "-t", runner, cwd=tmp_path)
    for path in OWN_JOBS.glob("*.py"):
        shutil.copy(path, project.path / "internal/jobs")
    project.commit()

    files = grown.path / "template"
    job = (files / "internal/jobs/clean_up.py").read_text()
    job = job.replace("CleanUp", "Archive").replace('"cleanup"', '"archive"')
    grown.write({"template/internal/jobs/archive.py": job})
    setting = '\n    archive_days: int = 365\n    """After so many days, records are archived."""\n'
    append(
        files / "internal/config.py.jinja", 'mail_from: EmailStr = "noreply@example.com"\n', setting
    )
    append(
        files / ".env.example.jinja", "# MAIL_FROM=noreply@example.com\n", "\n# ARCHIVE_DAYS=365\n"
    )
    route = (
        '\n\n@router.get("/archive")\nasync def archive() -> int:\n    """Count."""\n    return 0\n'
    )
    append(files / "api/health.py", 'await runner.check()\n    return {"status": "ok"}\n', route)
    grown.commit("v100.0.0")

    run(*LICH, "update", project.path, cwd=tmp_path)
    assert git(project.path, "ls-files", "--unmerged") == ""
    assert (project.path / "internal/jobs/archive.py").exists()
    for path in OWN_JOBS.glob("*.py"):
        assert (project.path / "internal/jobs" / path.name).read_bytes() == path.read_bytes()
