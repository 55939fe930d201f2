"""The activity that runs one attempt at a job, or at a step of a workflow.

There is one for all of them: Temporal calls it under the kind of a job, or as `KIND.STEP`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import JsonValue, ValidationError
from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from internal.errors import PermanentError, Unavailable
from internal.runner import client
from internal.runner.attempts import OUTAGE_PAUSE, Attempt, call, describe, to_json
from internal.runner.definitions import Definition, Job, Workflow
from internal.runner.jobs_loop import jobs_loop
from internal.runner.messages import WORKER_STOPPED, Call, Outcome
from internal.runner.registry import registry
from internal.runner.signatures import arguments_from_json
from internal.runner.states import Progress

HEARTBEAT_INTERVAL = 0.5
"""The seconds between two heartbeats: a cancellation request comes back with one."""

_log = logging.getLogger(__name__)


def definition_of(kind: str, fields: object) -> Definition:
    """Return a job from its kind and input; raise `ApplicationError`, which is not retried."""
    known = registry()
    try:
        return known.kinds[kind].model_validate(fields)
    except KeyError:
        problems = "".join(f" {problem}" for problem in known.problems)
        raise ApplicationError(
            f"This worker knows no job and no workflow of the kind {kind!r}.{problems}",
            type="UnknownKind",
            non_retryable=True,
        ) from None
    except ValidationError as error:
        raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from error


@activity.defn(dynamic=True)
async def run_attempt(args: Sequence[RawValue]) -> Outcome:
    """Run an attempt, send heartbeats meanwhile, and return its result and its progress."""
    given: Call = activity.payload_converter().from_payload(args[0].payload, Call)
    activity_type = activity.info().activity_type
    kind, _, step = activity_type.partition(".")
    definition = definition_of(kind, given.input)
    function = _function(definition, step)
    arguments = arguments_from_json(function, given.arguments) if step else {}
    name = ".".join(filter(None, (type(definition).__name__, step)))
    context: Attempt | None = None

    async def attempt() -> JsonValue:
        nonlocal context
        context = Attempt(given.key, given.attempt, client.enqueue)
        result = await call(function, context, definition.policy.timeout, **arguments)
        return to_json(result, f"The result of {name}")

    def progress() -> Progress | None:
        return context.progress if context else None

    _log.info("%s begins, attempt %d", activity_type, given.attempt)
    heartbeats = asyncio.create_task(_send_heartbeats(progress))
    try:
        result = await jobs_loop().run(attempt, f"{kind} ({activity.info().workflow_id})")
    except asyncio.CancelledError as error:
        details = activity.cancellation_details()
        if details and details.cancel_requested:
            _log.info("%s cancelled", activity_type)
            return Outcome(progress=progress(), cancelled=True)
        stopped = details and details.worker_shutdown
        raise failure_of(error, progress(), WORKER_STOPPED if stopped else None) from error
    except Exception as error:
        if isinstance(error, Unavailable):
            _log.warning("%s, attempt %d: %s", activity_type, given.attempt, describe(error))
        raise failure_of(error, progress()) from error
    finally:
        heartbeats.cancel()
    _log.info("%s succeeded", activity_type)
    return Outcome(result=result, progress=progress())


def _function(definition: Definition, step: str) -> Callable[..., Any]:
    if isinstance(definition, Job) and not step:
        return definition.run
    function: Callable[..., Any] | None = getattr(definition, step, None)
    if isinstance(definition, Workflow) and function is not None:
        return function
    raise ApplicationError(
        f"{type(definition).__name__} has no step {step!r}.", type="UnknownStep", non_retryable=True
    )


def failure_of(
    error: BaseException, progress: Progress | None = None, error_type: str | None = None
) -> ApplicationError:
    """Return the failure of an activity, by which the server and the workflow know the error."""
    category = ApplicationErrorCategory.UNSPECIFIED
    if isinstance(error, PermanentError | Unavailable):
        # The SDK logs the traceback of every other error.
        category = ApplicationErrorCategory.BENIGN
    return ApplicationError(
        str(error),
        *filter(None, [progress]),
        type=error_type or type(error).__name__,
        non_retryable=isinstance(error, PermanentError),
        category=category,
        # By this, the workflow knows that the attempt does not count.
        next_retry_delay=OUTAGE_PAUSE if isinstance(error, Unavailable) else None,
    )


async def _send_heartbeats(progress: Callable[[], Progress | None]) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_INTERVAL)
        activity.heartbeat(*filter(None, [progress()]))
