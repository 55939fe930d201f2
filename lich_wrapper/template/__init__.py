"""The template: where it comes from, what it asks, and how it is rendered."""

__all__: list[str] = []
