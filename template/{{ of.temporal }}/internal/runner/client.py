"""Enqueue, look up, cancel and retry jobs: each is a Temporal workflow, and has its id."""

import asyncio
import base64
import hashlib
import json
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import JsonValue, TypeAdapter
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutError,
    WorkflowAlreadyStartedError,
)
from temporalio.service import RPCError, RPCStatusCode

from internal.config import get_settings
from internal.runner.attempts import describe
from internal.runner.connection import connect
from internal.runner.definitions import Definition, Policy, named_jobs
from internal.runner.errors import (
    DeadlineExceeded,
    EngineUnavailable,
    JobConflict,
    JobNotFound,
    KeyReused,
    NotConfirmed,
    NotEnqueued,
)
from internal.runner.history import input_and_steps, progress_in, progress_of_lost_attempt
from internal.runner.queues import all_queues, task_queue
from internal.runner.registry import registry
from internal.runner.states import ENDED, JobInfo, JobPage, JobQuery, JobState, Progress

T = TypeVar("T")

IN_FLIGHT = 64
"""How many jobs `enqueue_many` enqueues at a time."""

REQUEST_LIMIT = 1_000
"""How many jobs one request to the API may enqueue.

Each is a call to the server. A server on a small machine takes some hundred in a second, and
whatever stands in front of the API seldom waits for longer than a minute.
"""

LONGEST_DELAY = timedelta(days=100 * 365)
"""The server counts a delay in nanoseconds, which are too many after some hundred years."""

_STATES = {
    WorkflowExecutionStatus.COMPLETED: JobState.SUCCEEDED,
    WorkflowExecutionStatus.FAILED: JobState.FAILED,
    WorkflowExecutionStatus.TIMED_OUT: JobState.FAILED,
    WorkflowExecutionStatus.TERMINATED: JobState.FAILED,
    WorkflowExecutionStatus.CANCELED: JobState.CANCELLED,
}

_QUERIES = {
    JobState.QUEUED: "ExecutionStatus = 'Running' AND ExecutionTime > '{now}'",
    JobState.RUNNING: "ExecutionStatus = 'Running' AND ExecutionTime <= '{now}'",
    JobState.SUCCEEDED: "ExecutionStatus = 'Completed'",
    JobState.FAILED: "ExecutionStatus IN ('Failed', 'TimedOut', 'Terminated')",
    JobState.CANCELLED: "ExecutionStatus = 'Canceled'",
    # A run that another one continues is no end of a job.
    None: "ExecutionStatus != 'ContinuedAsNew'",
}

_AWAY = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.CANCELLED,
)

_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)

_client: Client | None = None


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Keep one connection for all calls within; it is made, and made again, when one needs it."""
    global _client
    _client = await connect(get_settings(), lazy=True)
    yield
    _client = None


async def check() -> None:
    """Raise `EngineUnavailable` if jobs cannot be enqueued."""
    async with _engine() as client:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace)
        )


async def enqueue(
    job: Definition,
    *,
    key: str | None = None,
    at: datetime | None = None,
    enqueued_by: str | None = None,
) -> JobInfo:
    """Enqueue a job, to run now or, with a timezone-aware `at`, not before that time.

    The same kind, `key` and input give the job that is already there. Raises `KeyReused` for the
    same key with another input, and `EngineUnavailable`. `enqueued_by` is the client that the job
    and its key belong to.
    """
    return await _enqueue(job, job.job_id(key, enqueued_by), at, enqueued_by, keyed=bool(key))


async def _enqueue(
    job: Definition, job_id: str, at: datetime | None, enqueued_by: str | None, *, keyed: bool
) -> JobInfo:
    """Enqueue a job under an id, which only comes again if it is that of a key."""
    fields = job.input()
    memo = {"enqueued_by": enqueued_by} if enqueued_by else {}
    if keyed:
        memo["input"] = _digest(fields)
    delay = min(at - datetime.now(UTC), LONGEST_DELAY) if at else timedelta(0)
    async with _engine(job_id) as client:
        try:
            await client.start_workflow(
                job.kind,
                fields,
                id=job_id,
                task_queue=task_queue(get_settings(), job.policy.queue),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                start_delay=delay if delay > timedelta(0) else None,
                execution_timeout=_execution_timeout(job.policy, delay),
                memo=memo or None,
            )
        except WorkflowAlreadyStartedError:
            description = await client.get_workflow_handle(job_id).describe()
            known = await _info(client, description)
            digest = await _noted(description, "input", str)
            if known.enqueued_by != enqueued_by or (
                "input" in memo and digest not in (None, memo["input"])
            ):
                raise KeyReused(job_id) from None
            return known
    return JobInfo(id=job_id, kind=job.kind, state=JobState.QUEUED, enqueued_by=enqueued_by)


async def enqueue_many(
    jobs: Iterable[Definition] | Mapping[str, Definition],
    *,
    at: datetime | None = None,
    enqueued_by: str | None = None,
) -> list[JobInfo]:
    """Enqueue many jobs, those of a mapping under its keys, and return them in order.

    All are tried, `IN_FLIGHT` at a time. Raises `NotEnqueued`, which names the jobs that may be
    missing, or `KeyReused` for a key that belongs to a job with another input.
    """
    # The ids are made here, so that a job whose call failed can be named.
    named = [(job.job_id(key, enqueued_by), job, bool(key)) for key, job in named_jobs(jobs)]
    waiting = iter(range(len(named)))
    done: dict[int, JobInfo] = {}
    missing: dict[int, EngineUnavailable] = {}
    reused: list[KeyReused] = []

    async def lane() -> None:
        for number in waiting:
            job_id, job, keyed = named[number]
            try:
                done[number] = await _enqueue(job, job_id, at, enqueued_by, keyed=keyed)
            except EngineUnavailable as error:
                missing[number] = error
            except KeyReused as error:
                reused.append(error)

    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    if missing:
        ids = [named[number][0] for number in sorted(missing)]
        raise NotEnqueued(ids, next(iter(missing.values())))
    if reused:
        raise reused[0]
    return [done[number] for number in range(len(named))]


async def get(job_id: str) -> JobInfo:
    """Return a job; raise `JobNotFound` or `EngineUnavailable`."""
    async with _engine() as client:
        return await _info(client, await _describe(client, job_id))


async def list_jobs(query: JobQuery) -> JobPage:
    """Return a page of jobs; raise `EngineUnavailable`.

    Those that have not ended come first, then the others, the last that ended first. It takes no
    call for each job, so a list leaves out results, and the errors of native workflows; a job that
    waits for a free worker is listed as running.
    """
    settings = get_settings()
    queues = ", ".join(_quoted(task_queue(settings, queue)) for queue in all_queues())
    filters = f"TaskQueue IN ({queues}) AND {_QUERIES[query.state].format(now=_now())}"
    if query.kind is not None:
        filters += f" AND WorkflowType = {_quoted(query.kind)}"
    token = _token(query.cursor) if query.cursor else None
    if query.cursor and token is None:
        return JobPage(jobs=[])
    jobs: list[JobInfo] = []
    async with _engine() as client:
        while len(jobs) < query.limit:
            missing = query.limit - len(jobs)
            pages = client.list_workflows(filters, page_size=missing, next_page_token=token)
            await pages.fetch_next_page()
            jobs += [
                await _listed(execution)
                for execution in await _newest(client, pages.current_page or [])
            ]
            token = pages.next_page_token
            if not token:
                break
    return JobPage(jobs=jobs, cursor=_cursor(token) if token else None)


async def cancel(job_id: str) -> JobInfo:
    """Request that a job stops; raise `JobNotFound`, or `JobConflict` when it has ended."""
    async with _engine() as client:
        description = await _describe(client, job_id)
        if _state(description) in ENDED:
            raise JobConflict(await _info(client, description), "cancelled")
        handle = client.get_workflow_handle(job_id)
        try:
            await handle.cancel()
            if _is_delayed(description):
                await _end_delay(handle)
        except RPCError as error:
            # It ended in between.
            if error.status is RPCStatusCode.NOT_FOUND:
                raise JobConflict(await get(job_id), "cancelled") from error
            raise
    return await get(job_id)


async def retry(job_id: str) -> JobInfo:
    """Run a failed or cancelled job again, without the steps that are done.

    Raises `JobNotFound` or `JobConflict`.
    """
    async with _engine() as client:
        description = await _describe(client, job_id)
        if _state(description) not in (JobState.FAILED, JobState.CANCELLED):
            raise JobConflict(await _info(client, description), "retried")
        handle = client.get_workflow_handle(job_id, run_id=description.run_id)
        arguments, steps = await input_and_steps(client, handle)
        definition = registry().kinds.get(description.workflow_type)
        noted = {name: await _noted(description, name, str) for name in ("input", "enqueued_by")}
        kept = {name: value for name, value in noted.items() if value is not None}
        try:
            await client.start_workflow(
                description.workflow_type,
                args=[*arguments, steps] if steps else arguments,
                id=job_id,
                task_queue=(
                    task_queue(get_settings(), definition.policy.queue)
                    if definition
                    else description.task_queue
                ),
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                execution_timeout=_execution_timeout(definition.policy) if definition else None,
                memo=kept or None,
            )
        except WorkflowAlreadyStartedError as error:
            raise JobConflict(await get(job_id), "retried") from error
    return JobInfo(
        id=job_id,
        kind=description.workflow_type,
        state=JobState.QUEUED,
        enqueued_by=kept.get("enqueued_by"),
    )


def _execution_timeout(policy: Policy, delay: timedelta = timedelta(0)) -> timedelta | None:
    """Return after which time the server ends a job whose policy has a deadline."""
    return policy.deadline + max(delay, timedelta(0)) if policy.deadline else None


async def _end_delay(handle: WorkflowHandle[Any, Any]) -> None:
    """Let a cancelled job that waits for its time end now, which the request alone does not."""
    try:
        await handle.signal("cancel")
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # It has ended already.
            raise


@asynccontextmanager
async def _engine(new: str | None = None) -> AsyncIterator[Client]:
    """Yield the client, and translate its connection errors into `EngineUnavailable`.

    With the id of a `new` job, `NotConfirmed` for a call that may have enqueued it.
    """
    global _client
    if _client is None:
        _client = await connect(get_settings(), lazy=True)
    try:
        yield _client
    except RPCError as error:
        if error.status in _AWAY or _lacks_namespace(error):
            reason = f"Temporal does not answer: {error}"
            raise (NotConfirmed(new, reason) if new else EngineUnavailable(reason)) from error
        raise
    except RuntimeError as error:
        # What a lazy client raises when its first call finds no server.
        raise EngineUnavailable(f"Temporal does not answer: {error}") from error


def _lacks_namespace(error: RPCError) -> bool:
    details = error.grpc_status.details
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in details)


async def _describe(client: Client, job_id: str) -> WorkflowExecutionDescription:
    try:
        description = await client.get_workflow_handle(job_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND and not _lacks_namespace(error):
            raise JobNotFound(job_id) from error
        raise
    settings = get_settings()
    if description.task_queue not in [task_queue(settings, queue) for queue in all_queues()]:
        raise JobNotFound(job_id)  # It is another project's.
    return description


async def _info(client: Client, description: WorkflowExecutionDescription) -> JobInfo:
    state = _state(description)
    result, error = None, None
    if state in (JobState.SUCCEEDED, JobState.FAILED):
        result, error = await _outcome(client, description)
    elif state is not JobState.CANCELLED:
        error = await _noted(description, "error", str)
    return JobInfo(
        id=description.id,
        kind=description.workflow_type,
        state=state,
        progress=await _progress(client, description, state),
        result=result,
        enqueued_by=await _noted(description, "enqueued_by", str),
        error=error,
    )


def _state(description: WorkflowExecutionDescription) -> JobState:
    if description.status in _STATES:
        return _STATES[description.status]
    info = description.raw_description.workflow_execution_info
    # Two events: it was started, and waits for a worker. A run that continues another is
    # not new.
    if info.history_length <= 2 and info.first_run_id == description.run_id:
        return JobState.QUEUED
    return JobState.RUNNING


def _is_delayed(execution: WorkflowExecution) -> bool:
    return execution.execution_time is not None and execution.execution_time > datetime.now(UTC)


async def _progress(
    client: Client, description: WorkflowExecutionDescription, state: JobState
) -> Progress | None:
    raw = description.raw_description
    progress = None
    if state is JobState.RUNNING and raw.HasField("pending_workflow_task"):
        # No worker has seen the newest events yet.
        progress = await progress_of_lost_attempt(client, description)
    for pending in raw.pending_activities:
        progress = progress or await progress_in(client, pending.heartbeat_details)
    return progress or await _noted(description, "progress", Progress)


async def _noted(execution: WorkflowExecution, name: str, kind: type[T]) -> T | None:
    """Return the value under a name of the memo; None if there is none, or not one of this type."""
    try:
        noted: T | None = await execution.memo_value(name, None, type_hint=kind)
    except ValueError:
        return None
    return noted


async def _outcome(
    client: Client, description: WorkflowExecutionDescription
) -> tuple[JsonValue, str | None]:
    """Return the result or the error of a job that has ended."""
    handle = client.get_workflow_handle(description.id, run_id=description.run_id)
    try:
        result = await handle.result(follow_runs=False)
        return _JSON.validate_python(result), None
    except ValueError:
        # Native code may return what is no JSON, such as bytes, or what another client encoded.
        return None, None
    except WorkflowFailureError as error:
        cause = error.cause
        if isinstance(cause, TimeoutError):
            return None, describe(DeadlineExceeded())
        if isinstance(cause, ActivityError) and cause.cause:
            cause = cause.cause
        if isinstance(cause, ApplicationError):
            return None, f"{cause.type}: {cause.message}"
        return None, f"{type(cause).__name__}: {cause}"


async def _listed(execution: WorkflowExecution) -> JobInfo:
    waiting = JobState.QUEUED if _is_delayed(execution) else JobState.RUNNING
    state = _STATES.get(execution.status, waiting) if execution.status else waiting
    hide_error = state in (JobState.SUCCEEDED, JobState.CANCELLED)
    return JobInfo(
        id=execution.id,
        kind=execution.workflow_type,
        state=state,
        progress=await _noted(execution, "progress", Progress),
        enqueued_by=await _noted(execution, "enqueued_by", str),
        error=None if hide_error else await _noted(execution, "error", str),
    )


async def _newest(client: Client, page: Sequence[WorkflowExecution]) -> Sequence[WorkflowExecution]:
    """Leave out the runs of jobs that were retried after them, with one call at most."""
    ended = {
        execution.id: execution.run_id
        for execution in page
        if execution.status is not None
        and _STATES.get(execution.status) in (JobState.FAILED, JobState.CANCELLED)
    }
    if not ended:
        return page
    newest: dict[str, Any] = {}
    query = f"WorkflowId IN ({', '.join(map(_quoted, ended))})"
    async for run in client.list_workflows(query):
        if run.id not in newest or run.start_time > newest[run.id].start_time:
            newest[run.id] = run
    return [
        execution
        for execution in page
        if execution.id not in newest or newest[execution.id].run_id == execution.run_id
    ]


def _cursor(token: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.crc32(token).to_bytes(4) + token).decode()


def _token(cursor: str) -> bytes | None:
    """Return what the server calls the next page, or None for a cursor that is none of ours."""
    try:
        content = base64.urlsafe_b64decode(cursor)
    except ValueError:
        return None
    return content[4:] if content[:4] == zlib.crc32(content[4:]).to_bytes(4) else None


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]
