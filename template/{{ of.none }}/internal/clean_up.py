"""The clean-up, for cron: `python -m internal.clean_up`."""

import asyncio
import logging

from internal.config import get_settings
from internal.logs import configure_logging
from internal.services.retention import clean_up


def main() -> None:
    """Remove what is past its retention, and log how much that was."""
    settings = get_settings()
    configure_logging(settings)
    removed = asyncio.run(clean_up(settings))
    logging.getLogger(__name__).info(
        "removed %d outbox files and %d records", removed.outbox_files, removed.records
    )


if __name__ == "__main__":
    main()
