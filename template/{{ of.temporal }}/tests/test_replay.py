"""Jobs that began before a change of the code go on after it.

Temporal continues a running job by running its workflow again from its history. Here the
workflows run again from recorded histories: one that no longer takes the same way would
stop the jobs that run. A new workflow's history: `python -m tests.record_histories`.
"""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory

from internal.workers.worker import WORKFLOWS, build_replayer

HISTORIES = {
    path.name: path.read_text() for path in (Path(__file__).parent / "histories").glob("*.json")
}

ADVICE = """
A job that runs while this code is deployed would stop here. Either
- keep the old way for it: `if workflow.patched("NAME"): the new way, else: the old one`
  (https://docs.temporal.io/develop/python/versioning), or
- if no such job runs any more, delete its history, and: python -m tests.record_histories
"""


@pytest.mark.parametrize("name", HISTORIES)
async def test_a_job_from_before_goes_on(name: str) -> None:
    history = WorkflowHistory.from_json(name, HISTORIES[name])
    result = await build_replayer().replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None, f"{name}: {result.replay_failure}\n{ADVICE}"


def test_every_workflow_has_a_history() -> None:
    started = [json.loads(history)["events"][0] for history in HISTORIES.values()]
    recorded = {
        event["workflowExecutionStartedEventAttributes"]["workflowType"]["name"]
        for event in started
    }
    missing = {workflow.__name__ for workflow in WORKFLOWS} - recorded
    assert not missing, "add them to tests/record_histories.py, and run it"
