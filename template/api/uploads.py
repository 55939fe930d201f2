"""Files that are sent with a job, as a form: they go into the storage while they arrive."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from internal import storage
from internal.config import Settings, get_settings
from internal.runner import Definition, EngineUnavailable, KeyReused, NotConfirmed

MAX_FIELDS = 32
"""How many parts a form may have."""

MAX_TEXT = 10_000
"""How many bytes a field may have that is no file."""

FORM = "multipart/form-data"

_SAFE_NAME = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,199}")


class FormRoute(APIRoute):
    """A route for forms only; another one with the same path takes JSON."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request whose body is a form."""
        if scope["type"] != "http" or not _content_type(scope).startswith(FORM):
            return Match.NONE, {}
        return super().matches(scope)


def file_field(definition: type[Definition]) -> str | None:
    """Return the name of the field whose file may be sent with the job."""
    for name, field in definition.model_fields.items():
        if storage.UPLOADABLE in field.metadata:
            return name
    return None


def describe(definition: type[Definition], field: str) -> dict[str, Any]:
    """Return the OpenAPI schema of the form that a client may send instead of JSON."""
    schema = definition.model_json_schema()
    properties = schema["properties"] | {
        field: {"type": "string", "format": "binary", "description": "The file itself."}
    }
    form = {"type": "object", "properties": properties, "required": schema["required"]}
    return {"requestBody": {"content": {FORM: {"schema": form | {"additionalProperties": False}}}}}


@asynccontextmanager
async def received(
    request: Request, definition: type[Definition], field: str, key: str | None, client: str | None
) -> AsyncIterator[Definition]:
    """Store the file of a form, and yield the job that is to work on it, to be enqueued.

    Under the same idempotency key, the same form of the same client has the same name in the
    storage, so a job that is sent again is the same one. Nothing is kept of a form that is refused
    or breaks off, nor of one whose job is certain not to exist, unless it can be sent again.
    """
    settings = get_settings()
    if upload := request.scope.get("extensions", {}).get("upload"):
        upload["more_time"](settings.upload_timeout)
    partial = f"{storage.UPLOADS}/{uuid4().hex}{storage.PARTIAL}"
    values: dict[str, str] = {}
    parts = _parts(request)
    try:
        async for part in parts:
            if not isinstance(part, MultipartSegment):
                continue
            if part.name in values:
                raise HTTPException(422, "There is a field twice.")
            if part.name == field:
                values[field] = await _store(part, parts, partial, settings)
            else:
                values[part.name] = await _text(parts)
        form = json.dumps([values, client, key or uuid4().hex], sort_keys=True)
        name = f"{storage.UPLOADS}/{hashlib.sha256(form.encode()).hexdigest()}"
        job = _job(definition, values, field, name)
    except BaseException:
        if field in values:
            await storage.remove(partial, settings)
        raise
    await storage.rename(partial, name, settings)
    try:
        yield job
    except (EngineUnavailable, KeyReused) as error:
        # A job that may exist needs its file. A request that is repeated under its key replaces it.
        if isinstance(error, KeyReused) or not (key or isinstance(error, NotConfirmed)):
            await storage.remove(name, settings)
        raise


async def _parts(request: Request) -> AsyncIterator[MultipartSegment | bytes | None]:
    """Yield the head of each part, then its content, then None."""
    _, options = parse_options_header(_content_type(request.scope))
    try:
        parser = PushMultipartParser(options.get("boundary", ""), max_segment_count=MAX_FIELDS)
        with parser:
            async for chunk in request.stream():
                for event in parser.parse(chunk) if chunk else ():
                    yield event
    except MultipartError as error:
        raise HTTPException(400, "The form cannot be read.") from error


async def _store(
    head: MultipartSegment,
    parts: AsyncIterator[MultipartSegment | bytes | None],
    path: str,
    settings: Settings,
) -> str:
    """Write the content of a part, and return its hash."""
    if not head.filename or not _SAFE_NAME.fullmatch(head.filename):
        raise HTTPException(422, "The file has no name, or one with a slash or a leading dot.")
    digest = hashlib.sha256()

    async def content() -> AsyncIterator[bytes]:
        async for chunk in parts:
            if not isinstance(chunk, bytes | bytearray):
                return
            digest.update(chunk)
            yield bytes(chunk)

    await storage.write(path, content(), settings)
    return digest.hexdigest()


async def _text(parts: AsyncIterator[MultipartSegment | bytes | None]) -> str:
    text = b""
    async for chunk in parts:
        if not isinstance(chunk, bytes | bytearray):
            break
        text += chunk
        if len(text) > MAX_TEXT:
            raise HTTPException(422, f"A field has more than {MAX_TEXT} bytes.")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise HTTPException(422, "A field is not UTF-8.") from error


def _job(definition: type[Definition], values: dict[str, str], field: str, name: str) -> Definition:
    if field not in values:
        raise HTTPException(422, f"The form has no file in its field {field}.")
    try:
        return definition.model_validate({**values, field: name})
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from error


def _content_type(scope: Scope) -> str:
    return Headers(scope=scope).get("content-type", "")
