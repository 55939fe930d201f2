"""The jobs, as Celery tasks."""

from contextlib import aclosing

from celery import shared_task

import internal.celery_app  # noqa: F401 - whoever imports a task can send it
from internal import job_records
from internal.config import get_settings
from internal.job_task import RETRIES, JobTask, job_id, report, run
from internal.job_types import CleanUp, ImportContacts, SendEmail
from internal.services import contacts, email, retention


@shared_task(base=JobTask, kind=SendEmail.kind, **RETRIES)
def send_email(to: str, subject: str, body: str) -> bool:
    """Send one e-mail."""
    run(email.send_email(to, subject, body, key=job_id(), settings=get_settings()))
    return True


@shared_task(
    base=JobTask, kind=ImportContacts.kind, soft_time_limit=3600, time_limit=3630, **RETRIES
)
def import_contacts(file: str) -> dict[str, int]:
    """Import a CSV file; after an interruption, go on with the row after the last one."""
    return {"rows": run(_import_contacts(file))}


@shared_task(base=JobTask, kind=CleanUp.kind, **RETRIES)
def clean_up() -> dict[str, int]:
    """Remove what is past its retention."""
    removed: retention.Removed = run(retention.clean_up(get_settings()))
    return {
        "outbox_files": removed.outbox_files,
        "records": removed.records + job_records.forget_expired(),
    }


async def _import_contacts(file: str) -> int:
    settings = get_settings()
    rows = contacts.import_contacts(settings.imports_dir / file, settings.data_dir, job_id())
    async with aclosing(rows):
        async for progress in rows:
            report(progress)
    return progress.done
