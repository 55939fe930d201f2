"""The worker, which also knows the tests' own jobs, and does at once what it does at intervals."""

import logging

from internal.runner.registry import PACKAGES

PACKAGES.append("tests.jobs")

from internal.celery_app import app
from internal.runner import leases, recovery, watchdog

if __name__ == "__main__":
    recovery.INTERVAL = 0.1
    leases.RENEW_INTERVAL = 0.1
    watchdog.LIMIT = 0.2
    # What `celery worker` does, without its command line, which takes longer to load than all else.
    app.Worker(loglevel=logging.INFO, without_mingle=True, without_gossip=True).start()
