"""The base of tests that start daemons."""

import os
import shutil
import socket
import ssl
import sys
import tempfile
import unittest
from pathlib import Path

from .certificates import Certificates
from .daemon import Daemon, eventually
from .endpoint import Endpoint, StalledEndpoint
from .loopback import claim_address

FRONTEND_PORT, AGENT_PORT = 8090, 8091

# Series of /metrics that are 0 when nothing goes on.
SERVER_GAUGES = (
    "konnectivity_network_proxy_server_pending_backend_dials",
    "konnectivity_network_proxy_server_established_connections",
    "konnectivity_network_proxy_server_http_connections",
    'konnectivity_network_proxy_server_grpc_connections{service_method="Proxy"}',
)
AGENT_GAUGES = ("konnectivity_network_proxy_agent_open_endpoint_connections",)

needs_daemons = unittest.skipUnless(
    os.environ.get("DIALBACK_BIN_DIR"),
    "DIALBACK_BIN_DIR is not set: it names the folder of proxy-server and proxy-agent",
)


class InteropCase(unittest.TestCase):
    """Starts daemons at an address of its own and, at the end, checks that they have come to
    rest, end cleanly, logged no error and left nothing behind."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="dialback-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.host, claim = claim_address()
        self.addCleanup(claim.close)
        self.certificates = Certificates.issue(self.folder, self.host)
        self.socket = self.folder / "server.sock"

    def run(self, result=None):
        result = self.defaultTestResult() if result is None else result
        self._result = result
        self._complaints = len(result.failures) + len(result.errors)
        self._logs = []
        super().run(result)
        if self._has_failed():
            for name, text in self._logs:
                print(f"--- {self.id()}: {name} logged:\n{text}", file=sys.stderr)
        return result

    def _has_failed(self) -> bool:
        return len(self._result.failures) + len(self._result.errors) > self._complaints

    def start_server(self, mode="grpc", tcp=False, extra=()) -> Daemon:
        """A proxy-server, on the Unix socket `self.socket` or on TCP."""
        files = self.certificates
        arguments = [
            f"--mode={mode}",
            f"--cluster-cert={files.cluster.certificate}",
            f"--cluster-key={files.cluster.key}",
            f"--cluster-ca-cert={files.cluster.authority}",
            f"--agent-bind-address={self.host}",
            f"--agent-port={AGENT_PORT}",
            f"--health-bind-address={self.host}",
            "--health-port=8092",
            f"--admin-bind-address={self.host}",
            "--admin-port=8095",
        ]
        if tcp:
            arguments += [
                f"--server-bind-address={self.host}",
                f"--server-port={FRONTEND_PORT}",
                f"--server-cert={files.server.certificate}",
                f"--server-key={files.server.key}",
                f"--server-ca-cert={files.server.authority}",
            ]
        else:
            arguments += [f"--uds-name={self.socket}", "--server-port=0"]
        server = self._start("proxy-server", 8092, [*arguments, *extra])
        self.addCleanup(self._finish, server, SERVER_GAUGES, False)
        return server

    def start_agent(self, extra=(), files=None) -> Daemon:
        """A proxy-agent for the server at `self.host`."""
        files = files or self.certificates.agent
        arguments = [
            f"--proxy-server-host={self.host}",
            f"--proxy-server-port={AGENT_PORT}",
            f"--ca-cert={files.authority}",
            f"--agent-cert={files.certificate}",
            f"--agent-key={files.key}",
            f"--health-server-host={self.host}",
            "--health-server-port=8093",
            f"--admin-bind-address={self.host}",
            "--admin-server-port=8094",
            "--sync-interval=100ms",
            "--sync-interval-cap=1s",
            "--probe-interval=100ms",
        ]
        agent = self._start("proxy-agent", 8093, [*arguments, *extra])
        self.addCleanup(self._finish, agent, AGENT_GAUGES, True)
        return agent

    def start_pair(self, **server) -> tuple[Daemon, Daemon]:
        """A server with an agent connected to it."""
        proxy_server = self.start_server(**server)
        agent = self.start_agent()
        agent.until_ready()
        proxy_server.until_ready()
        return proxy_server, agent

    def _start(self, name: str, port: int, arguments) -> Daemon:
        descriptor, log = tempfile.mkstemp(prefix=f"dialback-{name}-", suffix=".log")
        os.close(descriptor)
        self.addCleanup(os.unlink, log)
        self.addCleanup(lambda: self._logs.append((name, Path(log).read_text(errors="replace"))))
        return Daemon(name, (self.host, port), Path(log), *arguments)

    def _finish(self, daemon: Daemon, gauges, is_agent: bool):
        try:
            if self._has_failed():
                return
            if daemon.is_running():
                for gauge in gauges:
                    daemon.reaches(gauge, 0)
                daemon.until_at_rest()
                self.assertEqual(daemon.stop(impatient=is_agent), 0, f"exit code of {daemon.name}")
            self.assertEqual(daemon.errors(), [], f"errors logged by {daemon.name}")
            if not is_agent:
                self.assertFalse(self.socket.exists(), "the socket is left behind")
        finally:
            daemon.kill()

    def endpoint(self) -> Endpoint:
        """An endpoint until the end of the test."""
        return self._closing(Endpoint())

    def stalled_endpoint(self) -> StalledEndpoint:
        """An endpoint that answers no connect."""
        return self._closing(StalledEndpoint())

    def accept(self, endpoint: Endpoint) -> socket.socket:
        """The endpoint's next connection, open until the end of the test."""
        return self._closing(endpoint.accept())

    def closed_address(self) -> str:
        """Where every connect is refused: an address of the test's own."""
        return f"{self.host}:8099"

    def connect(self, tcp: bool) -> socket.socket:
        """A connection to the server's frontend listener on which nothing is said yet."""
        if tcp:
            plain = socket.create_connection((self.host, FRONTEND_PORT))
            connection = self.tls().wrap_socket(plain, server_hostname=self.host)
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(self.socket))
        connection.settimeout(30)
        return self._closing(connection)

    def tls(self) -> ssl.SSLContext:
        """What a frontend connects with."""
        files = self.certificates.frontend
        context = ssl.create_default_context(cafile=files.authority)
        context.load_cert_chain(files.certificate, files.key)
        return context

    def eventually(self, check):
        """Waits until `check` raises nothing."""
        return eventually(check)

    def _closing(self, thing):
        self.addCleanup(thing.close)
        return thing
