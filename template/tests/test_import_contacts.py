"""The sample job `import`, through the API."""

import asyncio
import csv
import os
import time
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select

from internal.config import get_settings
from internal.database import transaction
from internal.models.contacts import Contact
from internal.runner import EngineUnavailable, JobInfo, NotConfirmed
from internal.runner import client as engine
from tests.api import listed, post, until, wait, wait_until_listed
from tests.conftest import Mailbox

ENDLESS = 100_000
"""Rows of an import that is stopped long before it has done them all."""


def imports_folder() -> Path:
    """Return where the files to import are while there is no `STORAGE_URL`."""
    folder = get_settings().data_dir / "imports"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def contacts_file(rows: int) -> str:
    """Put a CSV file into the imports folder, and return its name."""
    folder = imports_folder()
    name = uuid4().hex
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["email", "name"])
        writer.writerows(
            [f"{number}-{name}@example.com", f"Nr. {number}"] for number in range(rows)
        )
    return f"{name}.csv"


def shorten(file: str, rows: int) -> None:
    """Leave only the first rows of a file."""
    path = imports_folder() / file
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: 1 + rows]))


def imported(file: str) -> int:
    """Count the contacts that came from a file."""
    address = f"%-{Path(file).stem}@example.com"

    async def count() -> int:
        async with transaction(read_only=True) as session:
            query = select(func.count()).where(Contact.email.like(address))
            return (await session.execute(query)).scalar_one()

    return asyncio.run(count())


def test_an_import_reports_its_progress(client: TestClient) -> None:
    file = contacts_file(rows=25)
    job_id = post(client, "import", {"file": file})

    job = wait(client, job_id)
    assert (job["kind"], job["state"], job["result"]) == ("import", "succeeded", {"rows": 25})
    assert job["progress"] == {"done": 25, "total": 25}
    assert imported(file) == 25


@pytest.mark.parametrize("rows", [0, 3])
def test_whoever_asks_for_it_gets_one_message_at_the_end(
    client: TestClient, mailbox: Mailbox, rows: int
) -> None:
    file = contacts_file(rows)
    address = f"{uuid4().hex}@example.com"
    key = uuid4().hex
    for _ in range(2):
        job_id = post(client, "import", {"file": file, "notify": address}, key)
        assert wait(client, job_id)["result"] == {"rows": rows}
    until(lambda: mailbox.to(address))
    [message] = mailbox.to(address)
    assert message["Subject"] == "Your import is done"


def test_what_is_no_file_is_refused_without_the_name_of_its_folder(client: TestClient) -> None:
    imports = imports_folder()
    pipe, folder = f"{uuid4().hex}.csv", f"{uuid4().hex}.csv"
    os.mkfifo(imports / pipe)
    (imports / folder).mkdir()
    for file in (pipe, folder):
        job = wait(client, post(client, "import", {"file": file}))
        error = f"InvalidFile: There is no file {file} in the imports folder."
        assert (job["state"], job["error"]) == ("failed", error)


def test_a_failed_import_is_listed_and_goes_on_after_its_last_row(client: TestClient) -> None:
    file = contacts_file(rows=3)
    path = imports_folder() / file
    good = path.read_text()
    path.write_text(good.replace("2-", "2 is not an address "))
    job_id = post(client, "import", {"file": file})

    job = wait(client, job_id)
    assert job["state"] == "failed"
    assert "row 3" in job["error"]
    assert imported(file) == 2
    wait_until_listed(client, job_id, state="failed")

    path.write_text(good)
    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert wait(client, job_id)["result"] == {"rows": 3}
    assert imported(file) == 3
    until(lambda: job_id not in listed(client, state="failed"))


def test_a_running_import_can_be_cancelled_and_resumed(client: TestClient) -> None:
    file = contacts_file(rows=ENDLESS)
    job_id = post(client, "import", {"file": file})
    wait(client, job_id, {"running"})
    wait(client, job_id, until=lambda job: bool(job["progress"] and job["progress"]["done"]))
    asked = time.monotonic()
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 202

    job = wait(client, job_id)
    # One second, and what a busy machine adds.
    assert time.monotonic() - asked < 3
    assert job["state"] == "cancelled"
    assert 0 < job["progress"]["done"] < job["progress"]["total"] == ENDLESS
    done = imported(file)
    time.sleep(0.1)
    assert imported(file) == done < ENDLESS

    shorten(file, done + 10)
    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert wait(client, job_id)["result"] == {"rows": done + 10}
    assert imported(file) == done + 10


@pytest.mark.parametrize("file", ["", "../secrets.csv", "/etc/passwd", "a\nb.csv", "..\\a.csv"])
def test_a_path_outside_of_the_imports_folder_is_refused(client: TestClient, file: str) -> None:
    assert client.post("/jobs/import", json={"file": file}).status_code == 422


def uploaded() -> list[Path]:
    """Return the files of all uploads."""
    return list((get_settings().data_dir / "uploads").glob("*"))


def test_a_file_can_be_sent_with_its_job(client: TestClient, mailbox: Mailbox) -> None:
    file = contacts_file(rows=3)
    content = (imports_folder() / file).read_bytes()
    address = f"{uuid4().hex}@example.com"
    key = {"Idempotency-Key": uuid4().hex}

    def send(content: bytes) -> Response:
        files = {"file": (file, content, "text/csv")}
        return client.post("/jobs/import", files=files, data={"notify": address}, headers=key)

    before = len(uploaded())
    first = send(content)
    assert first.status_code == 202, first.text
    assert wait(client, first.json()["id"])["result"] == {"rows": 3}
    assert imported(file) == 3
    until(lambda: mailbox.to(address))
    assert send(content).json() == first.json()
    assert send(content + b"nobody,N\n").status_code == 422
    assert len(uploaded()) == before + 1


@pytest.mark.parametrize("with_key", [False, True])
@pytest.mark.parametrize("error", [EngineUnavailable("away"), NotConfirmed("id", "away")])
def test_a_file_is_kept_while_its_job_may_exist(
    client: TestClient, with_key: bool, error: EngineUnavailable, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def enqueue(*_args: object, **_options: object) -> JobInfo:
        raise error

    monkeypatch.setattr(engine, "enqueue", enqueue)
    key = {"Idempotency-Key": uuid4().hex} if with_key else {}
    before = len(uploaded())
    for _ in range(2):
        files = {"file": ("a.csv", b"email,name\n")}
        assert client.post("/jobs/import", files=files, headers=key).status_code == 503
    kept = len(uploaded()) - before
    assert kept == (1 if with_key else 2 if isinstance(error, NotConfirmed) else 0)


@pytest.mark.parametrize(
    ("name", "fields", "status"),
    [
        ("../contacts.csv", {}, 422),
        ("a\\b.csv", {}, 422),
        (".hidden", {}, 422),
        ("contacts.csv", {"notify": "nobody"}, 422),
        ("contacts.csv", {"unknown": "field"}, 422),
        ("contacts.csv", {"notify": "x" * 20_000}, 422),
    ],
)
def test_nothing_is_kept_of_an_upload_that_is_refused(
    client: TestClient, name: str, fields: dict[str, str], status: int
) -> None:
    before = uploaded()
    answer = client.post("/jobs/import", files={"file": (name, b"email,name\n")}, data=fields)
    assert answer.status_code == status, answer.text
    assert uploaded() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nemail,na',
    ],
)
def test_an_upload_that_breaks_off_leaves_nothing(client: TestClient, body: bytes) -> None:
    before = uploaded()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/jobs/import", content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert uploaded() == before
