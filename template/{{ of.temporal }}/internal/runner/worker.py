"""The worker as production and tests run it: one of the SDK's workers for each queue."""

from collections.abc import AsyncIterator
from datetime import timedelta

from temporalio.client import Client, WorkflowHistory
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    Replayer,
    Worker,
    WorkerDeploymentConfig,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from internal.config import Settings
from internal.runner import activity
from internal.runner.interceptor import ActivityInterceptor
from internal.runner.native import native_activities, native_workflows
from internal.runner.payloads import DATA_CONVERTER
from internal.runner.queues import concurrency, queues_of_worker, task_queue
from internal.runner.workflow import RunJob

GRACE = timedelta(seconds=25)
"""How long activities may go on when the worker is told to stop; containers wait longer."""

# For native workflows. An import that is not passed through would be done again for every one, at
# 10 times the cost of all the rest: the worker does not start with one.
_SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
)

# Of a native workflow: what misfits its input stays so, and must not be retried for ever.
_FAILURES = [TypeError, ValueError]


def build_workers(client: Client, settings: Settings) -> list[Worker]:
    """Return a worker for each queue of this process; they do not run yet."""
    return [build_worker(client, settings, queue) for queue in queues_of_worker(settings)]


def build_worker(client: Client, settings: Settings, queue: str) -> Worker:
    """Return a worker for one queue; it does not run yet."""
    # A cancellation comes in the answer to a heartbeat, and by default the SDK holds heartbeats back
    # for most of their timeout.
    heartbeats = timedelta(seconds=activity.HEARTBEAT_INTERVAL)
    return Worker(
        client,
        task_queue=task_queue(settings, queue),
        workflows=[RunJob, *native_workflows()],
        activities=[activity.run_attempt, *native_activities()],
        interceptors=[ActivityInterceptor()],
        workflow_runner=_SANDBOX,
        workflow_failure_exception_types=_FAILURES,
        graceful_shutdown_timeout=GRACE,
        max_heartbeat_throttle_interval=heartbeats,
        default_heartbeat_throttle_interval=heartbeats,
        max_concurrent_activities=concurrency(settings, queue),
        # The server's limit, so it holds over all workers.
        max_task_queue_activities_per_second=settings.queue_rate.get(queue),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        deployment_config=_deployment(settings),
    )


def build_replayer() -> Replayer:
    """Return what runs workflows again from their histories."""
    return Replayer(
        workflows=[RunJob, *native_workflows()],
        workflow_runner=_SANDBOX,
        workflow_failure_exception_types=_FAILURES,
        data_converter=DATA_CONVERTER,
        build_id="replay",
    )


async def check_native() -> str | None:
    """Return why native workflows or activities do not load, or None."""
    try:
        native_activities()
        # The sandbox loads every workflow before it asks for the first history.
        async with build_replayer().workflow_replay_iterator(_no_histories()):
            pass
    except Exception as error:  # noqa: BLE001 - whatever it is that a file does as it is loaded
        return f"{type(error).__name__}: {error}\n{error.__cause__ or ''}".strip()
    return None


async def _no_histories() -> AsyncIterator[WorkflowHistory]:
    return
    yield  # it is this line that makes an iterator


def _deployment(settings: Settings) -> WorkerDeploymentConfig:
    name, build_id = settings.temporal_deployment_name, settings.temporal_worker_build_id
    versioned = bool(name and build_id)
    return WorkerDeploymentConfig(
        # Without any version, the SDK would hash all code to find one, at every start.
        version=WorkerDeploymentVersion(
            name or settings.temporal_task_queue, build_id or "unversioned"
        ),
        use_worker_versioning=versioned,
        # A running job moves to the newest version; the replay tests say whether it can.
        default_versioning_behavior=(
            VersioningBehavior.AUTO_UPGRADE if versioned else VersioningBehavior.UNSPECIFIED
        ),
    )
