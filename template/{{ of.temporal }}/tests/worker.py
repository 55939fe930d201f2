"""The worker as it runs in production, which also knows the tests' own jobs."""

import os

from internal.runner import activity
from internal.runner.registry import PACKAGES
from internal.workers.main import main

if __name__ == "__main__":
    PACKAGES.append("tests.jobs")
    # The answer to a heartbeat tells of a cancellation.
    activity.HEARTBEAT_INTERVAL = 0.1
    os._exit(main())
