"""The tests' worker: `celery -A tests.celery_app worker` knows the tests' own jobs as well."""

from internal.runner.registry import PACKAGES

PACKAGES.append("tests.jobs")

from internal.celery_app import app

__all__ = ["app"]
