"""A file that is sent to the API, and imported from a bucket by workers that are killed meanwhile."""

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.kit.answers import Answers, name_of
from tests.kit.buckets import form, s3
from tests.kit.stack import running
from tests.kit.waiting import until
from tests.kit.web import status

pytestmark = pytest.mark.slow

ROWS = int(os.environ.get("LICH_ROWS", "20000"))
"""How many rows the file has; with 300000, before a release, Celery is tried too."""

KILLS = max(3, ROWS // 15_000)

WIDTH = 500
"""How many characters the names have, which makes a file of several blocks that are read at once."""

FORM = {"Content-Type": "multipart/form-data; boundary=x"}

TIMEOUTS = {
    "internal/runner/records.py": ("LEASE_TIMEOUT = 10.0", "LEASE_TIMEOUT = 3.0"),
    "internal/runner/workflow.py": (
        "TIMEOUT = timedelta(seconds=15)",
        "TIMEOUT = timedelta(seconds=3)",
    ),
}
"""What is waited for after each kill, in the source of a project: as it is, and how it is shortened."""

STACKS: list[Answers] = [{"task_runner": "temporal"}]
if "LICH_ROWS" in os.environ:
    STACKS.append({"task_runner": "celery", "celery_broker": "redis"})

# A row that is imported twice would not be seen in the table of contacts, which has each once.
WRITES = """
CREATE TABLE writes (email TEXT);
CREATE TRIGGER added AFTER INSERT ON contacts BEGIN INSERT INTO writes VALUES (new.email); END;
CREATE TRIGGER changed AFTER UPDATE ON contacts BEGIN INSERT INTO writes VALUES (new.email); END;
"""


@pytest.mark.parametrize("answers", STACKS, ids=name_of)
def test_each_row_of_a_sent_file_is_imported_once_whatever_worker_is_killed(
    answers: Answers, tmp_path: Path
) -> None:
    dice = random.Random(ROWS)
    with s3(tmp_path) as bucket, running(answers, tmp_path, wait_less) as stack:
        stack.settings |= bucket.settings
        worker = stack.start_worker()
        _, url = stack.start_api()
        until(lambda: status(f"{url}/readyz") == 200, describe=worker.log.read_text)
        with (
            closing(sqlite3.connect(stack.project / "data/app.db", timeout=30)) as database,
            httpx2.Client(base_url=url, timeout=60) as client,
        ):
            database.isolation_level = None
            database.executescript(WRITES)
            sent = client.post("/jobs/import", content=form(*lines()), headers=FORM)
            assert sent.status_code == 202, sent.text

            def look_up() -> dict[str, Any]:
                job: dict[str, Any] = client.get(sent.json()["url"]).json()
                return job

            def known(query: str) -> int:
                return int(database.execute(query).fetchone()[0])

            def is_after(row: float) -> bool:
                return known("SELECT coalesce(max(rows_done), 0) FROM imports") > row

            def reports_more_than(row: int) -> bool:
                progress = look_up()["progress"]
                assert progress or not row, "the progress was lost with the worker"
                return bool(progress) and int(progress["done"]) > row

            left, reads, seen = ROWS, 0, 0
            for moment in sorted(dice.uniform(0, 0.6 * ROWS) for _ in range(KILLS)):
                until(partial(is_after, moment), describe=worker.log.read_text, interval=0.01)
                # A job that takes down several workers without any progress would have failed.
                database.execute("BEGIN IMMEDIATE")
                until(partial(reports_more_than, seen))
                database.execute("COMMIT")
                seen = look_up()["progress"]["done"]
                time.sleep(dice.uniform(0, 0.1))
                worker.kill()
                left = ROWS - known("SELECT max(rows_done) FROM imports")
                reads = bucket.log.read_text().count("GET")
                print(f"killed with {left:,} rows left")
                worker.start()

            until(lambda: look_up()["state"] in ("succeeded", "failed"), 600)
            job = look_up()
            assert (job["state"], job["result"]) == ("succeeded", {"rows": ROWS}), job
            assert job["progress"] == {"done": ROWS, "total": ROWS}
            assert known("SELECT count(*) FROM contacts") == ROWS
            assert known("SELECT count(*) FROM writes") == ROWS
        assert len(bucket.files()) == 1
        # The columns, and what was left, in blocks of a megabyte.
        reads = bucket.log.read_text().count("GET") - reads
        assert reads <= 3 + left * (WIDTH + 20) / 1_000_000


def wait_less(project: Path) -> None:
    """Let a worker be replaced sooner that is lost."""
    [path] = [path for path in map(project.joinpath, TIMEOUTS) if path.exists()]
    before, after = TIMEOUTS[str(path.relative_to(project))]
    source = path.read_text()
    assert source.count(before) == 1
    path.write_text(source.replace(before, after))


def lines() -> Iterator[bytes]:
    """Yield the CSV file in chunks of 10,000 rows."""
    yield b"email,name\n"
    for first in range(0, ROWS, 10_000):
        rows = range(first, min(first + 10_000, ROWS))
        yield "".join(f"{row}@example.com,{row:0{WIDTH}}\n" for row in rows).encode()
