"""Record the histories that tests/test_replay.py replays.

    python -m tests.record_histories                     every job of internal/jobs, by its example
    python -m tests.record_histories WORKFLOW [ARG...]   a native workflow

One that is there already stays as it is; delete its file to have it recorded anew.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from alembic import command
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from internal.config import Settings, get_settings
from internal.runner.connection import connection
from internal.runner.queues import task_queue
from internal.runner.registry import registry
from internal.runner.worker import build_workers
from tests.conftest import ROOT
from tests.database import ALEMBIC
from tests.database import server as database_server
from tests.runner import server, wait_for_server
from tests.test_every_job import JOBS, example

FOLDER = ROOT / "tests" / "histories"


async def record(settings: Settings, workflows: dict[str, list[Any]]) -> None:
    """Run every workflow that has no history, and write down what happened in its first run."""
    client = await Client.connect(
        **connection(settings), data_converter=pydantic_data_converter, identity="recorder"
    )
    FOLDER.mkdir(exist_ok=True)
    async with AsyncExitStack() as running:
        for worker in build_workers(client, settings):
            await running.enter_async_context(worker)
        for name, arguments in workflows.items():
            path = FOLDER / f"{name}.json"
            if path.exists():
                continue
            kind = registry().kinds.get(name)
            queue = task_queue(settings, kind.policy.queue if kind else "default")
            job = await client.start_workflow(name, args=arguments, id=name, task_queue=queue)
            await job.result()
            run = client.get_workflow_handle(name, run_id=job.first_execution_run_id)
            history = (await run.fetch_history()).to_json_dict()
            path.write_text(json.dumps(history, indent=2) + "\n")
            print(f"{path.name}: {len(history['events'])} events")


def main() -> None:
    """Record with a server and in a folder that are there for nothing else."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]
    match sys.argv[1:]:
        case [workflow, *arguments]:
            workflows: dict[str, list[Any]] = {workflow: arguments}
        case _:
            workflows = {kind: [example(job)] for kind, job in JOBS.items()}
    with (
        server() as address,
        tempfile.TemporaryDirectory() as folder,
        database_server(Path(folder) / "database") as database,
    ):
        # No .env is read from there.
        os.chdir(folder)
        shutil.copytree(ROOT / "tests" / "data", Path("data"))
        os.environ |= {
            "DATABASE_URL": database,
            "TEMPORAL_ADDRESS": address,
            "TEMPORAL_TASK_QUEUE": "jobs",
            "SMTP_URL": "",
            "MAX_SLEEP": "0.2",
        }
        get_settings.cache_clear()
        command.upgrade(ALEMBIC, "heads")
        wait_for_server(address)
        asyncio.run(record(get_settings(), workflows))


if __name__ == "__main__":
    main()
