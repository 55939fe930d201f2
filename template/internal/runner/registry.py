"""Finds the jobs: every `Job` and `Workflow` with a `kind` in the files of `internal/jobs`.

A file that cannot be imported, or a kind that two classes claim, is a problem that names the file;
all other jobs work.
"""

import importlib
import logging
import pkgutil
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from internal.runner.definitions import Definition, Job, Workflow

PACKAGES = ["internal.jobs"]
"""Where jobs are looked for; the tests add a package of theirs before anything else is imported."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registry:
    """The jobs of this project by kind, and what is wrong with those that are left out."""

    kinds: Mapping[str, type[Definition]]
    problems: tuple[str, ...]

    @property
    def queues(self) -> tuple[str, ...]:
        """The names of all queues that a job is enqueued to."""
        return tuple(sorted({definition.policy.queue for definition in self.kinds.values()}))

    @property
    def schedules(self) -> Mapping[str, str]:
        """The cron expressions of the kinds that have one."""
        return {
            kind: definition.policy.schedule
            for kind, definition in self.kinds.items()
            if definition.policy.schedule is not None and not _required(definition)
        }


@cache
def registry() -> Registry:
    """Import the files of `internal/jobs`, once in this process, and return what is in them."""
    found: dict[str, list[type[Definition]]] = {}
    problems = []
    for name in _modules():
        try:
            module = importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other jobs go on
            file = f"{name.replace('.', '/')}.py"
            problems.append(
                f"{file} cannot be imported, so its jobs do not exist:"
                f" {type(error).__name__}: {error}{_line(error, file)}."
            )
            continue
        for definition in _defined_in(module):
            found.setdefault(definition.kind, []).append(definition)
    for kind, definitions in found.items():
        if len(definitions) > 1:
            files = " and ".join(file_of(definition) for definition in definitions)
            problems.append(f"{files} both define the kind {kind!r}: rename one; neither works.")
    kinds = {kind: only for kind, [only, *others] in found.items() if not others}
    problems += [
        f"{file_of(definition)}: {definition.__name__} has a schedule, but cannot be made without"
        f" {', '.join(required)}: give the field a default."
        for definition in kinds.values()
        if definition.policy.schedule and (required := _required(definition))
    ]
    for problem in problems:
        _log.error(problem)
    return Registry(kinds, tuple(problems))


def file_of(definition: type[Definition]) -> str:
    """Return the path of the file that defines a job, for messages."""
    return f"{definition.__module__.replace('.', '/')}.py"


def _modules() -> Iterator[str]:
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            yield module.name


def _required(definition: type[Definition]) -> list[str]:
    return [name for name, field in definition.model_fields.items() if field.is_required()]


def _defined_in(module: ModuleType) -> Iterator[type[Definition]]:
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, Job | Workflow)
            and value.__module__ == module.__name__
            and "kind" in vars(value)
        ):
            yield value


def _line(error: Exception, file: str) -> str:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.endswith(file)
    ]
    return f" (line {lines[-1]})" if lines else ""
