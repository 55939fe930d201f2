"""The Temporal workflow that runs every job and workflow of `internal/jobs`, whatever its kind.

Temporal runs it again from its history, so it must come to the same decisions each time; so must
the `run` of a workflow, which `determinism` watches instead of Temporal's sandbox.
"""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import JsonValue
from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

from internal import logs
from internal.runner.activity import definition_of
from internal.runner.attempts import (
    THREAD_GRACE,
    deadline_of,
    describe,
    log_failure,
    pause,
    to_json,
)
from internal.runner.backoff import backoff, with_jitter
from internal.runner.definitions import Definition, Workflow
from internal.runner.determinism import Guarded
from internal.runner.errors import DeadlineExceeded
from internal.runner.messages import SLEEP, WORKER_STOPPED, Call, Outcome
from internal.runner.signatures import arguments_to_json, result_from_json
from internal.runner.states import Progress
from internal.runner.steps import NumberedSteps, Step

HEARTBEAT_TIMEOUT = timedelta(seconds=15)
"""Without a heartbeat for so long, a worker is lost, and another one takes its job."""

MAX_LOST = 3
"""A job fails when so many workers in a row were lost with it, without progress in between: it may be
what kills them."""

# An attempt ends by itself at the policy's timeout; this is for a worker that is stuck.
_MARGIN = timedelta(seconds=THREAD_GRACE + 10)
# Attempts are counted here, where those that were lost with their worker can be left out.
_ONCE = RetryPolicy(maximum_attempts=1)


@workflow.defn(dynamic=True, sandboxed=False)
class RunJob:
    """Run a job; the workflow type is its kind."""

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> Any:
        """Return the job's result; its input is the first argument.

        The second are the steps that a run before this one has done: its history grew too long,
        or the job is retried.
        """
        info = workflow.info()
        logs.job_id.set(info.workflow_id)
        decode = workflow.payload_converter().from_payload
        definition = definition_of(
            info.workflow_type, decode(args[0].payload, dict[str, Any]) if args else {}
        )
        steps: dict[int, Step] = decode(args[1].payload, dict[int, Step]) if args[1:] else {}
        run = Run(definition, steps)
        work = asyncio.create_task(run.result())
        try:
            await workflow.wait_condition(lambda: work.done() or run.is_resting)
        except asyncio.CancelledError:
            work.cancel()
            return await work
        if not work.done():
            workflow.continue_as_new(args=[definition.input(), run.steps])
        return work.result()


class Run(NumberedSteps):
    """One run of a job or a workflow, and the context of a workflow."""

    def __init__(self, definition: Definition, steps: MutableMapping[int, Step]) -> None:
        super().__init__(type(definition).__name__, workflow.info().workflow_id, steps)
        self._definition = definition
        self._input = definition.input()
        self._deadline = deadline_of(definition.policy, workflow.info().start_time.timestamp())
        self._activities = 0
        self._running = 0
        self._leaving = False

    @property
    def is_resting(self) -> bool:
        """Whether the run is to go on in a new one, and no attempt is running."""
        return self._leaving and not self._running

    async def result(self) -> JsonValue:
        """Run the job to its end; raise `ApplicationError` for whatever it raises."""
        name = type(self._definition).__name__
        try:
            if isinstance(self._definition, Workflow):
                result = await Guarded(self._definition.run(self))
                return to_json(result, f"The result of {name}")
            self.steps.setdefault(0, Step(name))
            return await self._attempts(0, self._definition.kind, self.key, {})
        except FailureError:
            raise
        except Exception as error:
            text = describe(error)
            _remember(error=text)
            if not workflow.unsafe.is_replaying():
                log_failure(self._definition.kind, error)
            error_type, _, message = text.partition(": ")
            raise ApplicationError(message, type=error_type, non_retryable=True) from error

    async def step(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a step, unless it is done already, until it succeeds or has failed for good."""
        name = function.__name__
        if getattr(self._definition, name, None) != function:
            raise TypeError(
                f"{name} is no method of {type(self._definition).__name__}: ctx.step takes those."
            )
        number, _ = self.next_step(name)
        arguments = arguments_to_json(function, args, kwargs)
        # In a task of its own, which the guard of the workflow's decisions does not watch.
        work = asyncio.create_task(
            self._attempts(
                number, f"{self._definition.kind}.{name}", f"{self.key}.{number}", arguments
            )
        )
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            # The attempt is told, and has ended before the workflow goes on.
            work.cancel()
            await asyncio.wait([work])
            raise
        return result_from_json(function, work.result())

    async def sleep(self, duration: timedelta) -> None:
        """Wait, by a timer of the server, until the pause is over."""
        number, step = self.next_step(SLEEP)
        if not step.due:
            step = replace(step, due=workflow.time() + pause(duration).total_seconds())
            self.change(number, step)
        if not step.done:
            await _sleep_until(step.due, summary=f"{SLEEP} {number}")
            self._require_time()
            self.change(number, replace(step, done=True))

    def current_time(self) -> float:
        """Return the time, in seconds since 1970, the same whenever this run is repeated."""
        return workflow.time()

    async def _attempts(
        self,
        number: int,
        activity_type: str,
        key: str,
        arguments: Mapping[str, JsonValue],
    ) -> JsonValue:
        lost = 0
        seen: Sequence[Any] | None = None
        while not (step := self.steps[number]).done:
            await _sleep_until(step.due)
            self._require_time()
            await self._leave_if_long()
            call = Call(
                input=self._input, key=key, attempt=step.attempts + 1, arguments=dict(arguments)
            )
            self._activities += 1
            self._running += 1
            try:
                outcome = await workflow.execute_activity(
                    activity_type,
                    call,
                    result_type=Outcome,
                    activity_id=f"{number}.{self._activities}",
                    start_to_close_timeout=self._definition.policy.timeout + _MARGIN,
                    heartbeat_timeout=HEARTBEAT_TIMEOUT,
                    retry_policy=_ONCE,
                    # A cancelled job is one that has really stopped.
                    cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                )
            except ActivityError as error:
                if is_cancelled_exception(error) or _is_cancelled():
                    raise asyncio.CancelledError from error
                heartbeat = _last_heartbeat(error)
                lost = lost + 1 if heartbeat == seen else 1
                seen = heartbeat
                if heartbeat is None or lost == MAX_LOST:
                    self.change(number, self._failed(step, error))
                elif heartbeat and workflow.patched("progress-of-lost-attempt"):
                    # The server has forgotten it, and the next attempt has reported none yet.
                    _remember(progress=Progress.model_validate(heartbeat[0]))
            else:
                _remember(progress=outcome.progress, error=None)
                if outcome.cancelled:
                    raise asyncio.CancelledError
                self.change(number, replace(step, done=True, value=outcome.result, error=None))
            finally:
                self._running -= 1
        return step.result()

    def _failed(self, step: Step, error: ActivityError) -> Step:
        policy, cause = self._definition.policy, error.cause
        permanent, progress = False, None
        match cause:
            case TimeoutError(type=TimeoutType.HEARTBEAT):
                permanent = True
                text = f"WorkerLost: {MAX_LOST} workers in a row were lost with it"
            case TimeoutError():
                text = f"TimeoutError: not done within {policy.timeout.total_seconds():g} seconds"
            case ApplicationError():
                permanent, text = cause.non_retryable, f"{cause.type}: {cause.message}"
                [progress] = cause.details or [None]
            case _:
                text = describe(cause or error)
        if isinstance(cause, ApplicationError) and cause.type == WORKER_STOPPED:
            _remember(progress=progress)
            return step
        outage = isinstance(cause, ApplicationError) and cause.next_retry_delay
        attempts = step.attempts + (not outage)
        again_in = (
            with_jitter(outage, workflow.random())
            if outage
            else backoff(attempts, policy.first_backoff, policy.max_backoff, workflow.random())
        )
        done = permanent or (not outage and attempts >= policy.attempts)
        _remember(progress=progress, error=None if done else text)
        return replace(
            step,
            done=done,
            error=text,
            permanent=permanent,
            attempts=attempts,
            due=workflow.time() + pause(again_in).total_seconds(),
        )

    def _require_time(self) -> None:
        """Raise `DeadlineExceeded` in a job that some client started without a timeout.

        The server ends the others, also while there is no worker.
        """
        if workflow.time() > self._deadline:
            raise DeadlineExceeded

    async def _leave_if_long(self) -> None:
        """Wait for ever if the history is long: this goes on in a new run."""
        if workflow.info().is_continue_as_new_suggested():
            self._leaving = True
            await asyncio.get_running_loop().create_future()


def _remember(**values: object) -> None:
    """Keep the progress, or the last error, where callers of the client find them."""
    if values.get("progress", ...) is None:
        del values["progress"]
    changes = {
        name: value
        for name, value in values.items()
        if value != workflow.memo_value(name, None, type_hint=_MEMO[name])
    }
    if changes:
        workflow.upsert_memo(changes)


_MEMO: Mapping[str, type] = {"progress": Progress, "error": str}


async def _sleep_until(due: float, summary: str | None = None) -> None:
    duration = due - workflow.time()
    if duration > 0:
        await workflow.sleep(duration, summary=summary)


def _last_heartbeat(error: ActivityError) -> Sequence[Any] | None:
    """Return the progress, if any, of an attempt that was lost with its worker; None for others."""
    if isinstance(error.cause, TimeoutError) and error.cause.type is TimeoutType.HEARTBEAT:
        return error.cause.last_heartbeat_details
    return None


def _is_cancelled() -> bool:
    """Tell whether the current task was cancelled, which an activity that ends anyway hides."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
