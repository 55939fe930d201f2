"""What a client is told when something does not work; nothing of what it sent is repeated."""

import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from internal.database import DatabaseUnavailable
from internal.runner import EngineUnavailable, JobConflict, JobNotFound, KeyReused, NotEnqueued
from internal.storage import StorageUnavailable

SHOWN = 20
"""How many problems of a request are named."""


class Problem(BaseModel):
    """What is wrong, in a sentence."""

    detail: str


class InvalidField(BaseModel):
    """What is wrong with one field of a request."""

    type: str
    loc: list[str | int]
    msg: str


class Invalid(BaseModel):
    """What is wrong with a request, by its fields or in a sentence."""

    detail: list[InvalidField] | str


class Unavailable(Problem):
    """What does not answer; with jobs that may not have been enqueued, if there were many."""

    job_ids: list[str] = []


Responses = dict[int | str, dict[str, Any]]

FOR_ALL: Responses = {
    400: {"model": Problem, "description": "The body cannot be read, or the host is not ours."},
    401: {"model": Problem, "description": "There is no valid token."},
    408: {"model": Problem, "description": "The request did not arrive in time."},
    413: {
        "model": Problem,
        "description": "The body is too large.",
        "content": {"text/plain": {}},
    },
    429: {"model": Problem, "description": "Too many requests; Retry-After says when to return."},
}
"""What every route may answer."""

FOR_JOBS: Responses = {
    403: {"model": Problem, "description": "The token lacks the scope."},
    422: {"model": Invalid, "description": "The request is not valid."},
    503: {
        "model": Unavailable,
        "description": "The engine does not answer; the same key may be tried again.",
    },
}
NOT_FOUND: Responses = {404: {"model": Problem, "description": "There is no such job."}}
CONFLICT: Responses = {409: {"model": Problem, "description": "The job's state does not allow it."}}

STATUS_CODES: dict[type[Exception], int] = {
    JobNotFound: 404,
    JobConflict: 409,
    KeyReused: 422,
    DatabaseUnavailable: 503,
    EngineUnavailable: 503,
    StorageUnavailable: 503,
}

_OWN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,49}")


def register(app: FastAPI) -> None:
    """Answer the errors of the jobs with their status codes."""
    for error in STATUS_CODES:
        app.add_exception_handler(error, _answer)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


def _answer(_request: Request, error: Exception) -> JSONResponse:
    [status_code] = {code for kind, code in STATUS_CODES.items() if isinstance(error, kind)}
    headers = {"Retry-After": str(EngineUnavailable.retry_after)} if status_code == 503 else None
    sentence = "There is no such job." if isinstance(error, JobNotFound) else str(error)
    content: dict[str, object] = {"detail": sentence}
    if isinstance(error, NotEnqueued):
        content["job_ids"] = error.job_ids
    return JSONResponse(content, status_code=status_code, headers=headers)


def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for no other
    problems = [_problem(problem) for problem in error.errors()[:SHOWN]]
    return JSONResponse({"detail": problems}, status_code=422)


def _problem(problem: dict[str, Any]) -> dict[str, Any]:
    kind, [*place] = problem["type"], problem["loc"]
    # In parentheses, what checks an address quotes it.
    message = re.sub(r"^Value error, | \(.*\)", "", problem["msg"])
    message = message.encode(errors="replace").decode()
    if kind == "extra_forbidden":
        # The last part is a name that the client made up.
        place, message = place[:-1], "There is a field that is not known here"
    place = [
        part if isinstance(part, int) or _OWN_NAME.fullmatch(part) else "..." for part in place
    ]
    return {"type": kind, "loc": place, "msg": message}
