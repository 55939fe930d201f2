"""What passes between the client, the workflow that runs jobs, and its activity."""

from pydantic import BaseModel, JsonValue

from internal.runner.states import Progress

SLEEP = "sleep"
"""The name of a workflow's pause, and the beginning of its timer's summary."""

WORKER_STOPPED = "WorkerStopped"
"""The type of the error of an attempt that its worker, at its own end, could not finish."""


class Call(BaseModel):
    """What an attempt is given."""

    input: dict[str, JsonValue]
    key: str
    attempt: int
    arguments: dict[str, JsonValue] = {}
    """Those of a step."""


class Outcome(BaseModel):
    """How an attempt ended that did not fail."""

    result: JsonValue = None
    progress: Progress | None = None
    cancelled: bool = False
