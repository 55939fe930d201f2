"""The stand-in of Temporal's UI: forwards to the one inside the development server."""

import asyncio
import os

HOST = os.environ["TEMPORAL_ADDRESS"].partition(":")[0]


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    from_ui, to_ui = await asyncio.open_connection(HOST, 8233)
    await asyncio.gather(copy(reader, to_ui), copy(from_ui, writer), return_exceptions=True)


async def main() -> None:
    async with await asyncio.start_server(forward, "0.0.0.0", 8080) as server:
        await server.serve_forever()


asyncio.run(main())
