"""Record the histories that tests/test_replay.py replays: `python -m tests.record_histories`.

One that is there already stays as it is; delete its file to have it recorded anew.
"""

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from internal.config import Settings, get_settings
from internal.workers.connection import connection
from internal.workers.worker import build_worker
from tests.runner import server

FOLDER = Path(__file__).resolve().parent / "histories"

JOBS: dict[str, tuple[str, list[Any]]] = {
    "email": ("EmailNotificationWorkflow", ["ada@example.com", "Welcome", "Hello!"]),
    # The steps are so small that the history grows too long, and a second run goes on.
    "import": ("ImportContactsWorkflow", ["contacts.csv", 5]),
    "clean-up": ("CleanUpWorkflow", []),
}
"""The histories, and the workflows and arguments that they come from."""


async def record(settings: Settings) -> None:
    """Run every job that has no history, and write down what happened in its first run."""
    client = await Client.connect(
        **connection(settings), data_converter=pydantic_data_converter, identity="recorder"
    )
    async with build_worker(client, settings):
        for name, (workflow, arguments) in JOBS.items():
            path = FOLDER / f"{name}.json"
            if path.exists():
                continue
            job = await client.start_workflow(
                workflow, args=arguments, id=name, task_queue=settings.temporal_task_queue
            )
            await job.result()
            run = client.get_workflow_handle(name, run_id=job.first_execution_run_id)
            history = (await run.fetch_history()).to_json_dict()
            path.write_text(json.dumps(history, indent=2) + "\n")
            print(f"{path.name}: {len(history['events'])} events")


def contacts_file(settings: Settings) -> None:
    """Put a file of 40 rows where the import looks for it."""
    settings.imports_dir.mkdir(parents=True)
    rows = "".join(f"{number}@example.com,{number}\n" for number in range(40))
    (settings.imports_dir / "contacts.csv").write_text(f"email,name\n{rows}")


def main() -> None:
    """Record with a server and in a folder that are there for nothing else."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]
    with server() as address, tempfile.TemporaryDirectory() as folder:
        # No .env is read from there.
        os.chdir(folder)
        os.environ |= {"TEMPORAL_ADDRESS": address, "TEMPORAL_TASK_QUEUE": "jobs", "SMTP_URL": ""}
        contacts_file(get_settings())
        asyncio.run(record(get_settings()))


if __name__ == "__main__":
    main()
