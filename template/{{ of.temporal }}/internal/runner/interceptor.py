"""What every activity gets: log lines with the job's id; and native ones, what `run_attempt` does.

A native activity ends before its attempt is given to another worker, and is not retried after a
`PermanentError`.
"""

import asyncio
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from internal.errors import PermanentError
from internal.logs import job_id
from internal.runner.activity import failure_of, run_attempt
from internal.runner.attempts import log_failure


class ActivityInterceptor(Interceptor):
    """Adds to every activity of a worker."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Return what is called instead of the activity."""
        return _Activity(next)


class _Activity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        job_id.set(info.workflow_id or "")
        if input.fn is run_attempt:
            return await super().execute_activity(input)
        limit = info.start_to_close_timeout
        try:
            # The server does not tell an attempt that its time is over: it starts the next.
            async with asyncio.timeout(limit.total_seconds() * 0.9 if limit else None):
                return await super().execute_activity(input)
        except PermanentError as error:
            log_failure(info.activity_type, error)
            raise failure_of(error) from error
