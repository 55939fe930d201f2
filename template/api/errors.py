"""What a client is told when a job cannot be enqueued or found."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from internal.runner import EngineUnavailable, JobConflict, JobNotFound, KeyReused, NotEnqueued

STATUS_CODES: dict[type[Exception], int] = {
    JobNotFound: 404,
    JobConflict: 409,
    KeyReused: 422,
    EngineUnavailable: 503,
}


def register(app: FastAPI) -> None:
    """Answer the errors of the jobs with their status codes."""
    for error in STATUS_CODES:
        app.add_exception_handler(error, _answer)


def _answer(_request: Request, error: Exception) -> JSONResponse:
    [status_code] = {code for kind, code in STATUS_CODES.items() if isinstance(error, kind)}
    headers = {"Retry-After": str(EngineUnavailable.retry_after)} if status_code == 503 else None
    content: dict[str, object] = {"detail": str(error)}
    if isinstance(error, NotEnqueued):
        content["job_ids"] = error.job_ids
    return JSONResponse(content, status_code=status_code, headers=headers)
