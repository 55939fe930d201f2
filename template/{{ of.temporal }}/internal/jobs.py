"""The seam between the API and the work: a job is a Temporal workflow, and has its id."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from pydantic import JsonValue
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
)
from temporalio.common import RawValue, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from internal.config import get_settings
from internal.job_types import (
    CleanUp,
    EngineUnavailable,
    ImportContacts,
    Job,
    JobConflict,
    JobNotFound,
    JobRequest,
    JobState,
    SendEmail,
)
from internal.services.contacts import Progress
from internal.workers.connection import connect

WORKFLOWS = {
    "EmailNotificationWorkflow": SendEmail.kind,
    "ImportContactsWorkflow": ImportContacts.kind,
    "CleanUpWorkflow": CleanUp.kind,
}
"""The workflows that are jobs, and of which kind."""

_STATES = {
    WorkflowExecutionStatus.COMPLETED: JobState.SUCCEEDED,
    WorkflowExecutionStatus.FAILED: JobState.FAILED,
    WorkflowExecutionStatus.TIMED_OUT: JobState.FAILED,
    WorkflowExecutionStatus.TERMINATED: JobState.FAILED,
    WorkflowExecutionStatus.CANCELED: JobState.CANCELLED,
}

_AWAY = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.CANCELLED,
)

_client: Client | None = None


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Prepare the connection; it is made, and made again, by the calls that need it."""
    global _client
    _client = await connect(get_settings(), lazy=True)
    yield
    _client = None


async def check() -> None:
    """Raise `EngineUnavailable` if jobs cannot be enqueued."""
    with _engine() as client:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace)
        )


async def enqueue(request: JobRequest, *, key: str | None = None) -> Job:
    """Start a job; the same kind and key give the job that is already there."""
    job_id = request.job_id(key)
    match request:
        case SendEmail(to=to, subject=subject, body=body):
            workflow, arguments = "EmailNotificationWorkflow", [to, subject, body]
        case ImportContacts(file=file):
            workflow, arguments = "ImportContactsWorkflow", [file]
        case CleanUp():
            workflow, arguments = "CleanUpWorkflow", []
        case unknown:
            raise TypeError(f"no workflow is known for {type(unknown).__name__}")
    with _engine() as client:
        try:
            await client.start_workflow(
                workflow,
                args=arguments,
                id=job_id,
                task_queue=get_settings().temporal_task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )
        except WorkflowAlreadyStartedError:
            return await get(job_id)
    return Job(id=job_id, kind=request.kind, state=JobState.QUEUED)


async def get(job_id: str) -> Job:
    """Return a job; raise `JobNotFound`."""
    with _engine() as client:
        try:
            description = await client.get_workflow_handle(job_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and not _lacks_namespace(error):
                raise JobNotFound(job_id) from error
            raise
        if description.workflow_type not in WORKFLOWS:
            raise JobNotFound(job_id)
        result, problem = await _outcome(client, description)
        return Job(
            id=job_id,
            kind=WORKFLOWS[description.workflow_type],
            state=_state(description),
            progress=await _progress(client, description),
            result=result,
            error=problem,
        )


async def cancel(job_id: str) -> Job:
    """Ask a job to stop; raise `JobNotFound`, or `JobConflict` when it has ended."""
    job = await get(job_id)
    if job.state not in (JobState.QUEUED, JobState.RUNNING):
        raise JobConflict(job, "cancelled")
    with _engine() as client:
        try:
            await client.get_workflow_handle(job_id).cancel()
        except RPCError as error:
            # It ended in between.
            if error.status is RPCStatusCode.NOT_FOUND:
                raise JobConflict(await get(job_id), "cancelled") from error
            raise
    return await get(job_id)


async def list_failed(limit: int) -> list[Job]:
    """Return the jobs that failed, the newest first."""
    query = (
        f"TaskQueue = '{get_settings().temporal_task_queue}'"
        " AND ExecutionStatus IN ('Failed', 'TimedOut', 'Terminated')"
    )
    jobs: dict[str, Job] = {}
    with _engine() as client:
        async for execution in client.list_workflows(query):
            # The list knows runs; a job that was retried is as its last run is.
            if execution.id in jobs:
                continue
            with suppress(JobNotFound):
                job = await get(execution.id)
                if job.state is JobState.FAILED:
                    jobs[job.id] = job
            if len(jobs) == limit:
                break
    return list(jobs.values())


async def retry(job_id: str) -> Job:
    """Run a failed or cancelled job again; raise `JobNotFound` or `JobConflict`."""
    job = await get(job_id)
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        raise JobConflict(job, "retried")
    with _engine() as client:
        events = client.get_workflow_handle(job_id).fetch_history_events(page_size=1)
        started = (await anext(events)).workflow_execution_started_event_attributes
        try:
            await client.start_workflow(
                started.workflow_type.name,
                args=[RawValue(payload) for payload in started.input.payloads],
                id=job_id,
                task_queue=get_settings().temporal_task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            )
        except WorkflowAlreadyStartedError as error:
            raise JobConflict(await get(job_id), "retried") from error
    return Job(id=job_id, kind=job.kind, state=JobState.QUEUED)


@contextmanager
def _engine() -> Iterator[Client]:
    """Lend the client, and turn its failure to get through into `EngineUnavailable`."""
    if _client is None:
        raise RuntimeError("jobs need the lifespan: enter it first")
    try:
        yield _client
    except RPCError as error:
        if error.status in _AWAY or _lacks_namespace(error):
            raise EngineUnavailable(f"Temporal does not answer: {error}") from error
        raise
    except RuntimeError as error:
        # What a lazy client raises when its first call finds no server.
        raise EngineUnavailable(f"Temporal does not answer: {error}") from error


def _lacks_namespace(error: RPCError) -> bool:
    details = error.grpc_status.details
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in details)


def _state(description: WorkflowExecutionDescription) -> JobState:
    if description.status in _STATES:
        return _STATES[description.status]
    info = description.raw_description.workflow_execution_info
    # Two events: it was started, and waits for a worker. A run that continues another is
    # not new.
    if info.history_length <= 2 and info.first_run_id == description.run_id:
        return JobState.QUEUED
    return JobState.RUNNING


async def _progress(client: Client, description: WorkflowExecutionDescription) -> Progress | None:
    for pending in description.raw_description.pending_activities:
        if pending.HasField("heartbeat_details"):
            payloads = pending.heartbeat_details.payloads
            progress: Progress
            [progress] = await client.data_converter.decode(payloads, [Progress])
            return progress
    return await description.memo_value("progress", None, type_hint=Progress)


async def _outcome(
    client: Client, description: WorkflowExecutionDescription
) -> tuple[JsonValue, str | None]:
    """Return the result and the error of a job that has ended."""
    if description.status not in _STATES or description.status is WorkflowExecutionStatus.CANCELED:
        return None, None
    handle = client.get_workflow_handle(description.id, run_id=description.run_id)
    try:
        return await handle.result(follow_runs=False), None
    except WorkflowFailureError as error:
        cause = error.cause
        if isinstance(cause, ActivityError) and cause.cause:
            cause = cause.cause
        if isinstance(cause, ApplicationError):
            return None, f"{cause.type}: {cause.message}"
        return None, f"{type(cause).__name__}: {cause}"
