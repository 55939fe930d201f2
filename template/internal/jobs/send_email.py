"""An e-mail, sent in the background."""

from datetime import timedelta

from pydantic import EmailStr, Field

from internal.config import get_settings
from internal.runner import Job, JobContext, Policy
from internal.services.email import UNSENDABLE, send_email


class SendEmail(Job):
    """Send an e-mail."""

    kind = "email"
    # About a day, however long the mail server is away.
    policy = Policy(timeout=timedelta(seconds=30), attempts=300)

    to: EmailStr = Field(examples=["ada@example.com"])
    subject: str = Field(
        min_length=1, max_length=200, pattern=rf"^[^{UNSENDABLE}]*$", examples=["Welcome"]
    )
    body: str = Field(default="", max_length=100_000, examples=["Good to see you."])

    async def run(self, ctx: JobContext) -> bool:
        """Send it once, under the job's key."""
        await send_email(self.to, self.subject, self.body, key=ctx.key, settings=get_settings())
        return True
