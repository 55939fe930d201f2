"""FastAPI in front of a plain Celery task, both with default settings."""

import asyncio
import os

from celery import Celery
from fastapi import FastAPI, Response
from pydantic import BaseModel, EmailStr, Field

celery = Celery(
    "plain", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"]
)
celery.conf.task_default_queue = "plain"
app = FastAPI()


class Email(BaseModel):
    """The fields of the generated project's job."""

    to: EmailStr
    subject: str = Field(min_length=1, max_length=200, pattern=r"^[^\r\n]*$")
    body: str = Field(default="", max_length=100_000)


class Accepted(BaseModel):
    """The answer of the generated project's API."""

    id: str
    url: str


@celery.task
def send(to: str, subject: str, body: str) -> None:
    """Do nothing: no worker runs."""


@app.post("/email", status_code=202)
def post(email: Email, response: Response) -> Accepted:
    """Enqueue in one of FastAPI's threads."""
    return accepted(send.delay(**email.model_dump()).id, response)


@app.post("/email-to-thread", status_code=202)
async def post_to_thread(email: Email, response: Response) -> Accepted:
    """Enqueue in one of asyncio's threads."""
    task = await asyncio.to_thread(send.delay, **email.model_dump())
    return accepted(task.id, response)


def accepted(task_id: str, response: Response) -> Accepted:
    """Say where to look for it."""
    response.headers["Location"] = url = f"/jobs/{task_id}"
    return Accepted(id=task_id, url=url)
