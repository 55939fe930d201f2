"""What a client is told when a job cannot be had."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from internal.job_types import EngineUnavailable, JobConflict, JobNotFound


def register(app: FastAPI) -> None:
    """Answer the seam's errors with their status codes."""
    app.add_exception_handler(JobNotFound, _not_found)
    app.add_exception_handler(JobConflict, _conflict)
    app.add_exception_handler(EngineUnavailable, _unavailable)


def _not_found(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=404)


def _conflict(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=409)


def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    headers = {"Retry-After": str(EngineUnavailable.retry_after)}
    return JSONResponse({"detail": str(error)}, status_code=503, headers=headers)
