"""Background jobs over HTTP: enqueue, look, cancel, retry."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel

from internal import jobs
from internal.job_types import ImportContacts, Job, JobRequest, JobState, SendEmail

router = APIRouter(prefix="/jobs", tags=["jobs"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[A-Za-z0-9._~-]{1,100}$",
        description="The same key never does the work twice: a repeat answers with the first job.",
    ),
]


class Accepted(BaseModel):
    """Where to look for a job that was accepted."""

    id: str
    url: str


@router.post("/email", status_code=202)
async def send_email(
    email: SendEmail,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Accepted:
    """Send an e-mail in the background."""
    return await _enqueue(email, idempotency_key, request, response)


@router.post("/import", status_code=202)
async def import_contacts(
    file: ImportContacts,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Accepted:
    """Import a CSV file from the imports folder in the background."""
    return await _enqueue(file, idempotency_key, request, response)


@router.get("")
async def list_jobs(
    state: Literal[JobState.FAILED],
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[Job]:
    """List the failed jobs, the newest first."""
    return await jobs.list_failed(limit)


@router.get("/{job_id}")
async def get_job(job_id: str) -> Job:
    """Say how a job is doing."""
    return await jobs.get(job_id)


@router.post("/{job_id}/cancel", status_code=202)
async def cancel_job(job_id: str) -> Job:
    """Ask a job to stop; 409 when it has already ended."""
    return await jobs.cancel(job_id)


@router.post("/{job_id}/retry", status_code=202)
async def retry_job(job_id: str) -> Job:
    """Run a failed or cancelled job again under its old id; 409 for any other."""
    return await jobs.retry(job_id)


async def _enqueue(
    job_request: JobRequest, key: str | None, request: Request, response: Response
) -> Accepted:
    job = await jobs.enqueue(job_request, key=key)
    url = request.app.url_path_for("get_job", job_id=job.id)
    response.headers["Location"] = url
    return Accepted(id=job.id, url=url)
