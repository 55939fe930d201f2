"""A file of contacts, imported in the background."""

from contextlib import aclosing
from datetime import timedelta

from pydantic import BaseModel, EmailStr, Field
from sqlalchemy.ext.asyncio import AsyncSession

from internal.config import get_settings
from internal.jobs.send_email import SendEmail
from internal.runner import Job, JobContext, Policy
from internal.services.contacts import import_contacts
from internal.storage import FileName

IMPORTS = "imports"
"""The folder of the storage in which files are looked for."""


class Imported(BaseModel):
    """How much of the file is imported."""

    rows: int


class ImportContacts(Job):
    """Import a CSV file with the columns `email` and `name` of the storage."""

    kind = "import"
    policy = Policy(timeout=timedelta(hours=1), attempts=20)

    file: FileName = Field(
        description="The name of a file in the folder `imports` of the storage.",
        examples=["contacts.csv"],
    )
    notify: EmailStr | None = Field(default=None, description="Who is told when it is done.")

    async def run(self, ctx: JobContext) -> Imported:
        """Import batch by batch; after an interruption, go on with the row after the last one."""
        settings = get_settings()
        path = self.file if "/" in self.file else f"{IMPORTS}/{self.file}"

        async def tell(session: AsyncSession) -> None:
            if self.notify:
                body = f"All rows of {self.file} are imported."
                email = SendEmail(to=self.notify, subject="Your import is done", body=body)
                await ctx.enqueue(email, session=session)

        batches = import_contacts(path, ctx.key, settings, tell)
        async with aclosing(batches):
            async for done, total in batches:
                ctx.report(done, total)
        return Imported(rows=done)
