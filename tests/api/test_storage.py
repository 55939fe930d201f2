"""Files that are sent to the API go into a folder or a bucket, and are imported from there."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.api.conftest import TOKEN, Serve
from tests.kit.buckets import SECRET, Bucket, azure, azure_missing, folder, form, s3
from tests.kit.waiting import until

pytestmark = pytest.mark.slow

MB = 1_000_000
SIZE = int(os.environ.get("LICH_UPLOAD", "60"))
"""How many megabytes a file has that is sent."""

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
FORM = HEADERS | {"Content-Type": "multipart/form-data; boundary=x"}

STORAGES = {"folder": folder, "s3": s3, "azure": azure}


@pytest.fixture(params=STORAGES)
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bucket]:
    if request.param == "azure" and (missing := azure_missing()):
        pytest.skip(missing)
    with STORAGES[request.param](tmp_path) as bucket:
        yield bucket


def ended(client: httpx2.Client, accepted: httpx2.Response) -> dict[str, object]:
    """Wait for a job's end, and return it."""
    assert accepted.status_code == 202, accepted.text
    url = accepted.json()["url"]
    until(lambda: client.get(url).json()["state"] in ("succeeded", "failed"))
    job: dict[str, object] = client.get(url).json()
    return job


def test_files_are_sent_to_the_storage_and_imported_from_there(
    serve: Serve, bucket: Bucket, tmp_path: Path
) -> None:
    limit = str((SIZE + 1) * MB)
    settings = bucket.settings | {"MAX_UPLOAD_SIZE": limit, "LOG_LEVEL": "DEBUG"}
    with (
        serve({"task_runner": "none"}, **settings) as api,
        httpx2.Client(base_url=api.url, headers=HEADERS, timeout=120) as client,
    ):
        bucket.put("imports/rows.csv", b"email,name\nada@example.com,Ada\n")
        stored = client.post("/jobs/import", json={"file": "rows.csv"})
        assert ended(client, stored)["result"] == {"rows": 1}

        rows = (b"email,name\nalan@example.com,", b"Alan\n")
        small = client.post("/jobs/import", content=form(*rows), headers=FORM)
        assert ended(client, small)["result"] == {"rows": 1}

        before = api.peak
        large = client.post("/jobs/import", content=form(*[b"x" * MB] * SIZE), headers=FORM)
        assert "a line has more than" in str(ended(client, large)["error"])
        print(f"{before / MB:.0f} MB before, {api.peak / MB:.0f} MB")
        assert api.peak - before < 45 * MB

        kept = bucket.files()
        too_large = client.post(
            "/jobs/import", content=form(*[b"x" * MB] * (SIZE + 2)), headers=FORM
        )
        assert too_large.status_code == 413
        broken_off = b"".join(form(b"x" * 20 * MB))[:-10]
        assert client.post("/jobs/import", content=broken_off, headers=FORM).status_code == 400
        assert (bucket.files(), bucket.unfinished()) == (kept, [])
    assert SECRET not in (tmp_path / "api.log").read_text()


# Azure removes what was not completed by itself, within a week.
@pytest.mark.parametrize("bucket", ["folder", "s3"], indirect=True)
def test_nothing_is_kept_of_an_upload_that_stops_or_takes_too_long(
    serve: Serve, bucket: Bucket
) -> None:
    settings = bucket.settings | {"REQUEST_TIMEOUT": "1", "UPLOAD_TIMEOUT": "4"}
    begin = b"".join(form(b"x" * 20 * MB))[:-10]
    with serve({"task_runner": "none"}, **settings) as api:
        for gives_up in (True, False):
            with socket.create_connection(("127.0.0.1", api.port)) as client:
                lines = [
                    "POST /jobs/import HTTP/1.1",
                    "Host: x",
                    f"Content-Length: {len(begin) + 10}",
                ]
                lines += [f"{name}: {value}" for name, value in FORM.items()]
                client.sendall("\r\n".join([*lines, "", ""]).encode() + begin)
                until(bucket.unfinished)
                if not gives_up:
                    client.settimeout(60)
                    assert client.recv(100).startswith(b"HTTP/1.1 408 ")
            until(lambda: not bucket.unfinished())
            assert bucket.files() == []


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_an_upload_to_a_bucket_that_does_not_exist_is_answered_with_503(
    serve: Serve, bucket: Bucket
) -> None:
    settings = bucket.settings | {"STORAGE_URL": "s3://missing/project"}
    with serve({"task_runner": "none"}, **settings) as api:
        url, content = f"{api.url}/jobs/import", form(b"email,name\n")
        answer = httpx2.post(url, content=content, headers=FORM, timeout=60)
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("The storage is not available: ")
