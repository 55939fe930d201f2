"""Print values of a project's modules as JSON: `look_up.py MODULE:NAME.NAME ...`."""

import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module


def look_up(name: str) -> object:
    """Return a module's value by its attributes' names, or its keys."""
    module, _, path = name.partition(":")
    value: object = import_module(module)
    for step in path.split("."):
        value = value[step] if isinstance(value, Mapping) else getattr(value, step)
    return value.total_seconds() if isinstance(value, timedelta) else value


print(json.dumps({name: look_up(name) for name in sys.argv[1:]}))
