"""What a run of a job has done, by its history."""

from contextlib import suppress
from typing import Any

from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowHandle
from temporalio.common import RawValue

from internal.runner.definitions import Workflow
from internal.runner.messages import SLEEP, Outcome
from internal.runner.registry import registry
from internal.runner.states import Progress
from internal.runner.steps import Step

NEWEST = 10
"""How many of the newest events are searched for the heartbeat timeout of a lost worker."""


async def input_and_steps(
    client: Client, handle: WorkflowHandle[Any, Any]
) -> tuple[list[RawValue], dict[int, Step]]:
    """Return a run's arguments and, for a workflow of `internal/jobs`, the steps that are done."""
    arguments: list[RawValue] = []
    steps: dict[int, Step] = {}
    begun: dict[int, tuple[int, str]] = {}
    async for event in handle.fetch_history_events():
        match event.WhichOneof("attributes"):
            case "workflow_execution_started_event_attributes":
                started = event.workflow_execution_started_event_attributes
                arguments = [RawValue(payload) for payload in started.input.payloads]
                kind = registry().kinds.get(started.workflow_type.name)
                if kind is None or not issubclass(kind, Workflow):
                    return arguments[:1] if kind else arguments, {}
                if len(arguments) > 1:
                    [_, known] = await client.data_converter.decode(
                        started.input.payloads, [dict[str, Any], dict[int, Step]]
                    )
                    steps = {number: step for number, step in known.items() if step.done}
            case "activity_task_scheduled_event_attributes":
                scheduled = event.activity_task_scheduled_event_attributes
                name = scheduled.activity_type.name.partition(".")[2]
                begun[event.event_id] = int(scheduled.activity_id.partition(".")[0]), name
            case "activity_task_completed_event_attributes":
                completed = event.activity_task_completed_event_attributes
                number, name = begun[completed.scheduled_event_id]
                [outcome] = await client.data_converter.decode(completed.result.payloads, [Outcome])
                if not outcome.cancelled:
                    steps[number] = Step(name=name, done=True, value=outcome.result)
            case "timer_started_event_attributes" if event.user_metadata.HasField("summary"):
                [summary] = await client.data_converter.decode([event.user_metadata.summary], [str])
                begun[event.event_id] = int(summary.removeprefix(SLEEP)), SLEEP
            case "timer_fired_event_attributes":
                fired = event.timer_fired_event_attributes
                if fired.started_event_id in begun:
                    number, name = begun[fired.started_event_id]
                    steps[number] = Step(name=name, done=True, due=1.0)
    return arguments[:1], {number: step for number, step in steps.items() if step.error is None}


async def progress_of_lost_attempt(
    client: Client, description: WorkflowExecutionDescription
) -> Progress | None:
    """Return the progress of an attempt whose worker was lost.

    Until a worker runs the workflow again, only the event of the heartbeat timeout has it.
    """
    newest = await client.workflow_service.get_workflow_execution_history_reverse(
        GetWorkflowExecutionHistoryReverseRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=description.id, run_id=description.run_id),
            maximum_page_size=NEWEST,
        )
    )
    for event in newest.history.events:
        timeout = event.activity_task_timed_out_event_attributes.failure.timeout_failure_info
        if progress := await progress_in(client, timeout.last_heartbeat_details):
            return progress
    return None


async def progress_in(client: Client, heartbeat: Payloads) -> Progress | None:
    """Return the progress that a heartbeat reports; None if it reports none, or something else."""
    # A native activity may say something else by its heartbeats.
    with suppress(ValueError):
        progress: Progress
        [progress] = await client.data_converter.decode(heartbeat.payloads, [Progress])
        return progress
    return None
