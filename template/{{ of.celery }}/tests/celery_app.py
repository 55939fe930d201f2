"""The tests' worker: `celery -A tests.celery_app worker` knows the tests' own jobs as well."""

import os

from internal.runner.registry import PACKAGES

PACKAGES.append("tests.jobs")

from internal.celery_app import app

app.conf.worker_soft_shutdown_timeout = float(os.environ.get("SOFT_SHUTDOWN", "20"))

__all__ = ["app"]
