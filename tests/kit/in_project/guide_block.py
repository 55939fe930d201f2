"""Run a code block of a guide as if it stood in a route of the API: `guide_block.py CODE`.

It may await, and the jobs are connected. The block is the text under test: nothing else here is
evaluated from a text.
"""

import ast
import asyncio
import os
import sys

from internal import runner


async def main(block: str) -> None:
    """Run the block while jobs can be enqueued."""
    async with runner.lifespan():
        code = compile(block, "guide", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, {})
        if waiting is not None:
            await waiting


asyncio.run(main(sys.argv[1]))
sys.stdout.flush()
# An engine's client may crash an interpreter that ends in order; a serving API does not end.
os._exit(0)
