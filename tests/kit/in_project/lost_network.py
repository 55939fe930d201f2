"""Prints, as JSON, how transactions end whose network is lost without a word, and one after that.

Run in a project, in a network of its own in which the database is at a port of the loopback. One
transaction waits for an answer at that moment, another begins with a connection that was idle.
"""

import asyncio
import json
import subprocess

from sqlalchemy import text

from internal.database import DatabaseUnavailable, engine, transaction

engine.SILENCE = 3
engine.CONNECT_TIMEOUT = 1.0

LIMIT = 60.0
"""Seconds after which a transaction is taken for one that never ends."""


def loopback(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def end_of(*statements: str) -> str:
    try:
        async with asyncio.timeout(LIMIT), transaction() as session:
            for statement in statements:
                await session.execute(text(statement))
    except (DatabaseUnavailable, TimeoutError) as error:
        return type(error).__name__
    return "committed"


async def main() -> None:
    # What lets connections out may not have begun yet.
    while await end_of("SELECT 1") != "committed":
        await asyncio.sleep(0.05)
    waiting = asyncio.create_task(end_of("SELECT pg_sleep(600)"))
    await end_of("SELECT pg_sleep(0.1)")
    loopback("down")
    ends = await asyncio.gather(waiting, end_of("SELECT 1"))
    loopback("up")
    print(json.dumps([*ends, await end_of("SELECT 1")]))


asyncio.run(main())
