"""What curl hides of an answer, read from raw sockets, through both of our programs."""

import re

from harness.case import InteropCase, needs_daemons
from harness.endpoint import read_all, read_exactly

ESTABLISHED = b"HTTP/1.1 200 Connection Established\r\n\r\n"
BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\n400 Bad Request"
)
NOT_ALLOWED = re.compile(
    rb"HTTP/1\.1 405 Method Not Allowed\r\n"
    rb"Content-Type: text/plain; charset=utf-8\r\n"
    rb"X-Content-Type-Options: nosniff\r\n"
    rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n"
    rb"Content-Length: 45\r\n\r\n"
    rb"this proxy only supports CONNECT passthrough\n"
)


class StatusCase(InteropCase):
    tcp: bool

    def converse(self, request: bytes) -> bytes:
        """The whole answer to a request after which the server closes."""
        connection = self.connect(self.tcp)
        connection.sendall(request)
        return read_all(connection)

    def established(self, request: bytes, endpoint):
        """A connection to the endpoint that the request has led to, and the endpoint's end."""
        connection = self.connect(self.tcp)
        connection.sendall(request)
        accepted = self.accept(endpoint)
        self.assertEqual(read_exactly(connection, len(ESTABLISHED)), ESTABLISHED)
        return connection, accepted


class Cases:
    """What holds on either transport."""

    def test_200_for_every_way_to_ask(self):
        self.start_pair(mode="http-connect", tcp=self.tcp)
        endpoint = self.endpoint()
        place = endpoint.address
        for request in (
            f"CONNECT {place} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            f"CONNECT {place} HTTP/1.1\r\n\r\n",
            f"CONNECT {place} HTTP/1.0\r\n\r\n",
            f"CONNECT user@{place} HTTP/1.1\r\n\r\n",
            f"CONNECT /somewhere HTTP/1.1\r\nHost: {place}\r\n\r\n",
            f"CONNECT {place} HTTP/1.1\r\nExpect: 100-continue\r\nUser-Agent: x\r\n\r\n",
        ):
            with self.subTest(request):
                connection, accepted = self.established(request.encode(), endpoint)
                accepted.sendall(b"hello")
                self.assertEqual(read_exactly(connection, 5), b"hello")
                accepted.close()
                self.assertEqual(read_all(connection), b"")

    def test_200_alone_before_the_endpoints_first_bytes(self):
        self.start_pair(mode="http-connect", tcp=self.tcp)
        endpoint = self.endpoint()
        for _ in range(20):
            connection = self.connect(self.tcp)
            connection.sendall(f"CONNECT {endpoint.address} HTTP/1.1\r\n\r\n".encode())
            accepted = self.accept(endpoint)
            accepted.sendall(b"220 ready\r\n")
            received = read_exactly(connection, len(ESTABLISHED) + 11)
            self.assertEqual(received, ESTABLISHED + b"220 ready\r\n")
            accepted.close()
            connection.close()

    def test_early_bytes_reach_the_endpoint_first(self):
        self.start_pair(mode="http-connect", tcp=self.tcp)
        endpoint = self.endpoint()
        request = f"CONNECT {endpoint.address} HTTP/1.1\r\nContent-Length: 3\r\n\r\nearly "
        connection, accepted = self.established(request.encode(), endpoint)
        connection.sendall(b"and late")
        self.assertEqual(read_exactly(accepted, 14), b"early and late")

    def test_502_and_504_for_failed_dials(self):
        self.start_pair(mode="http-connect", tcp=self.tcp)
        closed, stalled = self.closed_address(), self.stalled_endpoint().address
        for address, status, error in (
            (closed, "502 Bad Gateway", f"dial tcp {closed}: connect: connection refused"),
            ("no-port.invalid", "502 Bad Gateway", "dial tcp: address no-port.invalid: missing port in address"),
            (stalled, "504 Gateway Timeout", f"dial tcp {stalled}: i/o timeout"),
        ):
            with self.subTest(address):
                answer = self.converse(f"CONNECT {address} HTTP/1.1\r\n\r\n".encode())
                self.assertEqual(
                    answer.decode(),
                    f"HTTP/1.1 {status}\r\nConnection: close\r\n"
                    f"Content-Type: text/plain; charset=utf-8\r\n\r\n{error}",
                )

    def test_504_when_the_agent_does_not_answer_in_time(self):
        timeout = ["--backend-dial-timeout=1s"]
        self.start_pair(mode="http-connect", tcp=self.tcp, extra=timeout)
        stalled = self.stalled_endpoint().address
        self.assertEqual(
            self.converse(f"CONNECT {stalled} HTTP/1.1\r\n\r\n".encode()),
            b"HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
            b"Backend dial timeout: timed out waiting for backend dial\r\n",
        )

    def test_500_without_an_agent(self):
        self.start_server(mode="http-connect", tcp=self.tcp)
        self.assertEqual(
            self.converse(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n"),
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\n"
            b"currently no tunnels available: No agent available",
        )

    def test_405_and_400_for_other_requests(self):
        self.start_server(mode="http-connect", tcp=self.tcp)
        connection = self.connect(self.tcp)
        for method in (b"GET", b"POST", b"PUT"):
            connection.sendall(method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            answer = b""
            while not answer.endswith(b"passthrough\n"):
                answer += read_exactly(connection, 1)
            self.assertRegex(answer, NOT_ALLOWED)
        for request in (
            b"connect 127.0.0.1:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"CONNECT a:1\r\n\r\n",
            b"\x16\x03\x01 nonsense\r\n\r\n",
        ):
            with self.subTest(request):
                self.assertEqual(self.converse(request), BAD_REQUEST)


@needs_daemons
class UnixSocketTest(Cases, StatusCase):
    tcp = False


@needs_daemons
class MutualTlsTest(Cases, StatusCase):
    tcp = True
