"""The worker as production and tests run it, and what it can do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from temporalio.client import Client, WorkflowHistory
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    Replayer,
    Worker,
    WorkerDeploymentConfig,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from internal.config import Settings
from internal.workers import activities, workflows
from internal.workers.interceptor import ActivityInterceptor

WORKFLOWS: list[type] = [
    workflows.EmailNotificationWorkflow,
    workflows.ImportContactsWorkflow,
    workflows.CleanUpWorkflow,
]

ACTIVITIES: list[Callable[..., Awaitable[object]]] = [
    activities.send_email_activity,
    activities.import_contacts_activity,
    activities.clean_up_activity,
]

GRACE = timedelta(seconds=25)
"""How long activities may go on when the worker is told to stop; containers wait longer."""

# An activity hears of its cancellation in the answer to a heartbeat, so this is how long it
# takes. Temporal's own choice is most of the heartbeat timeout.
_HEARTBEAT_THROTTLE = timedelta(milliseconds=500)

# An import that is not passed through would be done again for every workflow, at 10 times
# the cost of all the rest: the worker does not start with one.
_SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
)


def build_worker(client: Client, settings: Settings) -> Worker:
    """Return a worker for this project's task queue; it does not run yet."""
    return Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=WORKFLOWS,
        activities=ACTIVITIES,
        interceptors=[ActivityInterceptor()],
        workflow_runner=_SANDBOX,
        graceful_shutdown_timeout=GRACE,
        max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        deployment_config=_deployment(settings),
    )


def build_replayer() -> Replayer:
    """Return what runs the workflows again from recorded histories."""
    return Replayer(
        workflows=WORKFLOWS,
        workflow_runner=_SANDBOX,
        data_converter=pydantic_data_converter,
        build_id="replay",
    )


async def check_registration() -> None:
    """Raise `TypeError` or `RuntimeError` if a workflow or an activity is left out or unfit."""
    left_out = [
        name
        for module, mark, registered in (
            (workflows, "__temporal_workflow_definition", WORKFLOWS),
            (activities, "__temporal_activity_definition", ACTIVITIES),
        )
        for name, value in vars(module).items()
        if hasattr(value, mark) and value not in registered
    ]
    if left_out:
        raise TypeError(f"{', '.join(left_out)} must be registered in {__name__}.")
    # The sandbox loads every workflow before it asks for the first history.
    async with build_replayer().workflow_replay_iterator(_no_histories()):
        pass


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
