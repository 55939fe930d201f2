"""A TCP proxy that cuts connections in the middle of an answer."""

import random
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.kit.ports import free_port

__all__ = ["Cutter"]


class Cutter:
    """Forwards connections to a port; while it is `cutting`, each ends after a random byte of an answer."""

    def __init__(self, target: int, seed: int = 0) -> None:
        self.port = free_port()
        self.cutting = False
        self.cuts = 0
        self._target = target
        self._dice = random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            threading.Thread(target=self._copy, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, True), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        left = int(10 ** self._dice.uniform(1.5, 4))
        with suppress(OSError):
            while content := source.recv(65_536):
                if answers and self.cutting:
                    left -= len(content)
                    if left < 0:
                        sink.sendall(content[:left])
                        self.cuts += 1
                        break
                sink.sendall(content)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
                end.close()
