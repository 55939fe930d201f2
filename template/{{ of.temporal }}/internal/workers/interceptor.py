"""What holds for every activity.

Its log lines name the job, it ends before its attempt is given to another worker, and a
`PermanentError` makes that attempt the last one.
"""

import asyncio
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
        info = activity.info()
        job_id.set(info.workflow_id or "")
        limit = info.start_to_close_timeout
        try:
            # The server does not tell an attempt that its time is over: it starts the next.
            async with asyncio.timeout(limit.total_seconds() * 0.9 if limit else None):
                return await super().execute_activity(input)
        except PermanentError as error:
            raise ApplicationError(
                str(error), type=type(error).__name__, non_retryable=True
            ) from error
