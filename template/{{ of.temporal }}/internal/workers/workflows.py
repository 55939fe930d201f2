"""The workflows: what happens in a job, step by step.

Temporal runs a workflow again from its history, so its code must come to the same
decisions each time: no clock, no input and output, no chance but `workflow`'s own; and a
change needs `workflow.patched` while jobs run that began before it (tests/test_replay.py).
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

# The sandbox loads a workflow's imports anew unless they are passed through: without this,
# every workflow would take 20 times as long.
with workflow.unsafe.imports_passed_through():
    from internal.services.contacts import Progress
    from internal.services.retention import Removed
    from internal.workers.activities import (
        clean_up_activity,
        import_contacts_activity,
        send_email_activity,
    )


@workflow.defn
class EmailNotificationWorkflow:
    """Send one e-mail."""

    @workflow.run
    async def run(self, email: str, subject: str, body: str = "") -> bool:
        """Try for a day, however often the mail server is away."""
        return await workflow.execute_activity(
            send_email_activity,
            args=[email, subject, body] if body else [email, subject],
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(days=1),
            retry_policy=_retry_policy(),
        )


@workflow.defn
class ImportContactsWorkflow:
    """Import a CSV file."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    @workflow.query
    def progress(self) -> Progress | None:
        """Say how far the import had come after its last step."""
        return self._progress

    @workflow.run
    async def run(self, file: str, rows_per_step: int = 10_000) -> dict[str, int]:
        """Import the file step by step; each goes on where the one before it ended."""
        while True:
            progress = await workflow.execute_activity(
                import_contacts_activity,
                args=[file, rows_per_step],
                start_to_close_timeout=timedelta(hours=1),
                schedule_to_close_timeout=timedelta(days=1),
                # A worker that dies is noticed this soon, and another one goes on.
                heartbeat_timeout=timedelta(seconds=15),
                # A cancelled import is one that has really stopped.
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                retry_policy=_retry_policy(),
            )
            self._progress = progress
            workflow.upsert_memo({"progress": progress})
            if progress.done >= progress.total:
                return {"rows": progress.done}
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(args=[file, rows_per_step])


@workflow.defn
class CleanUpWorkflow:
    """Remove what is past its retention; a schedule starts it every day."""

    @workflow.run
    async def run(self) -> Removed:
        """Clean up, or leave it to the next day."""
        return await workflow.execute_activity(
            clean_up_activity,
            start_to_close_timeout=timedelta(minutes=10),
            schedule_to_close_timeout=timedelta(hours=12),
            retry_policy=_retry_policy(),
        )


def _retry_policy() -> RetryPolicy:
    # The spread keeps jobs that failed together from coming back together.
    spread = workflow.random().uniform(0.5, 1.5)
    return RetryPolicy(
        initial_interval=timedelta(seconds=spread),
        backoff_coefficient=2,
        maximum_interval=timedelta(minutes=spread),
        # A wrong argument stays wrong. The services' own `PermanentError`s need no mention:
        # the worker marks all of them (interceptor.py).
        non_retryable_error_types=[TypeError.__name__, ValueError.__name__],
    )
