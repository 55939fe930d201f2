"""Enqueue jobs of a generated project: `celery_enqueue_jobs.py KIND NUMBER`."""

import asyncio
import sys

from internal.runner import enqueue_many
from internal.runner.registry import registry

kind, number = sys.argv[1:]
definition = registry().kinds[kind]
asyncio.run(enqueue_many(definition() for _ in range(int(number))))
