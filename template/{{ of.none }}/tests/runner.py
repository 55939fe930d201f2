"""What the tests need of the task runner."""

import pytest

from internal.runner import Workflow, client
from tests.replay import replay_steps


@pytest.fixture(scope="session")
def runner() -> None:
    """Jobs run inside the API: there is nothing to start."""


def replay(job_id: str) -> str | None:
    """Run a workflow that has succeeded again, and return what goes wrong."""
    run = client.jobs().runs[job_id]
    assert isinstance(run.definition, Workflow)
    return replay_steps(run.definition, job_id, run.steps, run.info.result)
