"""The worker as it runs in production, which also knows the tests' own jobs."""

import os

from internal.runner.registry import PACKAGES
from internal.workers.main import main

if __name__ == "__main__":
    PACKAGES.append("tests.jobs")
    os._exit(main())
