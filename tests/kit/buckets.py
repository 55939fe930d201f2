"""Buckets of servers on this machine, and the settings by which a project uses them."""

import base64
import hashlib
import hmac
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import obstore
from obstore.store import AzureStore, LocalStore, ObjectStore, S3Store

from tests.kit.ports import free_port, listens
from tests.kit.waiting import until

__all__ = ["SECRET", "Bucket", "azure", "azure_missing", "folder", "form", "s3"]

SECRET = base64.b64encode(b"the secret of a bucket on this machine").decode()


@dataclass(frozen=True)
class Bucket:
    """A bucket that keeps the files of a project."""

    settings: dict[str, str]
    """The environment of the project's processes."""
    log: Path
    """What its server has printed."""
    store: ObjectStore
    unfinished: Callable[[], list[str]]
    """Lists what there is of uploads that have not come to their end."""

    def put(self, path: str, content: bytes) -> None:
        obstore.put(self.store, path, content)

    def files(self) -> list[str]:
        return [file["path"] for found in obstore.list(self.store) for file in found]


@contextmanager
def folder(path: Path) -> Iterator[Bucket]:
    """Use a folder, which is no bucket, but can be asked the same."""
    files = path / "files"
    files.mkdir()

    def unfinished() -> list[str]:
        return [file.name for file in files.rglob("*#*")]

    yield Bucket({"STORAGE_URL": files.as_uri()}, Path(os.devnull), LocalStore(files), unfinished)


@contextmanager
def s3(folder: Path) -> Iterator[Bucket]:
    """Run a server of S3 with an empty bucket."""
    port, log = free_port(), folder / "s3.log"
    url = f"http://127.0.0.1:{port}"
    with _serving([sys.executable, "-m", "moto.server", "-H", "127.0.0.1"], port, log):
        urllib.request.urlopen(urllib.request.Request(f"{url}/files", method="PUT"))
        settings = {
            "STORAGE_URL": "s3://files/project",
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        store = S3Store(
            "files", prefix="project", endpoint=url, region="us-east-1", access_key_id="key",
            secret_access_key=SECRET, client_options={"allow_http": True},
        )  # fmt: skip

        def unfinished() -> list[str]:
            with urllib.request.urlopen(f"{url}/files?uploads") as answer:
                return re.findall("<UploadId>(.*?)</UploadId>", answer.read().decode())

        yield Bucket(settings, log, store, unfinished)


@contextmanager
def azure(folder: Path) -> Iterator[Bucket]:
    """Run a server of Azure's blobs with an empty container: Microsoft's Azurite, from npm."""
    port, log = free_port(), folder / "azure.log"
    url = f"http://127.0.0.1:{port}/account"
    command = ["azurite-blob", "--inMemoryPersistence", "--disableTelemetry", "--blobHost"]
    accounts = {"AZURITE_ACCOUNTS": f"account:{SECRET}"}
    with _serving([*command, "127.0.0.1"], port, log, option="--blobPort", **accounts):
        _create_container(url)
        settings = {
            "STORAGE_URL": "az://files/project",
            "AZURE_STORAGE_ENDPOINT": url,
            "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ACCOUNT_KEY": SECRET,
        }
        store = AzureStore(
            "files", prefix="project", endpoint=url, account_name="account", account_key=SECRET,
            client_options={"allow_http": True},
        )  # fmt: skip
        # Blobs that are not committed are on no list.
        yield Bucket(settings, log, store, list)


def azure_missing() -> str | None:
    """Return why Azurite cannot run on this machine; None if it can."""
    return None if shutil.which("azurite-blob") else "azurite is not installed: npm install azurite"


def form(*content: bytes) -> Iterator[bytes]:
    """Yield a form with a file, part by part; its boundary is `x`."""
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    yield from content
    yield b"\r\n--x--\r\n"


@contextmanager
def _serving(
    command: list[str], port: int, log: Path, *, option: str = "-p", **environment: str
) -> Iterator[None]:
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, option, str(port)],
            env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        until(lambda: listens(port), describe=log.read_text)
        yield
    finally:
        server.kill()
        server.wait()


def _create_container(url: str) -> None:
    """Make the request that creates a container, signed with the account's key."""
    date, version = formatdate(usegmt=True), "2021-08-06"
    signed = f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{version}\n"
    signed += "/account/account/files\nrestype:container"
    digest = hmac.digest(base64.b64decode(SECRET), signed.encode(), hashlib.sha256)
    headers = {
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey account:{base64.b64encode(digest).decode()}",
    }
    address = f"{url}/files?restype=container"
    urllib.request.urlopen(urllib.request.Request(address, headers=headers, method="PUT"))
