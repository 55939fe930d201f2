"""Lets `python -m lich_wrapper` do what the `lich` command does."""

from lich_wrapper.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
