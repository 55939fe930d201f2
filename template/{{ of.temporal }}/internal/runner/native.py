"""Finds native Temporal code: every workflow and activity in the files of `internal/workers`."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from internal import workers

_MARKS = ("__temporal_workflow_definition", "__temporal_activity_definition")


@cache
def native_workflows() -> list[type]:
    """Return the classes with `@workflow.defn`."""
    return [value for value in _marked(_MARKS[0]) if isinstance(value, type)]


@cache
def native_activities() -> list[Callable[..., Any]]:
    """Return the functions with `@activity.defn`."""
    return list(_marked(_MARKS[1]))


def _marked(mark: str) -> Iterator[Any]:
    for name in sorted(module.name for module in pkgutil.iter_modules(workers.__path__)):
        if name == "main":
            continue
        module = importlib.import_module(f"{workers.__name__}.{name}")
        for value in list(vars(module).values()):
            if hasattr(value, mark) and value.__module__ == module.__name__:
                yield value
