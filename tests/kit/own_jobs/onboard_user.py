"""New users, welcomed in the background."""

from datetime import timedelta

from pydantic import EmailStr, Field

from internal.config import get_settings
from internal.runner import JobContext, Workflow, WorkflowContext
from internal.services.email import send_email


class OnboardUser(Workflow):
    """Welcome a user, and write again three days later."""

    kind = "onboard-user"

    email: EmailStr = Field(examples=["ada@example.com"])

    async def run(self, ctx: WorkflowContext) -> list[str]:
        """Write twice."""
        first = await ctx.step(self.write, "Welcome")
        await ctx.sleep(timedelta(days=3))
        return [first, await ctx.step(self.write, "How is it going?")]

    async def write(self, ctx: JobContext, subject: str) -> str:
        """Send one message."""
        await send_email(self.email, subject, "Hello!", key=ctx.key, settings=get_settings())
        return ctx.key
