"""Files in a bucket of a real S3 server: sent through the API, and imported from there."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.api.conftest import TOKEN, Serve, running
from tests.kit.ports import free_port
from tests.kit.projects import Render, migrate
from tests.kit.waiting import until
from tests.kit.web import status

pytestmark = pytest.mark.slow

MB = 1_000_000
ROWS = 60_000
SECRET = "the-secret-of-the-bucket"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}

IMPORT = """
import asyncio
from internal.config import get_settings
from internal.services.contacts import import_contacts

async def main():
    async for _ in import_contacts("imports/rows.csv", "import-1", get_settings()):
        pass

asyncio.run(main())
"""


@dataclass(frozen=True)
class Bucket:
    """A bucket, and what a project needs to know of it."""

    url: str
    log: Path

    @property
    def settings(self) -> dict[str, str]:
        return {
            "STORAGE_URL": "s3://files/project",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def put(self, path: str, content: bytes) -> None:
        httpx2.put(f"{self.url}/files/project/{path}", content=content).raise_for_status()

    def files(self) -> list[str]:
        return re.findall("<Key>project/(.*?)</Key>", httpx2.get(f"{self.url}/files").text)

    def unfinished(self) -> list[str]:
        return re.findall("<UploadId>", httpx2.get(f"{self.url}/files?uploads").text)

    def reads(self, path: str) -> int:
        return self.log.read_text().count(f'"GET /files/project/{path} ')


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    port, log = free_port(), tmp_path / "s3.log"
    server = ("moto.server", "-H", "127.0.0.1", "-p", str(port))
    with running(tmp_path, {**os.environ}, log, *server):
        bucket = Bucket(f"http://127.0.0.1:{port}", log)
        until(lambda: status(f"{bucket.url}/") == 200, describe=log.read_text)
        httpx2.put(f"{bucket.url}/files").raise_for_status()
        yield bucket


def form(*content: bytes) -> Iterator[bytes]:
    """Yield a form with a file, part by part."""
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    yield from content
    yield b"\r\n--x--\r\n"


def ended(client: httpx2.Client, accepted: httpx2.Response) -> dict[str, object]:
    """Wait for a job's end, and return it."""
    assert accepted.status_code == 202, accepted.text
    url = accepted.json()["url"]
    until(lambda: client.get(url).json()["state"] in ("succeeded", "failed"))
    job: dict[str, object] = client.get(url).json()
    return job


def test_files_are_sent_to_a_bucket_and_imported_from_there(
    serve: Serve, bucket: Bucket, tmp_path: Path
) -> None:
    settings = bucket.settings | {"MAX_UPLOAD_SIZE": str(121 * MB), "LOG_LEVEL": "DEBUG"}
    typed = HEADERS | {"Content-Type": "multipart/form-data; boundary=x"}
    with (
        serve({"task_runner": "none"}, **settings) as api,
        httpx2.Client(base_url=api.url, headers=HEADERS, timeout=120) as client,
    ):
        bucket.put("imports/rows.csv", b"email,name\nada@example.com,Ada\n")
        stored = client.post("/jobs/import", json={"file": "rows.csv"})
        assert ended(client, stored)["result"] == {"rows": 1}

        rows = (b"email,name\nalan@example.com,", b"Alan\n")
        small = client.post("/jobs/import", content=form(*rows), headers=typed)
        assert ended(client, small)["result"] == {"rows": 1}

        large = client.post("/jobs/import", content=form(*[b"x" * MB] * 120), headers=typed)
        assert "a line has more than" in str(ended(client, large)["error"])
        assert api.peak < 200 * MB, f"{api.peak / MB:.0f} MB"

        kept = bucket.files()
        too_large = client.post("/jobs/import", content=form(*[b"x" * MB] * 122), headers=typed)
        assert too_large.status_code == 413
        broken_off = b"".join(form(b"x" * 20 * MB))[:-10]
        assert client.post("/jobs/import", content=broken_off, headers=typed).status_code == 400
        assert (bucket.files(), bucket.unfinished()) == (kept, [])
    assert SECRET not in (tmp_path / "api.log").read_text()


def test_an_import_from_a_bucket_that_is_killed_goes_on_at_its_offset(
    render: Render, bucket: Bucket, tmp_path: Path
) -> None:
    project = render({"task_runner": "none", "docs_language": "en", "python_version": "3.11"})
    environment = {**os.environ, **bucket.settings, "DATA_DIR": str(tmp_path / "data")}
    migrate(project, DATA_DIR=environment["DATA_DIR"])
    padding = "x" * 100
    lines = (f"{number}@example.com,{padding}\n" for number in range(ROWS))
    bucket.put("imports/rows.csv", ("email,name\n" + "".join(lines)).encode())
    program = [sys.executable, "-c", IMPORT]

    def known(query: str) -> int:
        with sqlite3.connect(tmp_path / "data/app.db") as database:
            return int(database.execute(query).fetchone()[0])

    first = subprocess.Popen(program, cwd=project, env=environment)
    try:
        until(lambda: known("SELECT coalesce(max(rows_done), 0) FROM imports") > ROWS / 2)
    finally:
        first.kill()
        first.wait()
    done = known("SELECT rows_done FROM imports")
    assert known("SELECT count(*) FROM contacts") == done < ROWS

    before = bucket.reads("imports/rows.csv")
    subprocess.run(program, cwd=project, env=environment, check=True, timeout=120)
    assert known("SELECT count(*) FROM contacts") == ROWS
    # The columns, and the half that was left, in blocks of a megabyte.
    size = len(padding) * ROWS / MB
    assert bucket.reads("imports/rows.csv") - before < 2 + (size * 1.3) / 2
