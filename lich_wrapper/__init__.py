"""Thin wrapper around Copier and git for the lich template; see `lich --help`."""

__all__: list[str] = []
