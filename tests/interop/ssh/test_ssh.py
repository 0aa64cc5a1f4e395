"""OpenSSH's client whose ProxyCommand is `dialback dial`, and an SSH server behind the agent."""

import asyncio
import getpass
import hashlib
import os
import random
import shutil
import socket
import subprocess
import threading
import unittest
from pathlib import Path

import asyncssh

from harness.case import InteropCase, needs_daemons

USER = "operator"

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


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


class OpenSshServer(threading.Thread):
    """OpenSSH's sshd, one process for each connection."""

    def __init__(self, folder: Path):
        super().__init__(daemon=True)
        self.key = folder / "id"
        for name in ("id", "host"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True, timeout=60)
        self._config = folder / "sshd_config"
        self._config.write_text(
            f"HostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/id.pub\n"
            "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n"
        )
        self._sessions = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                command = [SSHD, "-i", "-e", "-f", str(self._config)]
                session = subprocess.Popen(
                    command, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL
                )
                self._sessions.append(session)

    def close(self):
        # Wakes the thread, which a mere close does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self.join(15)
        self._listener.close()
        for session in self._sessions:
            session.wait(15)


def why_no_sshd() -> str:
    """What sshd, which has to be called by its whole path, lacks here."""
    if not SSHD:
        return "there is no sshd"
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        return "sshd started by root needs the folder /run/sshd"
    return ""


@needs_daemons
class SshCase(InteropCase):
    def through(self, mode: str):
        self.start_pair(mode=mode)
        key = self.folder / "id"
        server = self._closing(SshServer(key))
        return self.ssh(mode, key, server.port, USER, "back")

    def ssh(self, mode: str, key: Path, port: int, user: str, command: str):
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
            str(port),
            f"{user}@127.0.0.1",
            command,
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

    def opensshs_session(self, mode: str):
        self.start_pair(mode=mode)
        server = self._closing(OpenSshServer(self.folder))
        sent = random.Random(mode).randbytes(20_000_000)
        command = self.ssh(mode, server.key, server.port, getpass.getuser(), "cat; exit 7")
        done = subprocess.run(command, input=sent, capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertEqual(done.stdout, sent)

    @unittest.skipIf(why_no_sshd(), why_no_sshd())
    def test_a_session_with_opensshs_server_through_http_connect(self):
        self.opensshs_session("http-connect")

    @unittest.skipIf(why_no_sshd(), why_no_sshd())
    def test_a_session_with_opensshs_server_through_grpc(self):
        self.opensshs_session("grpc")

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
