"""The business functions, without a task runner."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from pydantic import AnyUrl
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from internal import storage
from internal.config import Settings, get_settings
from internal.database import transaction
from internal.models.contacts import Contact
from internal.models.deliveries import Delivery
from internal.services import contacts
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


async def test_an_international_domain_goes_as_punycode(mailbox: Mailbox) -> None:
    await send_email("ada@bücher.example", "Hi", "", key="k5", settings=get_settings())

    assert len(mailbox.to("ada@xn--bcher-kva.example")) == 1


async def test_an_address_that_the_server_cannot_take_fails_for_good(mailbox: Mailbox) -> None:
    with pytest.raises(EmailRejected, match="before the @-sign"):
        await send_email("jürgen@example.com", "Hi", "", key="k6", settings=get_settings())


@pytest.mark.parametrize(
    ("to", "subject"),
    [
        ("ada", "Hi"),
        ("ada@", "Hi"),
        *(("ada@example.com", f"a{character}b") for character in "\n\x0b\x85\u2028\u2029"),
    ],
)
async def test_what_can_never_be_sent_fails_for_good(
    settings: Settings, to: str, subject: str
) -> None:
    with pytest.raises(EmailRejected):
        await send_email(to, subject, "", key="k7", settings=settings)


async def test_an_absent_mail_server_may_come_back(settings: Settings) -> None:
    url = AnyUrl(f"smtp://127.0.0.1:{free_port()}")
    absent = settings.model_copy(update={"smtp_url": url})
    with pytest.raises(MailServerUnavailable, match=r"127\.0\.0\.1"):
        await send_email("a@example.com", "Hi", "", key="k4", settings=absent)


FILE = "imports/contacts.csv"


def stored(settings: Settings) -> Path:
    """Return where a file is while there is no `STORAGE_URL`."""
    path = settings.data_dir / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"email\na@example.com\n", "lacks the column name"),
        (b"", "lacks the column email and name"),
        (b"email,name\n\xff,x\n", "cannot be read"),
        (b"email,name\na@example.com,\0\n", "null character"),
        (b"email,name\nnobody,x\n", "row 1, email"),
        (b"email,name\na@example.com\n", "row 1, name"),
    ],
)
async def test_a_bad_file_is_refused_with_the_place(
    settings: Settings, content: bytes, problem: str
) -> None:
    stored(settings).write_bytes(content)
    with pytest.raises(InvalidFile, match=problem):
        async for _ in import_contacts(FILE, "import-1", settings):
            pass


async def test_a_missing_file_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidFile, match=r"no file contacts\.csv in the imports"):
        async for _ in import_contacts(FILE, "import-1", settings):
            pass


def write_contacts(settings: Settings, rows: int) -> None:
    lines = "".join(f"{n}@example.com,{n}\n" for n in range(rows))
    stored(settings).write_text(f"email,name\n{lines}")


async def test_an_import_goes_on_where_it_was_stopped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "BATCH", 4)
    write_contacts(settings, rows=10)
    first = import_contacts(FILE, "import-1", settings)
    async for done, _ in first:
        if done == 4:
            break
    await first.aclose()

    rest = [progress async for progress in import_contacts(FILE, "import-1", settings)]
    assert rest == [(4, 10), (8, 10), (10, 10)]


async def test_an_import_goes_on_after_its_last_row_in_a_file_that_was_edited(
    settings: Settings,
) -> None:
    path = stored(settings)
    path.write_text('email,name\na@example.com,"Ada\nL."\nb@example.com,B\nnobody,N\n')
    with pytest.raises(InvalidFile, match="row 3, email"):
        async for _ in import_contacts(FILE, "import-1", settings):
            pass
    path.write_text('email,name\na@example.com,A\nb@example.com,B\nc@example.com,"C\nC"\n')

    rest = [progress async for progress in import_contacts(FILE, "import-1", settings)]
    assert rest == [(2, 3), (3, 3)]
    async with transaction(settings) as session:
        names = await session.execute(select(Contact.name).order_by(Contact.email))
    assert names.scalars().all() == ["Ada\nL.", "B", "C\nC"]


async def test_a_row_is_done_once_even_by_two_runs_at_once(settings: Settings) -> None:
    write_contacts(settings, rows=2)
    first = import_contacts(FILE, "import-1", settings)
    second = import_contacts(FILE, "import-1", settings)
    await anext(first)
    await anext(second)

    assert [done async for done, _ in first] == [2]
    with pytest.raises(ImportTakenOver, match="row 1"):
        await anext(second)


COUNT_SLOWLY = text(
    "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 100000)"
    " SELECT count(*) FROM numbers"
)


async def test_a_cancelled_transaction_keeps_no_other_one_waiting(settings: Settings) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with transaction(settings) as session:
            session.add_all(Contact(email=f"{n}@example.com", name="") for n in range(200))
            await session.flush()
            # So many that not all are fetched at once: their cursor is open when this is cancelled.
            rows = await session.stream(select(Contact))
            begun.set()
            await session.execute(COUNT_SLOWLY)
            await rows.close()

    # As long as this is there, the traceback of its exception refers to the cursor.
    writing = asyncio.create_task(write())
    await begun.wait()
    writing.cancel()
    await asyncio.wait({writing})
    assert writing.cancelled()

    async with asyncio.timeout(5), transaction(settings) as session:
        session.add(Contact(email="0@example.com", name="Ada"))


async def test_a_task_that_is_cancelled_during_its_commit_ends_after_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, commit = asyncio.Event(), AsyncSession.commit

    async def commit_slowly(session: AsyncSession) -> None:
        begun.set()
        await asyncio.sleep(0.01)
        await commit(session)

    async def write() -> None:
        async with transaction(settings) as session:
            session.add(Contact(email="ada@example.com", name="Ada"))

    monkeypatch.setattr(AsyncSession, "commit", commit_slowly)
    writing = asyncio.create_task(write())
    await begun.wait()
    writing.cancel()
    await asyncio.wait({writing})
    assert writing.cancelled()

    async with transaction(settings, read_only=True) as session:
        assert await session.get(Contact, "ada@example.com")


async def test_a_file_that_another_process_has_removed_is_no_error(settings: Settings) -> None:
    await storage.remove("uploads/gone", settings)


async def test_only_what_is_past_its_retention_is_removed(settings: Settings) -> None:
    for key in ("old", "new"):
        await send_email("a@example.com", "Hi", "", key=key, settings=settings)
    long_ago = datetime.now(UTC) - timedelta(days=settings.retention_days + 1)
    os.utime(settings.outbox_dir / "old.eml", (long_ago.timestamp(), long_ago.timestamp()))
    old = update(Delivery).where(Delivery.message_id == "<old@example.com>")
    async with transaction(settings) as session:
        await session.execute(old.values(delivered_at=long_ago))

    removed = await clean_up(settings)
    assert (removed.outbox_files, removed.records) == (1, 1)
    assert [path.name for path in settings.outbox_dir.iterdir()] == ["new.eml"]
    removed = await clean_up(settings)
    assert (removed.outbox_files, removed.records) == (0, 0)
