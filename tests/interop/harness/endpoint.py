"""TCP endpoints that a test serves by hand."""

import http.server
import socket
import threading

from .daemon import PROMPTLY


class Endpoint:
    """A listener; the test takes its connections."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PROMPTLY)
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]

    def accept(self) -> socket.socket:
        """The next connection."""
        connection, _ = self._listener.accept()
        connection.settimeout(PROMPTLY)
        return connection

    def close(self):
        """Takes no more connections."""
        self._listener.close()


class StalledEndpoint:
    """Listens, but the kernel completes no handshake with it: its queue is full."""

    def __init__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        place = self._listener.getsockname()
        # A backlog of 0 holds one connection.
        self._filler = socket.create_connection(place)
        self.address = "127.0.0.1:%d" % place[1]

    def close(self):
        """Lets waiting dials fail."""
        self._filler.close()
        self._listener.close()


class WebServer:
    """An HTTP server in threads of its own; `handler` is a BaseHTTPRequestHandler class."""

    def __init__(self, handler, tls=None):
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = "127.0.0.1:%d" % self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end of the stream."""
    received = bytearray()
    while chunk := connection.recv(65536):
        received += chunk
    return bytes(received)


def read_exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes; fewer raise."""
    received = bytearray()
    while len(received) < length:
        chunk = connection.recv(length - len(received))
        assert chunk, f"the stream ended after {len(received)} bytes of {length}"
        received += chunk
    return bytes(received)
