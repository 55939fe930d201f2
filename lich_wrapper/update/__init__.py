"""An update: where it goes, what it would change, and how that is applied."""

__all__: list[str] = []
