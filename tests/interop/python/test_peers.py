"""The fake agent against the fake server: what fails here is no fault of our programs."""


from harness.case import AGENT_PORT, InteropCase

from . import packet
from .call import grpc
from .peers import Channel, FakeServer


class PeersTest(InteropCase):
    def setUp(self):
        super().setUp()
        self.address = f"{self.host}:{AGENT_PORT}"
        self.server = FakeServer(self.address, self.certificates.cluster)
        self.addCleanup(self.server.close)
        self.channel = Channel(self.address, self.certificates.agent)
        self.addCleanup(self.channel.close)

    def test_packets_go_both_ways_and_the_agent_ends_the_call(self):
        agent = self.channel.agent("an-agent")
        link = self.server.accept()
        self.assertIn(("agentid", "an-agent"), link.metadata)
        self.assertEqual(agent.headers()["servercount"], "1")

        link.send(packet.dial_request(7, "10.0.0.1:80"))
        self.assertEqual(agent.receive(), packet.dial_request(7, "10.0.0.1:80"))
        agent.send(packet.dial_response(7, connect_id=1))
        self.assertEqual(link.receive(), packet.dial_response(7, connect_id=1))
        link.send(packet.data(1, bytes(3 << 20)))
        self.assertEqual(agent.receive_data(1, 3 << 20), bytes(3 << 20))
        agent.finish()
        link.wait()
        link.finish()
        self.assertEqual(agent.status(), (grpc.StatusCode.OK, ""))

    def test_the_server_resets_the_call(self):
        agent = self.channel.agent()
        link = self.server.accept()
        link.cancel()
        agent.wait()
        link.wait()

    def test_an_agent_is_turned_away(self):
        self.server.rejection = (grpc.StatusCode.UNKNOWN, "no entry")
        agent = self.channel.connect([("agentid", "an-agent")])
        self.assertEqual(agent.status(), (grpc.StatusCode.UNKNOWN, "no entry"))

    def test_a_silent_server_gives_no_headers(self):
        self.server.silent = True
        agent = self.channel.connect([("agentid", "an-agent")])
        self.eventually(lambda: self.assertEqual(self.server.attempts, 1))
        self.assertFalse(agent.ended.is_set())
        agent.cancel()
        agent.wait()

    def test_a_stopping_server_lets_a_call_go_on(self):
        agent = self.channel.agent()
        link = self.server.accept()
        stopped = self.server.stop(grace=30)
        link.send(packet.data(1, b"after the goodbye"))
        self.assertEqual(agent.receive(), packet.data(1, b"after the goodbye"))
        successor = FakeServer(self.address, self.certificates.cluster)
        self.addCleanup(successor.close)
        agent.finish()
        link.wait()
        link.finish()
        self.assertTrue(stopped.wait(10))


