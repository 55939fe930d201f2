"""One client cannot occupy the API, by the size of what it sends or by its slowness."""

import asyncio
import time

import httpx2
import pytest

from tests.api.conftest import TOKEN, Api, Serve

pytestmark = pytest.mark.slow

MB = 1_000_000
SLOW_CLIENTS = 300
TIMEOUT = 4

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

BODIES = {
    "a list of empty jobs": b"[" + b"{}," * (MB // 3 - 1) + b"{}]",
    "a list of lists": b"[" * (MB // 2) + b"]" * (MB // 2),
    "a text": b'{"to": "' + b"a" * (MB - 20) + b'"}',
    "many fields": b"{" + b",".join(b'"%d":1' % number for number in range(MB // 12)) + b"}",
    "a number": b'{"to": ' + b"9" * (MB - 20) + b"}",
    "escapes": b'{"subject": "' + b"\\u0041" * (MB // 6 - 10) + b'"}',
    "ten megabytes": b"[" + b"{}," * (10 * MB // 3) + b"{}]",
}


def test_no_single_request_takes_much_memory(serve: Serve) -> None:
    with (
        serve({"task_runner": "none"}) as api,
        httpx2.Client(headers=HEADERS, timeout=60) as client,
    ):
        for name, body in BODIES.items():
            for path in ("/jobs/email", "/jobs/email/batch"):
                answer = client.post(f"{api.url}{path}", content=body)
                assert answer.status_code in (400, 413, 422), name
                assert len(answer.content) < 10_000, name
                assert api.peak < 200 * MB, f"{name}: {api.peak / MB:.0f} MB"


@pytest.mark.asyncio
async def test_slow_clients_are_sent_away_and_hold_up_nobody(serve: Serve) -> None:
    with serve({"task_runner": "none"}, REQUEST_TIMEOUT=str(TIMEOUT)) as api:
        others = asyncio.create_task(slowest_answer(api))
        beginnings = [list(BEGINNINGS)[number % len(BEGINNINGS)] for number in range(SLOW_CLIENTS)]
        seen = await asyncio.gather(*(slow_client(api, beginning) for beginning in beginnings))
        assert max(seconds for seconds, _ in seen) < TIMEOUT + 8
        assert [answer for _, answer in seen] == [BEGINNINGS[beginning] for beginning in beginnings]
        assert await others < 2


BEGINNINGS = {
    b"": b"",
    b"POST /jobs/email HTTP/1.1\r\nHost: x\r\n": b"HTTP/1.1 408",
    b"POST /jobs/email HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
    b"Authorization: Bearer %b\r\nContent-Type: application/json\r\n\r\n"
    % TOKEN.encode(): b"HTTP/1.1 408",
    # It is answered at once; what follows is not waited for.
    b"POST /jobs/email HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n": b"HTTP/1.1 401",
}
"""How requests begin that never end, and how the answer to each begins."""


async def slow_client(api: Api, beginning: bytes) -> tuple[float, bytes]:
    """Send a byte now and then until the connection is closed.

    Return after how many seconds that was, and how the answer began.
    """
    answer = b""
    begin = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(beginning)
    try:
        while True:
            try:
                async with asyncio.timeout(0.5):
                    received = await reader.read(1000)
                if not received:
                    break
                answer += received
            except TimeoutError:
                if beginning:
                    writer.write(b"1")
    except ConnectionError:
        pass
    writer.close()
    return time.monotonic() - begin, answer[:12]


async def slowest_answer(api: Api) -> float:
    """Use the API for some seconds, and return how long the slowest answer took."""
    slowest = 0.0
    async with httpx2.AsyncClient(headers=HEADERS) as client:
        for _ in range(20):
            begin = time.monotonic()
            assert (await client.get(f"{api.url}/jobs")).status_code == 200
            slowest = max(slowest, time.monotonic() - begin)
            await asyncio.sleep(0.1)
    return slowest
