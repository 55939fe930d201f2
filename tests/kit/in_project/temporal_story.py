"""A workflow whose steps leave a trace, for `internal/jobs`."""

import asyncio
import os
from datetime import timedelta

from internal.config import get_settings
from internal.runner import JobContext, Policy, Workflow, WorkflowContext


class Story(Workflow):
    """Do steps in a row with pauses between them, then some side by side."""

    kind = "story"
    policy = Policy(first_backoff=timedelta(milliseconds=100))

    async def run(self, ctx: WorkflowContext) -> list[str]:
        """Return the keys of the steps."""
        keys = []
        for _ in range(4):
            keys.append(await ctx.step(self.write))
            await ctx.sleep(timedelta(seconds=1))
        return [*keys, *await asyncio.gather(*(ctx.step(self.write) for _ in range(2)))]

    async def write(self, ctx: JobContext) -> str:
        """Note the begin, with the process, and the end under the step's key."""
        folder = get_settings().data_dir / "story"
        folder.mkdir(exist_ok=True)
        with (folder / ctx.key).open("a") as file:
            file.write(f"begun {os.getpid()}\n")
            file.flush()
            await asyncio.sleep(0.3)
            file.write("done\n")
        return ctx.key
