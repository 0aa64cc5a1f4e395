"""Our agent against a server written with grpcio."""

import hashlib
import os
import time
from socket import MSG_PEEK, MSG_WAITALL

from harness.case import AGENT_PORT, InteropCase, needs_daemons
from harness.certificates import Certificates
from harness.endpoint import read_all, read_exactly

from . import packet
from .call import ServerCall, grpc
from .peers import FakeServer

OPEN_ENDPOINTS = "konnectivity_network_proxy_agent_open_endpoint_connections"
OPEN_SERVERS = "konnectivity_network_proxy_agent_open_server_connections"


class AgentCase(InteropCase):
    """A fake server, to which a test starts agents."""

    def setUp(self):
        super().setUp()
        self.server = self.start_fake_server()

    def start_fake_server(self, **options) -> FakeServer:
        server = FakeServer(f"{self.host}:{AGENT_PORT}", self.certificates.cluster, **options)
        self.addCleanup(server.close)
        return server

    def start_connected(self, *extra: str):
        """An agent, and the call on which the server speaks with it."""
        agent = self.start_agent(extra)
        link = self.server.accept()
        agent.until_ready()
        return agent, link

    def dial(self, link: ServerCall, address: str, random=1):
        """Dials an endpoint and answers the connection's id."""
        link.send(packet.dial_request(random, address))
        answer = link.receive()
        connect_id = answer["connectID"]
        self.assertEqual(answer, packet.dial_response(random, connect_id))
        self.assertGreater(connect_id, 0)
        return connect_id

    def open(self, link: ServerCall, random=1):
        """A connection: its id, and the endpoint's socket."""
        endpoint = self.endpoint()
        connect_id = self.dial(link, endpoint.address, random)
        return connect_id, self.accept(endpoint)

    def assert_echoes(self, link: ServerCall, connect_id: int, socket):
        """Bytes pass both ways."""
        link.send(packet.data(connect_id, b"ping"))
        self.assertEqual(read_exactly(socket, 4), b"ping")
        socket.sendall(b"pong")
        self.assertEqual(link.receive_data(connect_id, 4), b"pong")

    def assert_answers_next(self, link: ServerCall):
        """The agent's next packet answers this, so that it had nothing else to say."""
        link.send(packet.data(999, b"nobody's"))
        self.assertEqual(link.receive(), packet.close_response(999, "unrecognized connectID"))


@needs_daemons
class ConnectTest(AgentCase):
    def test_presents_itself_in_the_metadata(self):
        identifiers = "ipv4=10.0.0.7&host=node-1"
        _, link = self.start_connected("--agent-id=agent-7", f"--agent-identifiers={identifiers}")
        ours = [(key, value) for key, value in link.metadata if not key.startswith("dialback-")]
        given = dict(ours)
        self.assertEqual(len(given), len(ours), "a key comes twice")
        self.assertEqual(given.pop("agentid"), "agent-7")
        self.assertEqual(given.pop("agentidentifiers"), identifiers)
        self.assertLessEqual(given.keys(), {"user-agent"})

    def test_is_turned_away_with_a_status_and_tries_again(self):
        self.server.rejection = (grpc.StatusCode.UNKNOWN, "Failed to validate: no entry")
        agent = self.start_agent()
        self.eventually(lambda: self.assertGreaterEqual(self.server.attempts, 2))
        body = agent.expect("/readyz", 503)
        self.assertEqual(body, "[+]ping ok\n[-]server-connected failed: no servers connected\n")
        self.assertIn("Failed to validate: no entry", agent.logged())
        self.server.rejection = None
        link = self.server.accept()
        agent.until_ready()
        self.assert_answers_next(link)

    def test_does_not_stay_with_a_server_that_gives_no_id(self):
        whole, self.server.headers = self.server.headers, [("servercount", "1")]
        agent = self.start_agent()
        self.server.accept().wait()
        agent.expect("/readyz", 503)
        self.server.headers = whole
        agent.until_ready()

    def test_does_not_wait_for_ever_for_the_headers(self):
        self.server.silent = True
        agent = self.start_agent()
        self.eventually(lambda: self.assertEqual(self.server.attempts, 1))
        began = time.monotonic()
        while self.server.attempts == 1 and time.monotonic() - began < 45:
            self.assertTrue(agent.is_running())
            time.sleep(0.1)
        self.assertGreaterEqual(self.server.attempts, 2, "no second attempt within 45 s")
        self.server.silent = False
        agent.until_ready()

    def test_looks_for_as_many_servers_as_it_is_told(self):
        self.server.headers = [("serverid", "one"), ("servercount", "2")]
        agent = self.start_agent()
        first = self.server.accept()
        agent.until_ready()
        self.server.accept().wait()
        self.assert_answers_next(first)

        self.server.headers = [("serverid", "two"), ("servercount", "2")]
        agent.reaches(OPEN_SERVERS, 2)
        self.assert_answers_next(first)
        first.finish()
        agent.reaches(OPEN_SERVERS, 1)

    def test_refuses_a_server_of_another_authority(self):
        other = self.folder / "other"
        other.mkdir()
        files = self.certificates.agent
        stranger = Certificates.issue(other, self.host).agent.authority
        agent = self.start_agent([f"--ca-cert={stranger}"], files)
        self.eventually(lambda: self.assertRegex(agent.logged(), "(?i)certificate"))
        agent.expect("/readyz", 503)
        self.assertEqual(self.server.attempts, 0)


@needs_daemons
class StreamTest(AgentCase):
    def test_carries_bytes_both_ways(self):
        _, link = self.start_connected()
        connect_id, socket = self.open(link)
        self.assert_echoes(link, connect_id, socket)
        link.send(packet.close_request(connect_id))
        self.assertEqual(read_all(socket), b"")
        self.assertEqual(link.receive(), packet.close_response(connect_id))

    def test_names_connections_apart(self):
        agent, link = self.start_connected()
        opened = [self.open(link, random) for random in (-1, 1, 2**63 - 1)]
        self.assertEqual(len({connect_id for connect_id, _ in opened}), 3)
        agent.reaches(OPEN_ENDPOINTS, 3)
        for connect_id, socket in opened:
            self.assert_echoes(link, connect_id, socket)

    def test_delivers_everything_before_the_endpoints_close(self):
        _, link = self.start_connected()
        connect_id, socket = self.open(link)
        sent = os.urandom(1 << 20)
        socket.sendall(sent)
        socket.close()
        self.assertEqual(link.receive_data(connect_id, len(sent)), sent)
        self.assertEqual(link.receive(), packet.close_response(connect_id))
        self.assert_answers_next(link)

    def test_reports_a_reset_by_the_endpoint(self):
        _, link = self.start_connected()
        connect_id, socket = self.open(link)
        # Bytes that nobody has read turn the close into a reset.
        link.send(packet.data(connect_id, b"unread"))
        self.assertEqual(socket.recv(6, MSG_PEEK | MSG_WAITALL), b"unread")
        socket.close()
        answer = link.receive()
        self.assertEqual((answer.kind, answer["connectID"]), (packet.CLOSE_RSP, connect_id))

    def test_writes_out_what_came_before_a_close_request(self):
        _, link = self.start_connected()
        connect_id, socket = self.open(link)
        sent = os.urandom(1 << 20)
        for start in range(0, len(sent), 32768):
            link.send(packet.data(connect_id, sent[start : start + 32768]))
        link.send(packet.close_request(connect_id))
        self.assertEqual(link.receive(), packet.close_response(connect_id))
        self.assertEqual(hashlib.sha256(read_all(socket)).digest(), hashlib.sha256(sent).digest())

    def test_answers_a_second_close_request(self):
        _, link = self.start_connected()
        connect_id, _ = self.open(link)
        link.send(packet.close_request(connect_id))
        link.send(packet.close_request(connect_id))
        self.assertEqual(link.receive(), packet.close_response(connect_id))
        self.assertEqual(link.receive(), packet.close_response(connect_id, "Unknown connectID"))

    def test_answers_ids_that_it_does_not_know(self):
        _, link = self.start_connected()
        link.send(packet.close_request(4711))
        self.assertEqual(link.receive(), packet.close_response(4711, "Unknown connectID"))
        link.send(packet.close_request(0))
        self.assertEqual(link.receive(), packet.close_response(0, "Unknown connectID"))
        link.send(packet.data(0, b"to nobody"))
        self.assert_answers_next(link)

    def test_survives_what_no_server_sends(self):
        _, link = self.start_connected()
        connect_id, socket = self.open(link)
        for kind in packet.PAYLOADS:
            link.send(packet.Packet(kind, None))
        link.send(bytes.fromhex("084d"))  # a type from the future
        link.send(packet.data(connect_id, b"").encode() + bytes.fromhex("f2060100"))  # and a field
        link.send(packet.dial_response(1, connect_id))
        link.send(packet.close_response(connect_id))
        link.send(packet.drain())
        self.assert_answers_next(link)
        self.assert_echoes(link, connect_id, socket)

    def test_takes_a_message_just_below_the_limit(self):
        _, link = self.start_connected()
        connect_id, socket = self.open(link)
        sent = os.urandom((4 << 20) - 64)
        link.send(packet.data(connect_id, sent))
        self.assertEqual(read_exactly(socket, len(sent)), sent)

    def test_leaves_a_server_that_exceeds_the_limit_and_comes_back(self):
        agent, link = self.start_connected()
        _, socket = self.open(link)
        link.send(packet.data(999, bytes(4 << 20)))
        link.wait()
        # Cut, not ended: the endpoint must not take a broken upload for a whole one.
        with self.assertRaises(ConnectionResetError):
            read_all(socket)
        successor = self.server.accept()
        self.assert_answers_next(successor)
        agent.reaches(OPEN_SERVERS, 1)

    def test_takes_many_small_messages(self):
        _, link = self.start_connected()
        connect_id, socket = self.open(link)
        for n in range(20000):
            link.send(packet.data(connect_id, bytes([n % 251])))
        expected = bytes(n % 251 for n in range(20000))
        self.assertEqual(read_exactly(socket, 20000), expected)


@needs_daemons
class DialTest(AgentCase):
    def refused(self, link: ServerCall, address: str, protocol="tcp") -> str:
        """The error that a dial is answered with."""
        link.send(packet.dial_request(5, address, protocol))
        answer = link.receive()
        self.assertEqual(answer, packet.dial_response(5, error=answer["error"]))
        return answer["error"]

    def test_words_its_errors_as_go_does(self):
        _, link = self.start_connected()
        closed = self.closed_address()
        for address, protocol, error in (
            (closed, "tcp", f"dial tcp {closed}: connect: connection refused"),
            ("no-port.invalid", "tcp", "dial tcp: address no-port.invalid: missing port in address"),
            ("127.0.0.1:1", "tcp9", "dial tcp9: unknown network tcp9"),
        ):
            self.assertEqual(self.refused(link, address, protocol), error)
        # A leading hyphen: refused by the resolver library, without asking a name server.
        unknown = self.refused(link, "-no-such-host.invalid:80")
        self.assertRegex(unknown, "^dial tcp: lookup -no-such-host.invalid.*: no such host$")

    def test_dials_no_other_networks(self):
        _, link = self.start_connected()
        self.assertRegex(self.refused(link, "127.0.0.1:53", "udp"), "^dial udp: ")
        self.assertRegex(self.refused(link, str(self.socket), "unix"), "^dial unix: ")

    def test_gives_an_endpoint_five_seconds_to_answer(self):
        _, link = self.start_connected()
        stalled = self.stalled_endpoint().address
        self.assertEqual(self.refused(link, stalled), f"dial tcp {stalled}: i/o timeout")

    def test_does_other_things_while_it_dials(self):
        _, link = self.start_connected()
        link.send(packet.dial_request(1, self.stalled_endpoint().address))
        connect_id, socket = self.open(link, random=2)
        self.assert_echoes(link, connect_id, socket)
        link.send(packet.close_dial(1))
        self.assert_answers_next(link)

    def test_abandons_a_dial_that_nobody_waits_for(self):
        agent, link = self.start_connected()
        at_rest = agent.descriptors()
        stalled = self.stalled_endpoint().address
        for random in range(1, 11):
            link.send(packet.dial_request(random, stalled))
        self.eventually(lambda: self.assertGreaterEqual(agent.descriptors(), at_rest + 8))
        for random in range(1, 11):
            link.send(packet.close_dial(random))
        agent.until_at_rest()
        # Neither answered nor counted as failed, which comes with the dial's own timeout.
        self.assert_answers_next(link)
        self.assertNotIn("endpoint_dial_failure_total{", agent.expect("/metrics", 200))


@needs_daemons
class EndTest(AgentCase):
    def test_announces_its_end_and_goes_on_serving(self):
        agent, link = self.start_connected()
        connect_id, socket = self.open(link)
        agent.terminate()
        self.assertEqual(link.receive(), packet.drain())
        self.assert_echoes(link, connect_id, socket)
        later_id, later = self.open(link, random=2)
        self.assert_echoes(link, later_id, later)
        self.assertTrue(agent.is_running())
        agent.expect("/healthz", 200)

    def test_closes_its_endpoints_and_comes_back_when_the_server_ends_the_call(self):
        agent, link = self.start_connected()
        for end in (lambda call: call.finish(), lambda call: call.cancel()):
            _, socket = self.open(link)
            end(link)
            # Cut, not ended: the endpoint must not take a broken upload for a whole one.
            with self.assertRaises(ConnectionResetError):
                read_all(socket)
            agent.reaches(OPEN_ENDPOINTS, 0)
            link = self.server.accept()
        self.assert_answers_next(link)

    def test_stays_with_a_server_that_says_goaway_until_its_streams_end(self):
        agent, link = self.start_connected()
        connect_id, socket = self.open(link)
        stopped = self.server.stop(grace=60)
        self.server = self.start_fake_server(server_id="successor")
        successor = self.server.accept()
        self.assert_echoes(link, connect_id, socket)
        later_id, later = self.open(successor)
        self.assert_echoes(successor, later_id, later)

        socket.close()
        self.assertEqual(link.receive(), packet.close_response(connect_id))
        self.assertTrue(stopped.wait(10), "the old call goes on although nothing is left on it")
        agent.reaches(OPEN_SERVERS, 1)
