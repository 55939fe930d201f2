"""Prints, as JSON, the orders, the orders that jobs have confirmed, and what is in the outbox."""

import asyncio
import json

from sqlalchemy import select

from internal.database import transaction
from internal.models.contacts import Contact
from internal.models.outbox import OutboxJob


async def main() -> None:
    async with transaction(read_only=True) as session:
        contacts = (await session.scalars(select(Contact))).all()
        waiting = (await session.scalars(select(OutboxJob.id))).all()
    orders = [contact.email for contact in contacts if contact.name == "order"]
    confirmed = [contact.name for contact in contacts if contact.name != "order"]
    print(json.dumps([orders, confirmed, list(waiting)]))


asyncio.run(main())
