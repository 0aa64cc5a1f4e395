"""A TCP listener that leads to a Unix socket, since curl takes no proxy on one."""

import socket
import threading
from pathlib import Path


class Bridge:
    """Every connection to `address` becomes one to the socket."""

    def __init__(self, path: Path):
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Takes no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket):
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(str(self._path))
            upwards = threading.Thread(target=_copy, args=(near, far))
            upwards.start()
            _copy(far, near)
            # Wakes the other direction, which nobody waits for any more.
            _end(near, socket.SHUT_RD)
            upwards.join()


def _copy(source: socket.socket, sink: socket.socket):
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    except OSError:
        pass  # Either end has gone, which the other one is told below.
    _end(sink, socket.SHUT_WR)


def _end(connection: socket.socket, side: int):
    try:
        connection.shutdown(side)
    except OSError:
        pass  # It has ended by itself.
