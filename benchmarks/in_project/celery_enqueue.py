"""Enqueue jobs: `celery_enqueue.py MODULE TASK NUMBER`."""

import sys
from importlib import import_module

module, name, number = sys.argv[1:]
task = getattr(import_module(module), name)
for _ in range(int(number)):
    task.delay()
