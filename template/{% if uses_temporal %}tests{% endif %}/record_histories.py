"""Record the histories that tests/test_replay.py replays: `python -m tests.record_histories`.

Do so for a new workflow, and when no job takes an old way through one any more.
"""

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from internal.config import Settings, get_settings
from internal.workers.connection import connection
from internal.workers.worker import build_worker
from internal.workers.workflows import (
    CleanUpWorkflow,
    EmailNotificationWorkflow,
    ImportContactsWorkflow,
)
from tests.runner import server

FOLDER = Path(__file__).resolve().parent / "histories"


async def record(settings: Settings) -> None:
    """Run each workflow once, and write down what happened."""
    client = await Client.connect(
        **connection(settings), data_converter=pydantic_data_converter, identity="recorder"
    )
    queue = settings.temporal_task_queue
    async with build_worker(client, settings):
        await write(
            client,
            await client.start_workflow(
                EmailNotificationWorkflow.run,
                args=["ada@example.com", "Welcome", "Hello!"],
                id="email",
                task_queue=queue,
            ),
        )
        # The steps are so small that the history grows too long, and a second run goes on.
        await write(
            client,
            await client.start_workflow(
                ImportContactsWorkflow.run,
                args=[contacts_file(settings), 5],
                id="import",
                task_queue=queue,
            ),
        )
        await write(
            client,
            await client.start_workflow(CleanUpWorkflow.run, id="clean-up", task_queue=queue),
        )


async def write(client: Client, handle: WorkflowHandle[Any, Any]) -> None:
    """Wait for the end of a workflow, and write the history of its first run."""
    await handle.result()
    history = await client.get_workflow_handle(
        handle.id, run_id=handle.first_execution_run_id
    ).fetch_history()
    path = FOLDER / f"{handle.id}.json"
    path.write_text(json.dumps(json.loads(history.to_json()), indent=2) + "\n")
    print(f"{path.name}: {len(history.events)} events")


def contacts_file(settings: Settings) -> str:
    """Put a file of 40 rows where the import looks for it, and return its name."""
    settings.imports_dir.mkdir(parents=True)
    rows = "".join(f"{number}@example.com,{number}\n" for number in range(40))
    (settings.imports_dir / "contacts.csv").write_text(f"email,name\n{rows}")
    return "contacts.csv"


def main() -> None:
    """Record with a server and in a folder that are there for nothing else."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]
    with server() as address, tempfile.TemporaryDirectory() as folder:
        # No .env is read from there.
        os.chdir(folder)
        os.environ |= {"TEMPORAL_ADDRESS": address, "TEMPORAL_TASK_QUEUE": "jobs", "SMTP_URL": ""}
        asyncio.run(record(get_settings()))


if __name__ == "__main__":
    main()
