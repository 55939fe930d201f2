"""What Temporal has to know of the services' errors."""

from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from internal.services.errors import PermanentError


class PermanentErrors(Interceptor):
    """Let an activity that raises a `PermanentError` fail at once; others are tried again."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap every activity of the worker."""
        return _PermanentErrors(next)


class _PermanentErrors(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except PermanentError as error:
            raise ApplicationError(
                str(error), type=type(error).__name__, non_retryable=True
            ) from error
