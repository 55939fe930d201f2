"""A backup of Temporal's file and of PostgreSQL holds all that they had answered for."""

import asyncio
import functools
import shutil
from pathlib import Path

import asyncpg
import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.kit import volumes
from tests.kit.ports import free_port
from tests.kit.postgresql import is_ready
from tests.kit.projects import Render, migrate
from tests.kit.waiting import until_async
from tests.temporal.conftest import Mailbox, Process, Stack

pytestmark = pytest.mark.slow

ROWS = 10


@pytest.mark.asyncio
async def test_after_a_restore_jobs_and_rows_are_there(render: Render, tmp_path: Path) -> None:
    project = render(
        {"project_name": "Sample", "task_runner": "temporal", "database": "postgresql"}
    )
    folders, port = tmp_path / "volumes", free_port()
    url = f"postgresql://sample@127.0.0.1:{port}/sample"
    stack = Stack(project, tmp_path, Mailbox(), free_port())
    stack.environment |= {"DATA_DIR": str(folders / "data"), "DATABASE_URL": url, "SMTP_URL": ""}
    imports = folders / "data/imports"
    imports.mkdir(parents=True)
    lines = "".join(f"{number}@example.com,{number}\n" for number in range(ROWS))
    (imports / "rows.csv").write_text(f"email,name\n{lines}")

    async def start() -> list[Process]:
        database = stack.start("dev.database")
        ready = functools.partial(asyncio.to_thread, is_ready, url)
        await until_async(ready, 30, describe=lambda: database.log)
        return [database, await stack.start_engine()]

    servers = await start()
    try:
        migrate(project, **stack.environment)
        worker = await stack.start_worker()
        done = await stack.client.start_workflow(
            "import", {"file": "rows.csv"}, id="import-done", task_queue="sample"
        )
        result = await done.result()
        await worker.stop()
        await stack.client.start_workflow(
            "email",
            {"to": "ada@example.com", "subject": "Hello"},
            id="email-waiting",
            task_queue="sample",
        )
        for server in servers:
            await server.stop()
        volumes.call(f"deploy/backup.sh {tmp_path}/backup", project, folders)
        shutil.rmtree(folders / "data")
        (folders / "data").mkdir()
        volumes.call(f"deploy/restore.sh {tmp_path}/backup", project, folders)
        await start()
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT count(*) FROM contacts") == ROWS
        await connection.close()
        assert await stack.client.get_workflow_handle("import-done").result() == result
        waiting = stack.client.get_workflow_handle("email-waiting")
        assert (await waiting.describe()).status is WorkflowExecutionStatus.RUNNING
        await stack.start_worker()
        assert await waiting.result() is True
        assert len(list((folders / "data/outbox").iterdir())) == 1
    finally:
        for process in reversed(stack.processes):
            await process.stop()
