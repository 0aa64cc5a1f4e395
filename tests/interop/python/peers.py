"""The other halves: a server for our agent, an agent and frontends for our server."""

import queue
import threading
from concurrent import futures

from harness.certificates import Identity
from harness.daemon import PROMPTLY

from .call import CHANNEL_OPTIONS, CONNECT, PROXY, ClientCall, ServerCall, grpc


class FakeServer:
    """Takes agents; the test speaks with each through its call."""

    def __init__(self, address: str, files: Identity, server_id="fake-server", count="1"):
        self.headers = [("serverid", server_id), ("servercount", count)]
        # A status to turn agents away with.
        self.rejection = None
        # While true agents are left without an answer.
        self.silent = False
        self.attempts = 0
        self._calls = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(16),
            handlers=[self._handlers()],
            options=CHANNEL_OPTIONS,
        )
        credentials = grpc.ssl_server_credentials(
            [(files.key.read_bytes(), files.certificate.read_bytes())],
            files.authority.read_bytes(),
            require_client_auth=True,
        )
        assert self._server.add_secure_port(address, credentials), f"cannot listen on {address}"
        self._server.start()

    def accept(self) -> ServerCall:
        """The next agent that has been given its headers."""
        try:
            return self._calls.get(timeout=PROMPTLY)
        except queue.Empty:
            raise AssertionError(f"no agent within {PROMPTLY} s") from None

    def has_waiting(self) -> bool:
        """Whether an agent waits to be accepted."""
        return not self._calls.empty()

    def stop(self, grace: float):
        """Takes no more agents, says GOAWAY, and cuts those that remain after `grace` seconds."""
        self._stopping.set()
        return self._server.stop(grace)

    def close(self):
        """Ends at once."""
        self.stop(0).wait()

    def _handlers(self):
        service, method = CONNECT.strip("/").split("/")
        handler = grpc.stream_stream_rpc_method_handler(self._connect)
        return grpc.method_handlers_generic_handler(service, {method: handler})

    def _connect(self, messages, context):
        self.attempts += 1
        if self.rejection is not None:
            context.abort(*self.rejection)
        if self.silent:
            gone = threading.Event()
            if context.add_callback(gone.set):
                while self.silent and not gone.wait(0.1) and not self._stopping.is_set():
                    pass
            return
        context.send_initial_metadata(self.headers)
        call = ServerCall(context)
        self._calls.put(call)
        yield from call.serve(messages)


class Channel:
    """A gRPC channel to our server."""

    def __init__(self, target: str, files: Identity | None = None, options=()):
        options = (*CHANNEL_OPTIONS, *options)
        if files is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            credentials = grpc.ssl_channel_credentials(
                files.authority.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
            )
            self._channel = grpc.secure_channel(target, credentials, options)

    def agent(self, agent_id="fake-agent", identifiers="") -> ClientCall:
        """Connects as an agent and waits until the server has named itself."""
        call = self.connect([("agentid", agent_id), ("agentidentifiers", identifiers)])
        assert call.headers()["serverid"], "the server gave no id"
        return call

    def connect(self, metadata) -> ClientCall:
        """A Connect call with any metadata."""
        return ClientCall(self._channel, CONNECT, metadata)

    def frontend(self, timeout=None) -> ClientCall:
        """A Proxy call."""
        return ClientCall(self._channel, PROXY, timeout=timeout)

    def call(self, path: str) -> ClientCall:
        """A call of any method."""
        return ClientCall(self._channel, path)

    def close(self):
        """Cancels what is open."""
        self._channel.close()
