"""The business functions, without a task runner."""

import os
import sqlite3
import time
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from pydantic import AnyUrl

from internal.config import Settings, get_settings
from internal.services.contacts import ImportTakenOver, InvalidFile, import_contacts
from internal.services.email import EmailRejected, MailServerUnavailable, send_email
from internal.services.retention import clean_up
from tests.conftest import Mailbox, free_port


async def test_without_a_mail_server_an_email_lands_in_the_outbox(settings: Settings) -> None:
    for _ in range(2):
        await send_email("a@example.com", "Hi", "Hello", key="k1", settings=settings)

    [path] = settings.outbox_dir.iterdir()
    message = message_from_bytes(path.read_bytes())
    assert (message["To"], message["Message-ID"]) == ("a@example.com", "<k1@example.com>")


async def test_the_same_key_is_delivered_once(mailbox: Mailbox) -> None:
    for _ in range(2):
        await send_email("once@example.com", "Hi", "", key="k2", settings=get_settings())

    assert len(mailbox.to("once@example.com")) == 1


async def test_the_mail_servers_answer_tells_what_helps(mailbox: Mailbox) -> None:
    settings = get_settings()
    mailbox.answers["a@example.com"] = ["550 unknown", "451 busy"]

    with pytest.raises(EmailRejected, match="550 unknown"):
        await send_email("a@example.com", "Hi", "", key="k3", settings=settings)
    with pytest.raises(MailServerUnavailable, match="451 busy"):
        await send_email("a@example.com", "Hi", "", key="k3", settings=settings)


async def test_an_absent_mail_server_may_come_back(settings: Settings) -> None:
    url = AnyUrl(f"smtp://127.0.0.1:{free_port()}")
    absent = Settings(data_dir=settings.data_dir, smtp_url=url)
    with pytest.raises(MailServerUnavailable, match=r"127\.0\.0\.1"):
        await send_email("a@example.com", "Hi", "", key="k4", settings=absent)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"email\na@example.com\n", "lacks the column name"),
        (b"", "lacks the column email and name"),
        (b"email,name\n\xff,x\n", "cannot be read"),
        (b"email,name\nnobody,x\n", "row 1, email"),
        (b"email,name\na@example.com\n", "row 1, name"),
    ],
)
async def test_a_bad_file_is_refused_with_the_place(
    settings: Settings, tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "contacts.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=problem):
        async for _ in import_contacts(path, settings.data_dir, "import-1"):
            pass


async def test_a_missing_file_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidFile, match=r"no file missing\.csv"):
        async for _ in import_contacts(Path("missing.csv"), settings.data_dir, "import-1"):
            pass


async def test_an_import_goes_on_where_it_was_stopped(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text("email,name\n" + "".join(f"{n}@example.com,{n}\n" for n in range(10)))
    first = import_contacts(path, settings.data_dir, "import-1")
    async for done, _ in first:
        if done == 4:
            break
    await first.aclose()

    rest = [done async for done, _ in import_contacts(path, settings.data_dir, "import-1")]
    assert rest == [4, 5, 6, 7, 8, 9, 10]


async def test_a_row_is_done_once_even_by_two_runs_at_once(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text("email,name\na@example.com,a\nb@example.com,b\n")
    first = import_contacts(path, settings.data_dir, "import-1")
    second = import_contacts(path, settings.data_dir, "import-1")
    await anext(first)
    await anext(second)

    assert [done async for done, _ in first] == [1, 2]
    with pytest.raises(ImportTakenOver, match="row 1"):
        await anext(second)


async def test_only_what_is_past_its_retention_is_removed(settings: Settings) -> None:
    for key in ("old", "new"):
        await send_email("a@example.com", "Hi", "", key=key, settings=settings)
    long_ago = time.time() - timedelta(days=settings.retention_days + 1).total_seconds()
    os.utime(settings.outbox_dir / "old.eml", (long_ago, long_ago))
    with sqlite3.connect(settings.data_dir / "app.db") as database:
        database.execute(
            "UPDATE deliveries SET delivered_at = datetime(?, 'unixepoch') WHERE message_id = ?",
            (long_ago, "<old@example.com>"),
        )

    removed = await clean_up(settings)
    assert (removed.outbox_files, removed.records) == (1, 1)
    assert [path.name for path in settings.outbox_dir.iterdir()] == ["new.eml"]
    removed = await clean_up(settings)
    assert (removed.outbox_files, removed.records) == (0, 0)
