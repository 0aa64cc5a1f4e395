"""Either end of a Connect or Proxy call, by grpcio."""

import os
import queue
import threading

# Daemons are started with calls open: that is no fork that grpcio has to know of.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc  # noqa: E402

from harness.daemon import PROMPTLY  # noqa: E402

from .packet import Packet  # noqa: E402

CONNECT, PROXY = "/AgentService/Connect", "/ProxyService/Proxy"

# What grpcio refuses to receive by default is for the daemons to refuse here.
CHANNEL_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))

_END = object()


class Call:
    """Packets out and packets in; what has come waits until the test asks for it."""

    def __init__(self):
        self._outgoing = queue.SimpleQueue()
        self._incoming = queue.SimpleQueue()
        self.ended = threading.Event()

    def send(self, message: Packet | bytes):
        """Queues a packet, or raw bytes for what no packet can say."""
        self._outgoing.put(message if isinstance(message, bytes) else message.encode())

    def finish(self):
        """Ends this side of the call."""
        self._outgoing.put(_END)

    def receive(self) -> Packet:
        """The next packet; raises when the call ends first, or nothing comes."""
        try:
            received = self._incoming.get(timeout=PROMPTLY)
        except queue.Empty:
            raise AssertionError(f"no packet within {PROMPTLY} s") from None
        if received is _END:
            self._incoming.put(_END)
            raise AssertionError("the call has ended")
        return received

    def has_packet(self) -> bool:
        """Whether something waits to be received."""
        return not self._incoming.empty()

    def receive_data(self, connect_id: int, length: int) -> bytes:
        """So many bytes of one connection, and nothing else in between."""
        received = bytearray()
        while len(received) < length:
            packet = self.receive()
            assert packet["connectID"] == connect_id and packet["data"], f"no data but {packet}"
            received += packet["data"]
        return bytes(received)

    def wait(self):
        """Waits for the call's end."""
        assert self.ended.wait(PROMPTLY), f"the call has not ended within {PROMPTLY} s"

    def _requests(self):
        """What is sent, as the iterator that grpcio pulls from."""
        return iter(self._outgoing.get, _END)

    def _read(self, messages):
        """Takes everything that comes, until the call ends."""
        try:
            for message in messages:
                self._incoming.put(Packet.decode(message))
        except grpc.RpcError:
            pass  # Its status is asked for where it matters.
        finally:
            self.ended.set()
            self._incoming.put(_END)


class ClientCall(Call):
    """The calling end: a fake agent's Connect, or a fake frontend's Proxy."""

    def __init__(self, channel: grpc.Channel, path: str, metadata=(), timeout=None):
        super().__init__()
        method = channel.stream_stream(path, None, None)
        self._call = method(self._requests(), metadata=tuple(metadata), timeout=timeout)
        threading.Thread(target=self._read, args=(self._call,), daemon=True).start()

    def headers(self) -> dict:
        """The server's initial metadata."""
        return dict(self._call.initial_metadata())

    def cancel(self):
        """Resets the call."""
        self._call.cancel()

    def status(self) -> tuple[grpc.StatusCode, str]:
        """Code and text, once the call has ended."""
        self.wait()
        return self._call.code(), self._call.details()


class ServerCall(Call):
    """The called end: a fake server's view of an agent."""

    def __init__(self, context: grpc.ServicerContext):
        super().__init__()
        self.metadata = context.invocation_metadata()
        self._context = context
        # Pulls the END out of the queue when the agent is gone, or grpcio's task would wait on.
        if not context.add_callback(self._gone):
            self._gone()  # It is gone already, and nobody would say so again.

    def serve(self, messages):
        """What the service's handler returns."""
        threading.Thread(target=self._read, args=(messages,), daemon=True).start()
        yield from self._requests()

    def cancel(self):
        """Resets the call."""
        self._context.cancel()

    def _gone(self):
        self.ended.set()
        self.finish()
