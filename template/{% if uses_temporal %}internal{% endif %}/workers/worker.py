"""The worker as production and tests run it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from internal.config import Settings
from internal.workers import activities, workflows
from internal.workers.errors import PermanentErrors

WORKFLOWS = [
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
"""How long a worker that was told to stop lets activities finish; containers wait longer."""

# Cancellation reaches an activity with its next heartbeat, so this is how long it may take.
_HEARTBEAT_THROTTLE = timedelta(milliseconds=500)

SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
)
"""Runs workflows; refuses an import that is not passed through, which would cost too much."""


def build_worker(client: Client, settings: Settings) -> Worker:
    """Return the worker of this project's task queue, not yet running."""
    return Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=WORKFLOWS,
        activities=ACTIVITIES,
        interceptors=[PermanentErrors()],
        workflow_runner=SANDBOX,
        graceful_shutdown_timeout=GRACE,
        max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        deployment_config=_deployment(settings),
    )


def _deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    name, build_id = settings.temporal_deployment_name, settings.temporal_worker_build_id
    if not name or not build_id:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(name, build_id),
        use_worker_versioning=True,
        # Running jobs move on to the new version, which the replay test keeps able to take them.
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )
