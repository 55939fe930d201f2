"""What Temporal has to know of the errors of activities."""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from internal.services.errors import PermanentError


class ActivityErrors(Interceptor):
    """Log every failed attempt with its job, and let a `PermanentError` be the last one."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap an attempt at an activity."""
        return _ActivityErrors(next)


class _ActivityErrors(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except Exception as error:
            kind, info = type(error).__name__, activity.info()
            activity.logger.warning(
                "job %s, attempt %d: %s: %s", info.workflow_id, info.attempt, kind, error
            )
            if isinstance(error, PermanentError):
                raise ApplicationError(str(error), type=kind, non_retryable=True) from error
            raise
