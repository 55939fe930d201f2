"""Native activities: each may be run again after a failure."""

from temporalio import activity

from internal.config import get_settings
from internal.services.email import send_email


@activity.defn
async def send_email_activity(email: str, subject: str) -> bool:
    """Send an e-mail once, under the workflow's id."""
    key = activity.info().workflow_id
    assert key  # noqa: S101 - it belongs to a workflow
    await send_email(email, subject, "", key=key, settings=get_settings())
    return True
