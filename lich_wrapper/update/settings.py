"""Compares the settings that two renders of the template name in their `.env.example`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Settings", "compare_settings", "read_settings"]

_FILE: Final = ".env.example"
# A setting with its default, commented out or not.
_SETTING: Final = re.compile(r"^(?:#[ \t]*)?(?:export[ \t]+)?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that came, with their defaults (empty: there is none), and those that went."""

    gained: Mapping[str, str]
    lost: tuple[str, ...]


def read_settings(project: Path) -> dict[str, str]:
    """Return the settings by name, with their defaults, of a rendered project."""
    file = project / _FILE
    if file.is_symlink() or not file.is_file():
        return {}
    text = file.read_text(encoding="utf-8", errors="replace")
    return {name: default.strip() for name, default in _SETTING.findall(text)}


def compare_settings(old: Mapping[str, str], new: Mapping[str, str]) -> Settings:
    """Return what a project gains and loses from one set of settings to another."""
    return Settings(
        gained={name: default for name, default in new.items() if name not in old},
        lost=tuple(name for name in old if name not in new),
    )
