"""Logs for people, or one JSON object a line for machines (`LOG_FORMAT=json`)."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

from internal.config import Settings

job_id: ContextVar[str] = ContextVar("job_id", default="")
"""The job that is being done; every log line says so."""

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}
_LINE = "%(asctime)s %(levelname)s %(name)s [%(job_id)s]: %(message)s"


class JsonFormatter(logging.Formatter):
    """Write a record, and every field that was logged with `extra`, as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def configure_logging(settings: Settings) -> None:
    """Send every log record to standard error, in the chosen format."""
    handler = logging.StreamHandler()
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter(_LINE, defaults={"job_id": "-"}))
    handler.addFilter(_add_job_id)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # The API's server comes with handlers of its own.
    for name in ("uvicorn", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def _add_job_id(record: logging.LogRecord) -> bool:
    if job_id.get():
        record.job_id = job_id.get()
    return True
