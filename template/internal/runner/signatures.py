"""Arguments and results of a workflow's steps, as JSON and back, by the methods' annotations."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, get_type_hints

from pydantic import JsonValue, TypeAdapter

from internal.runner.attempts import to_json


def arguments_to_json(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, JsonValue]:
    """Return a step's arguments, without its context, by name; raise `TypeError` if they misfit."""
    bound = inspect.signature(function).bind(None, *args, **kwargs)
    bound.apply_defaults()
    _context, *given = bound.arguments.items()
    return {name: to_json(value, f"the argument {name}") for name, value in given}


def arguments_from_json(
    function: Callable[..., Any], arguments: Mapping[str, JsonValue]
) -> dict[str, Any]:
    """Return arguments as the step's annotations want them."""
    types = _types(_plain(function))
    return {name: types[name].validate_python(value) for name, value in arguments.items()}


def result_from_json(function: Callable[..., Any], result: JsonValue) -> Any:
    """Return a step's result as its annotation says."""
    return _types(_plain(function))["return"].validate_python(result)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(function, "__func__", function)


@cache
def _types(function: Callable[..., Any]) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(function, include_extras=True)
    _self, _context, *names = inspect.signature(function).parameters
    names.append("return")
    return {name: TypeAdapter(hints.get(name, Any)) for name in names}
