"""Finds jobs that are written for one task runner, which a switch to another one leaves behind."""

import ast
from collections.abc import Iterator
from typing import Final

from lich_wrapper.update.merge import Entry, Scratch

__all__ = ["native_jobs"]

# The decorators by which Temporal and Celery know a job, without the name of what holds them:
# `@workflow.defn`, `@activity.defn`, `@shared_task`, `@app.task`.
_DECORATORS: Final = frozenset({"defn", "shared_task", "task"})


def native_jobs(scratch: Scratch, template: str, project: str) -> dict[str, list[str]]:
    """Return the names of the user's own native jobs by file.

    `template` is the tree that the template rendered, `project` the user's: what both define is an
    example of the template.
    """
    found = {}
    for path, (rendered, own) in scratch.differences(template, project).items():
        if own is None or not path.endswith(".py"):
            continue
        known = set(_native(scratch, rendered))
        if names := [name for name in _native(scratch, own) if name not in known]:
            found[path] = names
    return found


def _native(scratch: Scratch, entry: Entry | None) -> Iterator[str]:
    if entry is None:
        return
    source = scratch.git().run("cat-file", "blob", entry.id).stdout
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return  # Nothing can be run from it, on any runner.
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and any(
            _name(decorator) in _DECORATORS for decorator in node.decorator_list
        ):
            yield node.name


def _name(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    match decorator:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
