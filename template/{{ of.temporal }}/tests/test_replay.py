"""Jobs that began before a change of the code go on after it.

Temporal continues a running job by running its workflow again from its history. Here the
workflows run again from recorded histories (`python -m tests.record_histories`): one that no
longer takes the same way would stop the jobs that run.
"""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory

from internal.runner.native import native_workflows
from internal.runner.registry import registry
from tests.runner import replay_history

HISTORIES = {
    path.stem: path.read_text() for path in (Path(__file__).parent / "histories").glob("*.json")
}

ADVICE = """
Either keep the old way for jobs that began with it (in a native workflow: `workflow.patched`,
https://docs.temporal.io/develop/python/versioning) or, if none runs any more, delete its history,
and: python -m tests.record_histories
"""


def type_of(history: str) -> str:
    started = json.loads(history)["events"][0]["workflowExecutionStartedEventAttributes"]
    name: str = started["workflowType"]["name"]
    return name


@pytest.mark.parametrize("name", HISTORIES)
async def test_a_job_from_before_goes_on(name: str) -> None:
    known = {*registry().kinds, *(workflow.__name__ for workflow in native_workflows())}
    if type_of(HISTORIES[name]) not in known:
        pytest.skip(f"there is no such job any more: delete tests/histories/{name}.json")
    problem = await replay_history(WorkflowHistory.from_json(name, HISTORIES[name]))
    assert problem is None, f"{problem}\n{ADVICE}"
