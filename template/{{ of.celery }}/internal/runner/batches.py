"""What many ask for in the same moment is done together: one round trip instead of many."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from internal.config import get_settings
from internal.runner.records import SCRIPT, SHA, TIMEOUT, Command, prefix

T = TypeVar("T")
Answer = TypeVar("Answer")

BATCH = 500
"""How many are done together at most."""


class Batches(Generic[T, Answer]):
    """Does one batch after the other: each is what was asked for while that before was done."""

    def __init__(self, do: Callable[[list[T]], Awaitable[Sequence[Answer | Exception]]]) -> None:
        """Do each batch by `do`, which returns an answer or an error for each of its items."""
        self._do = do
        self._waiting: list[tuple[T, asyncio.Future[Answer]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def add(self, item: T) -> Answer:
        """Return the answer for one item, or raise its error."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="batches")
        return await answer

    async def _send(self) -> None:
        answers: Sequence[Answer | Exception]
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                answers = await self._do([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
                answers = [error] * len(batch)
            for (_, waiting), answer in zip(batch, answers, strict=True):
                if waiting.done():
                    continue
                if isinstance(answer, Exception):
                    waiting.set_exception(answer)
                else:
                    waiting.set_result(answer)
        self._sender = None


class Records:
    """Does commands of the records from an event loop."""

    def __init__(self) -> None:
        self._redis = Redis.from_url(
            str(get_settings().celery_result_backend),
            decode_responses=True,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self._batches: Batches[Command[Any], Any] = Batches(self._execute)

    async def run(self, command: Command[T]) -> T:
        """Do a command, together with those of others; raise `RedisError` if Redis does not answer."""
        return command.answer(await self._batches.add(command))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _execute(self, commands: list[Command[Any]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.evalsha(SHA, 1, prefix(), *command.args)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        again = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if again:
            await self._redis.script_load(SCRIPT)
            for n, answer in zip(
                again, await self._execute([commands[n] for n in again]), strict=True
            ):
                answers[n] = answer
        return answers
