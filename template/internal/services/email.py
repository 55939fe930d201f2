"""E-mail by SMTP, or into the local outbox while there is no server."""

import asyncio
import functools
import os
import re
from email import policy
from email.headerregistry import BaseHeader, HeaderRegistry
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, unquote

import aiosmtplib
from email_validator import EmailNotValidError, validate_email
from pydantic import AnyUrl
from sqlalchemy import bindparam, exists, select

from internal.config import Settings
from internal.database import DatabaseUnavailable, insert, transaction
from internal.errors import PermanentError
from internal.models.deliveries import Delivery

TIMEOUT = 20.0
"""How long, in seconds, each step of the talk with the mail server may take."""

RECORD_PAUSES = (0.5, 1, 2, 4, 8)
"""The pauses, in seconds, after which it is tried again to record what a mail server has accepted."""

# Made once, and of the table: made each time, of the class, they cost a third more CPU.
_IS_DELIVERED = select(exists().where(Delivery.__table__.c.message_id == bindparam("message_id")))
_DELIVERED = insert(Delivery.__table__).on_conflict_do_nothing()

UNSENDABLE = "\x00-\x1f\x7f-\x9f\u2028\u2029"
"""What a header cannot hold, as between brackets of a regular expression: it would end the line."""


class _Headers(HeaderRegistry):
    """Header classes, made once per name; the standard library makes one for each header."""

    @functools.cache  # noqa: B019 - one instance serves the whole process
    def __getitem__(self, name: str) -> type[BaseHeader]:
        return super().__getitem__(name)


_POLICY = policy.default.clone(header_factory=_Headers())


class EmailRejected(PermanentError):
    """No mail server, or not this one, will ever take this message."""


class MailServerUnavailable(Exception):
    """The mail server does not answer, or asks to be tried later."""


async def send_email(to: str, subject: str, body: str, *, key: str, settings: Settings) -> None:
    """Send one message; a second call with the same `key`, any text, does not send it again.

    Between the server's acceptance and our record of it lies a moment in which a crash
    leads to a second message; it carries the same Message-ID, by which mail systems
    recognise a duplicate.

    Raises `EmailRejected` or `MailServerUnavailable`.
    """
    if re.search(f"[{UNSENDABLE}]", subject):
        raise EmailRejected("The subject holds a line break or another control character")
    name = quote(key, safe="")
    sender = _sender(settings.mail_from)
    message = EmailMessage(_POLICY)
    message["From"] = sender
    message["To"] = _address(to)
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{name}@{sender.rpartition('@')[2]}>"
    message.set_content(body)

    delivery = {"message_id": str(message["Message-ID"])}
    async with transaction(settings, read_only=True) as session:
        if await session.scalar(_IS_DELIVERED, delivery):
            return
    if settings.mail_server:
        await _deliver(message, settings.mail_server)
    else:
        _write(message, settings.outbox_dir / f"{name}.eml")
    await _record(delivery, settings)


async def _record(delivery: dict[str, str], settings: Settings) -> None:
    """Record a message as sent, also if the database is away for some seconds.

    Without the record, the next attempt would send it again.
    """
    for pause in (*RECORD_PAUSES, None):
        try:
            async with transaction(settings) as session:
                await session.execute(_DELIVERED, delivery)
            return
        except DatabaseUnavailable:
            if pause is None:
                raise
            await asyncio.sleep(pause)


def _address(text: str) -> str:
    """Return an address as a mail server wants it, with an international domain as punycode."""
    try:
        address = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise EmailRejected(f"The address {text!r} is not valid: {error}") from error
    return f"{address.local_part}@{address.ascii_domain}"


# All messages have the same sender.
_sender = functools.cache(_address)


async def _deliver(message: EmailMessage, url: AnyUrl) -> None:
    implicit_tls = url.scheme == "smtps"
    try:
        await aiosmtplib.send(
            message,
            hostname=url.host,
            port=url.port or (465 if implicit_tls else 587),
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            use_tls=implicit_tls,
            # A password never travels in the clear; without one, TLS is used if offered.
            start_tls=True if url.username and not implicit_tls else None,
            timeout=TIMEOUT,
        )
    except aiosmtplib.SMTPNotSupported as error:
        if message["From"].isascii() and message["To"].isascii():
            raise MailServerUnavailable(f"{url.host} lacks what is set: {error}") from error
        raise EmailRejected(
            f"{url.host} takes no addresses with other than ASCII characters before the @-sign"
        ) from error
    except aiosmtplib.SMTPRecipientsRefused as error:
        refusal = error.recipients[0]
        raise _refused(refusal.code, refusal.message) from error
    except aiosmtplib.SMTPResponseException as error:
        raise _refused(error.code, error.message) from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise MailServerUnavailable(f"{url.host} cannot be reached: {error}") from error


def _refused(code: int, message: str) -> EmailRejected | MailServerUnavailable:
    # RFC 5321, 4.2.1: codes from 500 are permanent, those from 400 transient.
    kind = EmailRejected if code >= 500 else MailServerUnavailable
    return kind(f"The mail server answered {code} {message}")


def _write(message: EmailMessage, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    unfinished.write_bytes(bytes(message))
    unfinished.replace(path)
