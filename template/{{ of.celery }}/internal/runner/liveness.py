"""Files whose age says how long ago a worker, or beat, was seen alive."""

import tempfile
import time
from pathlib import Path

from internal.config import get_settings


def alive_file(role: str) -> Path:
    """Return the file that a worker, or beat, touches as long as it does its work."""
    return Path(tempfile.gettempdir()) / f"{get_settings().celery_task_default_queue}-{role}.alive"


def age(role: str) -> float | None:
    """Return how many seconds ago a worker, or beat, on this machine was seen alive."""
    try:
        return time.time() - alive_file(role).stat().st_mtime
    except FileNotFoundError:
        return None
