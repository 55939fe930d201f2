"""The activities: each does one step of a workflow, and may be run again after a failure."""

from contextlib import aclosing

from temporalio import activity

from internal.config import get_settings
from internal.services.contacts import Progress, import_contacts
from internal.services.email import send_email
from internal.services.retention import Removed, clean_up


@activity.defn
async def send_email_activity(email: str, subject: str, body: str = "") -> bool:
    """Send one e-mail; however often this runs for a job, the job's id lets it go out once."""
    await send_email(email, subject, body, key=_job_id(), settings=get_settings())
    activity.logger.info("sent")
    return True


@activity.defn
async def import_contacts_activity(file: str, rows: int) -> Progress:
    """Import the next rows of a file, and return how far it has come."""
    settings = get_settings()
    imported = import_contacts(settings.imports_dir / file, settings.data_dir, _job_id())
    async with aclosing(imported):
        progress = await anext(imported)
        activity.logger.info("goes on after row %d of %d", progress.done, progress.total)
        last = progress.done + rows
        async for progress in imported:
            # Carries the progress to the server, and a wish to cancel back from it.
            activity.heartbeat(progress)
            # A worker that is about to stop leaves the rest to another one.
            if progress.done >= last or activity.is_worker_shutdown():
                break
    activity.logger.info("has come to row %d of %d", progress.done, progress.total)
    return progress


@activity.defn
async def clean_up_activity() -> Removed:
    """Remove what is past its retention."""
    removed = await clean_up(get_settings())
    activity.logger.info(
        "removed %d outbox files and %d records", removed.outbox_files, removed.records
    )
    return removed


def _job_id() -> str:
    job_id = activity.info().workflow_id
    assert job_id  # noqa: S101 - all our activities belong to a workflow
    return job_id
