"""Make API keys: `python -m api.keys new NAME --scopes enqueue,read`."""

import argparse
from collections.abc import Sequence

from internal.access import Scope, new_key, parse_scopes


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a new token for the client, and its entry in `API_KEYS`, which holds only a hash."""
    parser = argparse.ArgumentParser(prog="python -m api.keys", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="new")
    new = commands.add_parser("new", help="make a key")
    new.add_argument("name", help="whose it is; a second key of the same name sees the same jobs")
    new.add_argument(
        "--scopes", default="enqueue,read", help=f"what it may do: {','.join(Scope)} (%(default)s)"
    )
    given = parser.parse_args(arguments)
    try:
        token, key = new_key(given.name, parse_scopes(given.scopes))
    except ValueError as error:
        parser.error(f"{error}.")
    print("# For the client, which sends it as Authorization: Bearer TOKEN. It is shown only now.")
    print(f"TOKEN={token}")
    print("# For the API. Several entries are divided by spaces, in quotes.")
    print(f"API_KEYS={key}")


if __name__ == "__main__":
    main()
