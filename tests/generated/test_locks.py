"""One SQLite file is enough for an API, several workers and an import at the same time."""

from functools import partial
from pathlib import Path

import pytest

from tests.kit.answers import Answers
from tests.kit.stack import running
from tests.kit.waiting import until
from tests.kit.web import request, status

pytestmark = pytest.mark.slow

ANSWERS: Answers = {"task_runner": "celery", "celery_broker": "redis", "database": "sqlite"}
ROWS = 40_000
EMAILS = 200


def has_succeeded(job_url: str) -> bool:
    return bool(request(job_url)["state"] == "succeeded")


def test_nobody_finds_the_file_locked(tmp_path: Path) -> None:
    def write(project: Path) -> None:
        (project / "data/imports").mkdir(parents=True)
        rows = "".join(f"{number}@example.com,{number}\n" for number in range(ROWS))
        (project / "data/imports/rows.csv").write_text(f"email,name\n{rows}")

    with running(ANSWERS, tmp_path, write) as stack:
        api, url = stack.start_api()
        names = [f"worker-{number}" for number in range(3)]
        processes = [api, *(stack.start_worker(name) for name in names)]
        until(lambda: status(f"{url}/readyz") == 200)

        importing = {"file": "rows.csv", "notify": "ada@example.com"}
        ids = [str(request(f"{url}/jobs/import", importing)["id"])]
        emails = [{"to": f"{number}@example.com", "subject": "Hi"} for number in range(EMAILS)]
        for email in emails:
            ids.append(str(request(f"{url}/jobs/email", email)["id"]))
        ids.append(str(request(f"{url}/jobs/cleanup", {})["id"]))

        for job_id in ids:
            until(partial(has_succeeded, f"{url}/jobs/{job_id}"))
        # With the one that the import enqueues in its last transaction.
        outbox = stack.project / "data/outbox"
        until(lambda: len(list(outbox.glob("*.eml"))) == EMAILS + 1)
        logs = [process.log.read_text() for process in processes]
    for log in logs:
        assert "locked" not in log
        assert "not available" not in log
        assert "attempt 2" not in log
