"""OpenSSH's client whose ProxyCommand is `dialback dial`, and an SSH server behind the agent."""

import asyncio
import hashlib
import os
import random
import subprocess
import threading
import unittest
from pathlib import Path

import asyncssh

from harness.case import InteropCase, needs_daemons

USER = "operator"


class SshServer(threading.Thread):
    """Says the checksum of a session's standard input and sends the input back."""

    def __init__(self, key: Path):
        super().__init__(daemon=True)
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        client = asyncssh.generate_private_key("ssh-ed25519")
        client.write_private_key(str(key))
        key.chmod(0o600)
        self._authorized = asyncssh.import_authorized_keys(client.export_public_key().decode())
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self.port = 0
        self.start()
        if not self._listening.wait(15):
            raise RuntimeError("the SSH server does not start")

    def run(self):
        self._loop.run_until_complete(self._listen())
        self._listening.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())
        self._loop.close()

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join(15)

    async def _listen(self):
        self._server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[self._key],
            authorized_client_keys=self._authorized,
            process_factory=self._serve,
            encoding=None,
        )
        self.port = self._server.get_port()

    async def _close(self):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, process: asyncssh.SSHServerProcess):
        received = await process.stdin.read()
        process.stderr.write(hashlib.sha256(received).hexdigest().encode())
        process.stdout.write(received)
        await process.stdout.drain()
        process.exit(7)


@needs_daemons
class SshCase(InteropCase):
    def through(self, mode: str):
        self.start_pair(mode=mode)
        key = self.folder / "id"
        server = self._closing(SshServer(key))
        dial = Path(os.environ["DIALBACK_BIN_DIR"]) / "dialback"
        return [
            "ssh",
            "-F",
            "none",
            "-o",
            f"ProxyCommand={dial} dial --uds {self.socket} --mode {mode} %h:%p",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "LogLevel=ERROR",
            "-i",
            str(key),
            "-p",
            str(server.port),
            f"{USER}@127.0.0.1",
            "back",
        ]

    def session(self, mode: str):
        sent = random.Random(mode).randbytes(20_000_000)
        done = subprocess.run(
            self.through(mode), input=sent, capture_output=True, timeout=60, check=False
        )
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertEqual(done.stderr.decode(), hashlib.sha256(sent).hexdigest())
        self.assertEqual(done.stdout, sent)

    def test_a_session_through_http_connect(self):
        self.session("http-connect")

    def test_a_session_through_grpc(self):
        self.session("grpc")

    def test_a_host_that_refuses_is_told_by_ssh(self):
        self.start_pair(mode="grpc")
        dial = Path(os.environ["DIALBACK_BIN_DIR"]) / "dialback"
        host, port = self.closed_address().split(":")
        command = f"ProxyCommand={dial} dial --uds {self.socket} --mode grpc %h:%p"
        done = subprocess.run(
            ["ssh", "-F", "none", "-o", command, "-o", "BatchMode=yes", "-p", port, host, "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"connection refused", done.stderr)


if __name__ == "__main__":
    unittest.main()
