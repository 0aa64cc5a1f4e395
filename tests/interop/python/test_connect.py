"""HTTP CONNECT through our server, with an agent written with grpcio: every answer, byte for byte."""

import socket

from harness.case import AGENT_PORT, InteropCase, needs_daemons
from harness.endpoint import read_all, read_exactly

from . import packet
from .peers import Channel

ESTABLISHED = b"HTTP/1.1 200 Connection Established\r\n\r\n"


class ConnectCase(InteropCase):
    """A server in http-connect mode with a fake agent."""

    tcp = False

    def start(self, extra=()):
        server = self.start_server(mode="http-connect", tcp=self.tcp, extra=extra)
        channel = Channel(f"{self.host}:{AGENT_PORT}", self.certificates.agent)
        self.addCleanup(channel.close)
        self.agent = channel.agent()
        self.eventually(lambda: server.expect("/readyz", 200))

    def ask(self, target="10.0.0.1:80", protocol="HTTP/1.1"):
        """A CONNECT whose dial has reached the agent, and the dial's id there."""
        connection = self.connect(self.tcp)
        connection.sendall(f"CONNECT {target} {protocol}\r\nHost: 127.0.0.1\r\n\r\n".encode())
        asked = self.agent.receive()
        self.assertEqual(asked, packet.dial_request(asked["random"], target))
        return connection, asked["random"]

    def open(self, connect_id=1):
        """A CONNECT that has succeeded."""
        connection, random = self.ask()
        self.agent.send(packet.dial_response(random, connect_id))
        self.assertEqual(read_exactly(connection, len(ESTABLISHED)), ESTABLISHED)
        return connection


@needs_daemons
class AnswerTest(ConnectCase):
    def test_words_of_the_agent_decide_the_status(self):
        self.start()
        for error, status in (
            ("dial tcp 10.0.0.1:80: i/o timeout", "504 Gateway Timeout"),
            ("context deadline exceeded", "504 Gateway Timeout"),
            ("socket: too many open files", "503 Service Unavailable"),
            ("dial tcp 10.0.0.1:80: connect: connection refused", "502 Bad Gateway"),
            ("dial tcp: lookup x on 10.0.0.10:53: no such host", "502 Bad Gateway"),
            ("dial tcp 10.0.0.1:80: connect: connection timed out", "502 Bad Gateway"),
            ("dial tcp 10.0.0.1:80: connect: no route to host", "502 Bad Gateway"),
        ):
            with self.subTest(error):
                connection, random = self.ask()
                self.agent.send(packet.dial_response(random, error=error))
                self.assertEqual(
                    read_all(connection).decode(),
                    f"HTTP/1.1 {status}\r\nConnection: close\r\n"
                    f"Content-Type: text/plain; charset=utf-8\r\n\r\n{error}",
                )

    def test_a_dial_that_the_agent_closes_gets_no_answer(self):
        self.start()
        connection, random = self.ask()
        self.agent.send(packet.close_dial(random))
        self.assertEqual(read_all(connection), b"")

    def test_an_agent_lost_while_dialling_is_a_bad_gateway(self):
        self.start()
        connection, _ = self.ask()
        self.agent.cancel()
        self.assertEqual(
            read_all(connection),
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
            b"Backend context error: context canceled\r\n",
        )

    def test_no_answer_in_time_is_a_gateway_timeout(self):
        self.start(extra=["--backend-dial-timeout=1s"])
        connection, random = self.ask()
        self.assertEqual(
            read_all(connection),
            b"HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
            b"Backend dial timeout: timed out waiting for backend dial\r\n",
        )
        self.assertEqual(self.agent.receive(), packet.close_dial(random))

    def test_early_bytes_of_the_frontend_come_first(self):
        self.start()
        connection = self.connect(False)
        connection.sendall(b"CONNECT a:1 HTTP/1.1\r\nContent-Length: 0\r\n\r\nearly ")
        random = self.agent.receive()["random"]
        connection.sendall(b"and late")
        self.agent.send(packet.dial_response(random, 1))
        self.assertEqual(self.agent.receive_data(1, 14), b"early and late")

    def test_the_frontends_end_closes_behind_its_data(self):
        self.start()
        for connect_id, end in ((1, lambda c: c.close()), (2, lambda c: c.shutdown(socket.SHUT_WR))):
            connection = self.open(connect_id)
            connection.sendall(b"last words")
            end(connection)
            self.assertEqual(self.agent.receive_data(connect_id, 10), b"last words")
            self.assertEqual(self.agent.receive(), packet.close_request(connect_id))
            self.agent.send(packet.close_response(connect_id))
        # After it the agent is asked for nothing more.
        self.agent.send(packet.data(999, b"nobody's"))
        self.assertEqual(self.agent.receive(), packet.close_request(999))

    def test_the_endpoints_end_closes_behind_its_data(self):
        self.start()
        connection = self.open()
        self.agent.send(packet.data(1, b"last words"))
        self.agent.send(packet.close_response(1))
        self.assertEqual(read_all(connection), b"last words")

    def test_a_lost_agent_ends_the_connection(self):
        self.start()
        connection = self.open()
        self.agent.cancel()
        # With what is left or with a reset: the end is no orderly one.
        try:
            self.assertEqual(read_all(connection), b"")
        except ConnectionResetError:
            pass


class Cases:
    """What holds on either transport."""

    def answered_with_data(self) -> socket.socket:
        """A connection whose endpoint speaks as soon as it is dialled."""
        connection, random = self.ask(protocol="HTTP/1.0")
        self.agent.send(packet.dial_response(random, 1))
        self.agent.send(packet.data(1, b"220 ready\r\n"))
        return connection

    def test_the_answer_comes_before_the_endpoints_first_bytes(self):
        self.start()
        received = read_exactly(self.answered_with_data(), len(ESTABLISHED) + 11)
        self.assertEqual(received, ESTABLISHED + b"220 ready\r\n")

    def test_a_hang_up_while_dialling_reaches_the_agent(self):
        self.start()
        connection, random = self.ask()
        connection.close()
        self.assertEqual(self.agent.receive(), packet.close_dial(random))
        self.agent.send(packet.dial_response(random, 1))
        self.assertEqual(self.agent.receive(), packet.close_request(1))


@needs_daemons
class UnixSocketTest(Cases, ConnectCase):
    pass


@needs_daemons
class MutualTlsTest(Cases, ConnectCase):
    tcp = True

    def test_the_answer_comes_alone(self):
        self.start()
        connection = self.answered_with_data()
        # One read is at most one TLS record.
        self.assertEqual(connection.recv(4096), ESTABLISHED)
        self.assertEqual(connection.recv(4096), b"220 ready\r\n")
