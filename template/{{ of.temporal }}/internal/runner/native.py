"""Finds native Temporal code: every workflow and activity in the files of `internal/workers`."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

from internal import workers

_CALLS = {
    "execute_activity",
    "start_activity",
    "execute_local_activity",
    "start_local_activity",
}
_MARKS = ("__temporal_workflow_definition", "__temporal_activity_definition")


@cache
def native_workflows() -> list[type]:
    """Return the classes with `@workflow.defn`."""
    return [value for value in _marked(_MARKS[0]) if isinstance(value, type)]


@cache
def native_activities() -> list[Callable[..., Any]]:
    """Return the functions with `@activity.defn`."""
    return list(_marked(_MARKS[1]))


def undefined_activities() -> list[str]:
    """Return a sentence for each call of an activity that no file of `internal/workers` defines.

    A call is found in these files, where it names the activity by a text or by a name of the
    module. One with a `task_queue` is left out, for another project may define what is there.
    """
    known = {_name(function) for function in native_activities()}
    if None in known:
        return []  # A dynamic activity answers to every name.
    return [
        f"{_file(module)}:{line}: the activity {name!r} is called, but no file of"
        " internal/workers defines it."
        for module in _modules()
        for line, name in _called(module)
        if name not in known
    ]


def _modules() -> Iterator[ModuleType]:
    for name in sorted(module.name for module in pkgutil.iter_modules(workers.__path__)):
        if name != "main":
            yield importlib.import_module(f"{workers.__name__}.{name}")


def _marked(mark: str) -> Iterator[Any]:
    for module in _modules():
        for value in list(vars(module).values()):
            if hasattr(value, mark) and value.__module__ == module.__name__:
                yield value


def _called(module: ModuleType) -> Iterator[tuple[int, str]]:
    """Yield the line of each call of an activity, and the activity's name."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.Call) or _last_name(node.func) not in _CALLS:
            continue
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        if "task_queue" in named:
            continue
        activity = _value(module, node.args[0] if node.args else named.get("activity"))
        if name := activity if isinstance(activity, str) else _name(activity):
            yield node.lineno, name


def _file(module: ModuleType) -> str:
    return f"{module.__name__.replace('.', '/')}.py"


def _last_name(node: ast.expr) -> str | None:
    match node:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
    return None


def _value(module: ModuleType, node: ast.expr | None) -> Any:
    """Return what an expression stands for, as far as it consists of names of the module."""
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return vars(module).get(name)
        case ast.Attribute(owner, name):
            return getattr(_value(module, owner), name, None)
    return None


def _name(function: object) -> str | None:
    """Return an activity's name: None for a dynamic one, and for what is no activity."""
    return getattr(getattr(function, _MARKS[1], None), "name", None)
