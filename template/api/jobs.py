"""Background jobs over HTTP: enqueue, list, look up, cancel, retry.

Every job of `internal/jobs` has a route `POST /jobs/KIND` whose body is the job's fields.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, BeforeValidator

from api import uploads
from api.access import Client, requires
from api.errors import CONFLICT, FOR_JOBS, NOT_FOUND
from internal import runner
from internal.access import Scope
from internal.config import get_settings
from internal.runner import Definition, JobInfo, JobPage, JobState
from internal.runner.registry import registry

router = APIRouter(prefix="/jobs", tags=["jobs"], responses=FOR_JOBS)

Enqueuer = Annotated[Client, requires(Scope.ENQUEUE)]
Reader = Annotated[Client, requires(Scope.READ, Scope.OPERATE)]
Operator = requires(Scope.OPERATE)


def _no_number(at: str | None) -> str | None:
    if at is not None and not at[:5].endswith("-"):
        raise ValueError("a time is a date first, such as 2030-01-31T08:00:00Z")
    return at


def _check_text(body: Any) -> Any:
    """Refuse what Python reads, but JSON cannot say: NaN, Infinity, halves of characters."""
    if isinstance(body, bytes):
        # Of these errors, pydantic reports a ValueError only, as a 422.
        raise ValueError("The body is not JSON: send it with Content-Type: application/json")  # noqa: TRY004
    try:
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise ValueError(
            "The body holds NaN, Infinity, a number that is too large or half of a character:"
            " JSON has no such values"
        ) from error
    return body


IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[A-Za-z0-9._~-]{1,100}$",
        description="A repeat with the same key and body is answered with the first job; with"
        " another body it is refused.",
    ),
]
At = Annotated[
    AwareDatetime | None,
    BeforeValidator(_no_number),
    Query(description="Do not run the job before this time, such as 2030-01-31T08:00:00Z."),
]

_JSON = BeforeValidator(_check_text)


class Accepted(BaseModel):
    """Where to look for a job that was accepted."""

    id: str
    url: str


def _route(definition: type[Definition]) -> Callable[..., Any]:
    """Return the function behind the route that enqueues one job of a kind."""

    async def enqueue(
        job: Any,
        response: Response,
        client: Enqueuer,
        idempotency_key: IdempotencyKey = None,
        at: At = None,
    ) -> Accepted:
        enqueued = await runner.enqueue(job, key=idempotency_key, at=at, enqueued_by=client.name)
        accepted = _accepted(enqueued)
        response.headers["Location"] = accepted.url
        return accepted

    # FastAPI reads the body's schema from here.
    without_fields = all(not field.is_required() for field in definition.model_fields.values())
    body = Body(default_factory=definition) if without_fields else Body()
    enqueue.__annotations__["job"] = Annotated[definition, body, _JSON]
    return enqueue


def _upload_route(definition: type[Definition], field: str) -> Callable[..., Any]:
    """Return the function behind the route that enqueues a job with the file it is sent."""

    async def enqueue_upload(
        request: Request,
        response: Response,
        client: Enqueuer,
        idempotency_key: IdempotencyKey = None,
        at: At = None,
    ) -> Accepted:
        key, name = idempotency_key, client.name
        async with uploads.received(request, definition, field, key, name) as job:
            enqueued = await runner.enqueue(job, key=key, at=at, enqueued_by=name)
        accepted = _accepted(enqueued)
        response.headers["Location"] = accepted.url
        return accepted

    return enqueue_upload


def _batch_route(definition: type[Definition]) -> Callable[..., Any]:
    """Return the function behind the route that enqueues many jobs of a kind."""

    async def enqueue_many(
        jobs: Any,
        client: Enqueuer,
        idempotency_key: IdempotencyKey = None,
        at: At = None,
    ) -> list[Accepted]:
        if idempotency_key is not None:
            jobs = {f"{idempotency_key}-{number}": job for number, job in enumerate(jobs)}
        enqueued = await runner.enqueue_many(jobs, at=at, enqueued_by=client.name)
        return [_accepted(job) for job in enqueued]

    body = Body(max_length=runner.REQUEST_LIMIT)
    # A type checker cannot know a class that is found when the program runs.
    enqueue_many.__annotations__["jobs"] = Annotated[list[definition], body, _JSON]  # type: ignore[valid-type]
    return enqueue_many


def _accepted(job: JobInfo) -> Accepted:
    return Accepted(id=job.id, url=f"{router.prefix}/{job.id}")


for _kind, _definition in registry().kinds.items():
    _field = uploads.file_field(_definition)
    if _field:
        router.add_api_route(
            f"/{_kind}",
            _upload_route(_definition, _field),
            methods=["POST"],
            status_code=202,
            name=f"enqueue {_kind} with a file",
            include_in_schema=False,
            max_body_size=get_settings().max_upload_size,
            route_class_override=uploads.FormRoute,
        )
    router.add_api_route(
        f"/{_kind}",
        _route(_definition),
        methods=["POST"],
        status_code=202,
        name=f"enqueue {_kind}",
        description=_definition.__doc__,
        openapi_extra=uploads.describe(_definition, _field) if _field else None,
    )
    router.add_api_route(
        f"/{_kind}/batch",
        _batch_route(_definition),
        methods=["POST"],
        status_code=202,
        name=f"enqueue many {_kind}",
        description=f"{_definition.__doc__} For each element of a list; with an idempotency key, the"
        " same list gives the same jobs.",
    )


@router.get("", dependencies=[Operator])
async def list_jobs(
    state: JobState | None = None,
    kind: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:-]{1,200}$")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=1_000)] = None,
) -> JobPage:
    """List jobs, the newest first; `cursor` is that of the page before."""
    return await runner.list_jobs(state=state, kind=kind, limit=limit, cursor=cursor)


@router.get("/{job_id}", responses=NOT_FOUND)
async def get_job(job_id: str, client: Reader) -> JobInfo:
    """Return a job's state, progress, result and error."""
    job = await runner.get(job_id)
    client.require_visible(job)
    return job


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    dependencies=[Operator],
    responses=NOT_FOUND | CONFLICT,
)
async def cancel_job(job_id: str) -> JobInfo:
    """Request that a job stops; 409 if it has already ended."""
    return await runner.cancel(job_id)


@router.post(
    "/{job_id}/retry", status_code=202, dependencies=[Operator], responses=NOT_FOUND | CONFLICT
)
async def retry_job(job_id: str) -> JobInfo:
    """Run a failed or cancelled job again under its old id; 409 for any other."""
    return await runner.retry(job_id)
