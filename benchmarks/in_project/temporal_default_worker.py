"""A worker with Temporal's default settings, for the same workflows."""

import asyncio
import os

from temporal_nothing import Nothing, do_nothing
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from internal.workers.activities import send_email_activity
from internal.workers.workflows import EmailNotificationWorkflow


async def main() -> None:
    """Connect and work until the process is killed."""
    client = await Client.connect(
        os.environ["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter
    )
    await Worker(
        client,
        task_queue="sample-project",
        workflows=[EmailNotificationWorkflow, Nothing],
        activities=[send_email_activity, do_nothing],
    ).run()


asyncio.run(main())
