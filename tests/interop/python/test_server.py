"""Our server between agents and frontends written with grpcio."""

import os
from dataclasses import replace

from harness.case import AGENT_PORT, FRONTEND_PORT, InteropCase, needs_daemons

from . import packet
from .call import CONNECT, PROXY, Call, grpc
from .peers import Channel

ADDRESS = "10.250.0.1:10250"


class ServerCase(InteropCase):
    """A server, and channels to both of its listeners."""

    def start(self, **options):
        """The server, whose agents connect by `self.agents` and frontends by `self.frontends`."""
        server = self.start_server(**options)
        self.agents = self.channel(f"{self.host}:{AGENT_PORT}", self.certificates.agent)
        self.frontends = self.channel(f"unix:{self.socket}")
        return server

    def channel(self, target: str, files=None, options=()) -> Channel:
        # Without this grpcio may share one connection between channels.
        apart = ("grpc.use_local_subchannel_pool", 1)
        opened = Channel(target, files, (apart, *options))
        self.addCleanup(opened.close)
        return opened

    def agent(self, agent_id="fake-agent", identifiers="") -> Call:
        """An agent that the server can choose, which it can once it answers."""
        call = self.agents.agent(agent_id, identifiers)
        self.assert_answers_next(call)
        return call

    def open(self, frontend: Call, agent: Call, random=1, connect_id=1) -> int:
        """Dials; answers what the server calls the dial towards the agent."""
        frontend.send(packet.dial_request(random, ADDRESS))
        asked = self.receive_dial(agent)
        agent.send(packet.dial_response(asked, connect_id))
        self.assertEqual(frontend.receive(), packet.dial_response(random, connect_id))
        return asked

    def receive_dial(self, agent: Call, address=ADDRESS) -> int:
        """The dial that the agent is asked for; its id is the server's own."""
        asked = agent.receive()
        self.assertEqual(asked, packet.dial_request(asked["random"], address))
        return asked["random"]

    def assert_passes(self, frontend: Call, agent: Call, connect_id=1):
        """Bytes pass both ways, and nothing else has."""
        frontend.send(packet.data(connect_id, b"ping"))
        self.assertEqual(agent.receive_data(connect_id, 4), b"ping")
        agent.send(packet.data(connect_id, b"pong"))
        self.assertEqual(frontend.receive_data(connect_id, 4), b"pong")

    def close(self, frontend: Call, agent: Call, connect_id=1):
        """Closes from the frontend, in order."""
        frontend.send(packet.close_request(connect_id))
        self.assertEqual(agent.receive(), packet.close_request(connect_id))
        agent.send(packet.close_response(connect_id))
        self.assertEqual(frontend.receive(), packet.close_response(connect_id))

    def assert_answers_next(self, agent: Call):
        """The server's next packet to the agent answers this, so that it had nothing else to say."""
        agent.send(packet.data(999, b"nobody's"))
        self.assertEqual(agent.receive(), packet.close_request(999))


@needs_daemons
class AgentListenerTest(ServerCase):
    def test_names_itself_before_any_packet(self):
        self.start(extra=["--server-id=server-7", "--server-count=3"])
        headers = self.agents.agent().headers()
        self.assertEqual((headers["serverid"], headers["servercount"]), ("server-7", "3"))
        ours = {key for key in headers if not key.startswith(("dialback-", "grpc-"))}
        self.assertLessEqual(ours - {"date"}, {"serverid", "servercount", "content-type"})

    def test_turns_away_agents_whose_metadata_is_wrong(self):
        self.start()
        for metadata, text in (
            ([], "expected one agent ID in the context, got []"),
            ([("agentid", "a"), ("agentid", "b")], "expected one agent ID in the context, got [a b]"),
            (
                [("agentid", "a"), ("agentidentifiers", "host=a"), ("agentidentifiers", "host=b")],
                "expected at most one set of agent identifiers in the context, got [host=a host=b]",
            ),
            (
                [("agentid", "a"), ("agentidentifiers", "host=a;host=b")],
                "fail to parse url encoded string: invalid semicolon separator in query",
            ),
            (
                [("agentid", "a"), ("agentidentifiers", "host=%zz")],
                'fail to parse url encoded string: invalid URL escape "%zz"',
            ),
        ):
            with self.subTest(metadata):
                call = self.agents.connect(metadata)
                self.assertEqual(call.status(), (grpc.StatusCode.UNKNOWN, text))

    def test_demands_a_certificate_of_the_agents_authority(self):
        server = self.start()
        stranger = replace(self.certificates.frontend, authority=self.certificates.agent.authority)
        call = self.channel(f"{self.host}:{AGENT_PORT}", stranger).connect([("agentid", "a")])
        self.assertEqual(call.status()[0], grpc.StatusCode.UNAVAILABLE)
        server.expect("/readyz", 500)

    def test_ends_the_call_of_an_agent_that_half_closes(self):
        server = self.start()
        agent = self.agent()
        agent.finish()
        self.assertEqual(agent.status(), (grpc.StatusCode.OK, ""))
        self.eventually(lambda: server.expect("/readyz", 500))

    def test_answers_ids_that_it_does_not_know(self):
        self.start()
        agent = self.agent()
        agent.send(packet.dial_response(4711, connect_id=5))
        self.assertEqual(agent.receive(), packet.close_request(5))
        agent.send(packet.dial_response(4711, error="never asked"))
        agent.send(packet.close_response(6))
        agent.send(packet.close_dial(4711))
        agent.send(packet.data(0, b"to nobody"))
        self.assert_answers_next(agent)

    def test_survives_what_no_agent_sends(self):
        self.start()
        agent, frontend = self.agent(), self.frontends.frontend()
        self.open(frontend, agent)
        for kind in packet.PAYLOADS:
            agent.send(packet.Packet(kind, None))
        agent.send(bytes.fromhex("084d"))  # a type from the future
        agent.send(packet.data(1, b"").encode() + bytes.fromhex("f2060100"))  # and a field
        agent.send(packet.dial_request(1, ADDRESS))
        agent.send(packet.close_request(1))
        self.assert_answers_next(agent)
        self.assert_passes(frontend, agent)

    def test_cuts_off_an_agent_that_exceeds_the_message_limit(self):
        self.start()
        agent, frontend = self.agent(), self.frontends.frontend()
        self.open(frontend, agent)
        oversized = packet.data(1, bytes(4 << 20))
        agent.send(oversized)
        limit = f"({len(oversized.encode())} vs. {4 << 20})"
        self.assertEqual(
            agent.status(),
            (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"grpc: received message larger than max {limit}",
            ),
        )
        ended = frontend.receive()
        self.assertEqual((ended.kind, ended["connectID"]), (packet.CLOSE_RSP, 1))
        self.open(self.frontends.frontend(), self.agent())

    def test_takes_many_small_messages(self):
        self.start()
        agent, frontend = self.agent(), self.frontends.frontend()
        self.open(frontend, agent)
        expected = bytes(n % 251 for n in range(20000))
        for n in range(20000):
            agent.send(packet.data(1, expected[n : n + 1]))
            frontend.send(packet.data(1, expected[n : n + 1]))
        self.assertEqual(frontend.receive_data(1, 20000), expected)
        self.assertEqual(agent.receive_data(1, 20000), expected)


@needs_daemons
class DialTest(ServerCase):
    def test_tells_that_no_agent_is_there(self):
        self.start()
        frontend = self.frontends.frontend()
        frontend.send(packet.dial_request(3, ADDRESS))
        self.assertEqual(frontend.receive(), packet.dial_response(3, error="No agent available"))

    def test_forwards_a_dial_and_its_answer(self):
        self.start()
        agent = self.agent()
        for random in (1, -1, 2**63 - 1):
            frontend = self.frontends.frontend()
            frontend.send(packet.dial_request(random, "[fd00::7]:443", "tcp6"))
            asked = agent.receive()
            own = asked["random"]
            self.assertEqual(asked, packet.dial_request(own, "[fd00::7]:443", "tcp6"))
            agent.send(packet.dial_response(own, error="dial tcp6: it rains"))
            self.assertEqual(
                frontend.receive(), packet.dial_response(random, error="dial tcp6: it rains")
            )

    def test_keeps_equal_dial_ids_of_two_frontends_apart(self):
        self.start()
        agent = self.agent()
        one, two = self.frontends.frontend(), self.frontends.frontend()
        one.send(packet.dial_request(1, "10.0.0.1:1"))
        first = self.receive_dial(agent, "10.0.0.1:1")
        two.send(packet.dial_request(1, "10.0.0.2:2"))
        second = self.receive_dial(agent, "10.0.0.2:2")
        agent.send(packet.dial_response(second, connect_id=2))
        agent.send(packet.dial_response(first, connect_id=1))
        self.assertEqual(one.receive(), packet.dial_response(1, connect_id=1))
        self.assertEqual(two.receive(), packet.dial_response(1, connect_id=2))

    def test_gives_a_dial_up_with_its_frontend(self):
        self.start()
        agent = self.agent()
        for give_up in (
            lambda call: call.send(packet.close_dial(1)),
            lambda call: call.finish(),
            lambda call: call.cancel(),
        ):
            frontend = self.frontends.frontend()
            frontend.send(packet.dial_request(1, ADDRESS))
            asked = self.receive_dial(agent)
            give_up(frontend)
            self.assertEqual(agent.receive(), packet.close_dial(asked))
            # The agent had answered already.
            agent.send(packet.dial_response(asked, connect_id=9))
            self.assertEqual(agent.receive(), packet.close_request(9))

    def test_gives_up_when_the_agent_does_not_answer(self):
        self.start(extra=["--backend-dial-timeout=1s"])
        agent, frontend = self.agent(), self.frontends.frontend()
        frontend.send(packet.dial_request(1, ADDRESS))
        asked = self.receive_dial(agent)
        timed_out = "timed out waiting for backend dial"
        self.assertEqual(frontend.receive(), packet.dial_response(1, error=timed_out))
        self.assertEqual(agent.receive(), packet.close_dial(asked))
        agent.send(packet.dial_response(asked, connect_id=9))
        self.assertEqual(agent.receive(), packet.close_request(9))
        self.open(self.frontends.frontend(), agent)

    def test_fails_a_pending_dial_with_its_agent(self):
        self.start()
        agent, frontend = self.agent(), self.frontends.frontend()
        frontend.send(packet.dial_request(1, ADDRESS))
        self.receive_dial(agent)
        agent.cancel()
        answer = frontend.receive()
        self.assertEqual(answer, packet.dial_response(1, error=answer["error"]))
        self.assertNotEqual(answer["error"], 0)

    def test_hands_on_that_the_agent_closed_the_dial(self):
        self.start()
        agent, frontend = self.agent(), self.frontends.frontend()
        frontend.send(packet.dial_request(1, ADDRESS))
        agent.send(packet.close_dial(self.receive_dial(agent)))
        self.assertEqual(frontend.receive(), packet.close_dial(1))

    def test_prefers_agents_that_do_not_drain(self):
        self.start()
        leaving, staying = self.agent("leaving"), self.agent("staying")
        leaving.send(packet.drain())
        self.assert_answers_next(leaving)
        for connect_id in range(1, 9):
            self.open(self.frontends.frontend(), staying, connect_id=connect_id)

    def test_serves_through_a_draining_agent_when_there_is_no_other(self):
        self.start()
        agent = self.agent()
        agent.send(packet.drain())
        self.assert_answers_next(agent)
        frontend = self.frontends.frontend()
        self.open(frontend, agent)
        self.assert_passes(frontend, agent)

    def test_routes_by_the_destinations_host(self):
        self.start(extra=["--proxy-strategies=destHost,default"])
        calls = {}
        for host in ("10.0.0.1", "node-2", "fd00::3"):
            kind = "host" if host == "node-2" else "ipv6" if ":" in host else "ipv4"
            calls[host] = self.agent(host, f"{kind}={host}")
        for host, address in (
            ("10.0.0.1", "10.0.0.1:1"), ("node-2", "node-2:2"), ("fd00::3", "[fd00::3]:3"),
        ):
            self.frontends.frontend().send(packet.dial_request(1, address))
            self.receive_dial(calls[host], address)


@needs_daemons
class StreamTest(ServerCase):
    def test_carries_bytes_both_ways_and_closes_from_the_frontend(self):
        self.start()
        agent, frontend = self.agent(), self.frontends.frontend()
        self.open(frontend, agent)
        self.assert_passes(frontend, agent)
        self.close(frontend, agent)

    def test_closes_from_the_agent_behind_its_data(self):
        self.start()
        agent = self.agent()
        for connect_id, error in ((1, ""), (2, "read tcp: connection reset by peer")):
            frontend = self.frontends.frontend()
            self.open(frontend, agent, connect_id=connect_id)
            sent = os.urandom(1 << 20)
            for start in range(0, len(sent), 4096):
                agent.send(packet.data(connect_id, sent[start : start + 4096]))
            agent.send(packet.close_response(connect_id, error))
            self.assertEqual(frontend.receive_data(connect_id, len(sent)), sent)
            self.assertEqual(frontend.receive(), packet.close_response(connect_id, error))
        self.assert_answers_next(agent)

    def test_never_hands_on_an_empty_message(self):
        self.start()
        agent, frontend = self.agent(), self.frontends.frontend()
        self.open(frontend, agent)
        agent.send(packet.data(1, b""))
        self.assert_passes(frontend, agent)

    def test_tells_a_frontend_that_dialled_nothing(self):
        self.start()
        agent = self.agent()
        for sent, answer in (
            (packet.data(5, b"x"), packet.close_response(5, "backend not initialized")),
            (packet.close_request(5), packet.close_response(5, "backend uninitialized")),
        ):
            frontend = self.frontends.frontend()
            frontend.send(sent)
            self.assertEqual(frontend.receive(), answer)
        self.assert_answers_next(agent)

    def test_keeps_a_frontend_from_anothers_connection(self):
        self.start()
        agent = self.agent()
        owner = self.frontends.frontend()
        self.open(owner, agent, connect_id=1)
        for meddling in (packet.data(1, b"injected"), packet.close_request(1)):
            stranger = self.frontends.frontend()
            self.open(stranger, agent, connect_id=2)
            stranger.send(meddling)
            answer = stranger.receive()
            self.assertEqual((answer.kind, answer["connectID"]), (packet.CLOSE_RSP, 1))
            stranger.cancel()
            self.assertEqual(agent.receive(), packet.close_request(2))
            agent.send(packet.close_response(2))
        self.assert_passes(owner, agent)

    def test_ends_a_frontend_that_mixes_ids_up(self):
        self.start()
        agent, frontend = self.agent(), self.frontends.frontend()
        self.open(frontend, agent)
        frontend.send(packet.data(1, b"mine"))
        self.assertEqual(agent.receive_data(1, 4), b"mine")
        frontend.send(packet.data(2, b"not mine"))
        for connect_id in (2, 1):
            mismatch = packet.close_response(connect_id, "mismatched connection IDs")
            self.assertEqual(frontend.receive(), mismatch)
        self.assertEqual(agent.receive(), packet.close_request(1))

    def test_closes_towards_the_agent_when_the_frontend_ends(self):
        self.start()
        agent = self.agent()
        for end, status in (
            (lambda call: call.finish(), grpc.StatusCode.OK),
            (lambda call: call.cancel(), grpc.StatusCode.CANCELLED),
        ):
            frontend = self.frontends.frontend()
            self.open(frontend, agent)
            end(frontend)
            self.assertEqual(agent.receive(), packet.close_request(1))
            agent.send(packet.close_response(1))
            self.assertEqual(frontend.status()[0], status)

    def test_keeps_to_a_frontends_deadline(self):
        self.start()
        agent, frontend = self.agent(), self.frontends.frontend(timeout=1)
        self.open(frontend, agent)
        self.assertEqual(agent.receive(), packet.close_request(1))
        agent.send(packet.close_response(1))
        self.assertEqual(frontend.status()[0], grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_closes_towards_the_frontends_when_the_agent_is_lost(self):
        server = self.start()
        for end in (lambda call: call.finish(), lambda call: call.cancel()):
            agent = self.agent()
            frontend = self.frontends.frontend()
            self.open(frontend, agent)
            agent.send(packet.data(1, b"last words"))
            self.assertEqual(frontend.receive_data(1, 10), b"last words")
            end(agent)
            answer = frontend.receive()
            self.assertEqual((answer.kind, answer["connectID"]), (packet.CLOSE_RSP, 1))
            frontend.send(packet.close_request(1))
            self.assertEqual(
                frontend.receive(), packet.close_response(1, "CLOSE_REQ to backend failed")
            )
            self.eventually(lambda: server.expect("/readyz", 500))

    def test_keeps_two_agents_of_one_id_apart(self):
        self.start()
        calls = [self.agent("twin"), self.agent("twin")]
        first = self.frontends.frontend()
        first.send(packet.dial_request(1, ADDRESS))
        # Whichever is chosen; the other one is where the second connection goes.
        self.eventually(lambda: self.assertTrue(any(call.has_packet() for call in calls)))
        chosen = next(call for call in calls if call.has_packet())
        other = next(call for call in calls if call is not chosen)
        chosen.send(packet.dial_response(self.receive_dial(chosen), connect_id=1))
        self.assertEqual(first.receive(), packet.dial_response(1, connect_id=1))

        other.send(packet.data(1, b"for somebody else"))
        self.assertEqual(other.receive(), packet.close_request(1))
        other.send(packet.close_response(1))
        self.assert_answers_next(other)
        self.assert_passes(first, chosen)
        other.cancel()
        other.wait()
        self.assert_passes(first, chosen)
        second = self.frontends.frontend()
        self.open(second, chosen, connect_id=2)
        self.assert_passes(second, chosen, connect_id=2)


@needs_daemons
class FrontendListenerTest(ServerCase):
    def test_takes_frontends_over_mutual_tls(self):
        self.start(tcp=True)
        agent = self.agent()
        place = f"{self.host}:{FRONTEND_PORT}"
        frontend = self.channel(place, self.certificates.frontend).frontend()
        self.open(frontend, agent)
        self.assert_passes(frontend, agent)
        agents = replace(self.certificates.agent, authority=self.certificates.frontend.authority)
        stranger = self.channel(place, agents).frontend()
        self.assertEqual(stranger.status()[0], grpc.StatusCode.UNAVAILABLE)

    def test_takes_any_authority(self):
        self.start()
        agent = self.agent()
        for authority in ("localhost", "%2Frun%2Fkonnectivity%2Fs.sock", "a:1"):
            options = (("grpc.default_authority", authority),)
            frontend = self.channel(f"unix:{self.socket}", options=options).frontend()
            self.open(frontend, agent)
            self.assert_passes(frontend, agent)
            self.close(frontend, agent)

    def test_survives_what_no_frontend_sends(self):
        self.start()
        agent = self.agent()
        bystander = self.frontends.frontend()
        self.open(bystander, agent)
        strange = [packet.Packet(kind, None).encode() for kind in packet.PAYLOADS]
        strange += [bytes.fromhex("084d"), packet.drain(), packet.close_response(1)]
        strange += [packet.dial_response(1, connect_id=1), packet.close_dial(4711)]
        for message in strange:
            frontend = self.frontends.frontend()
            frontend.send(message)
            frontend.finish()
            frontend.wait()
        self.assert_answers_next(agent)
        self.assert_passes(bystander, agent)

    def test_cuts_off_a_frontend_that_exceeds_the_message_limit(self):
        self.start()
        agent = self.agent()
        bystander, frontend = self.frontends.frontend(), self.frontends.frontend()
        self.open(bystander, agent, connect_id=1)
        self.open(frontend, agent, connect_id=2)
        oversized = packet.data(2, bytes(4 << 20))
        frontend.send(oversized)
        limit = f"({len(oversized.encode())} vs. {4 << 20})"
        self.assertEqual(
            frontend.status(),
            (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"grpc: received message larger than max {limit}",
            ),
        )
        self.assertEqual(agent.receive(), packet.close_request(2))
        self.assert_passes(bystander, agent)

    def test_knows_one_service_on_each_listener(self):
        self.start()
        for channel, path, text in (
            (self.frontends, CONNECT, "unknown service AgentService"),
            (self.agents, PROXY, "unknown service ProxyService"),
            (self.frontends, "/ProxyService/Other", "unknown method Other for service ProxyService"),
            (self.agents, "/AgentService/Other", "unknown method Other for service AgentService"),
        ):
            with self.subTest(path=path):
                self.assertEqual(
                    channel.call(path).status(), (grpc.StatusCode.UNIMPLEMENTED, text)
                )

    def test_refuses_compressed_messages(self):
        self.start()
        options = (("grpc.default_compression_algorithm", 2),)  # gzip
        frontend = self.channel(f"unix:{self.socket}", options=options).frontend()
        frontend.send(packet.dial_request(1, "a" * 4096))
        refusals = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL)
        self.assertIn(frontend.status()[0], refusals)
