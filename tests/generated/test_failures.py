"""A failing test of one's own job says what is wrong before all else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.processes import user_environment
from tests.kit.projects import Render
from tests.kit.repository import RUNNERS

pytestmark = pytest.mark.slow

JOB = '''\
"""An image, made smaller."""

from pydantic import Field

from internal.runner import Job, JobContext, Policy


class ResizeImage(Job):
    """Resize an image."""

    kind = "resize-image"
    policy = Policy(attempts=1)

    width: int = Field(gt=0, examples=[80])

    async def run(self, ctx: JobContext) -> int:
        """Return the area."""
        return self.width // 0
'''
REASON = "ResizeImage: ZeroDivisionError: integer division or modulo by zero"


@pytest.mark.parametrize("runner", RUNNERS)
def test_at_most_40_lines_stand_before_the_reason(
    runner: str, render: Render, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(render({"task_runner": runner}), project)
    (project / "internal/jobs/resize_image.py").write_text(JOB)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/test_every_job.py", "-k", "resize"],
        cwd=project, env=user_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    assert REASON in lines, done.stdout
    assert lines.index(REASON) <= 40
