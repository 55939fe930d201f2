"""Probes for whatever runs the API."""

from fastapi import APIRouter

from api.errors import Unavailable
from internal import database, runner

router = APIRouter(tags=["health"])


@router.get("/livez")
async def live() -> dict[str, str]:
    """Tell that the process answers; a failure means: restart it."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": Unavailable, "description": "They cannot."}})
async def ready() -> dict[str, str]:
    """Tell that jobs can be enqueued and records read; 503 means: send requests elsewhere."""
    await database.check()
    await runner.check()
    return {"status": "ok"}
