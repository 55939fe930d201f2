"""What holds for every activity: its log lines name the job, and a `PermanentError` is final."""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from internal.logs import job_id
from internal.services.errors import PermanentError


class ActivityInterceptor(Interceptor):
    """Stand around every activity of a worker."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Return what is called instead of the activity."""
        return _Attempt(next)


class _Attempt(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        job_id.set(activity.info().workflow_id or "")
        try:
            return await super().execute_activity(input)
        except PermanentError as error:
            raise ApplicationError(
                str(error), type=type(error).__name__, non_retryable=True
            ) from error
