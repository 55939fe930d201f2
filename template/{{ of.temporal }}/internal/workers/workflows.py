"""Native workflows, for what jobs cannot express: signals, queries, child workflows, patches.

Temporal runs a workflow again from its history, so it must come to the same decisions each time:
no clock, no input and output, no randomness but `workflow`'s own. Imports of your own modules go
under `with workflow.unsafe.imports_passed_through():`.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy


@workflow.defn
class EmailNotificationWorkflow:
    """Send one e-mail."""

    @workflow.run
    async def run(self, email: str, subject: str) -> bool:
        """Retry for a day, however often the mail server is away."""
        # Jitter keeps jobs that failed together from coming back together.
        jitter = workflow.random().uniform(0.5, 1.5)
        sent: bool = await workflow.execute_activity(
            "send_email_activity",
            args=[email, subject],
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(days=1),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=jitter),
                maximum_interval=timedelta(minutes=jitter),
                # A wrong argument stays wrong. A `PermanentError` needs no mention.
                non_retryable_error_types=[TypeError.__name__, ValueError.__name__],
            ),
        )
        return sent
