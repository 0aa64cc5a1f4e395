"""curl's requests through HTTP CONNECT."""

import hashlib
import http.server
import os
import ssl
import subprocess

from harness.case import FRONTEND_PORT, InteropCase, needs_daemons
from harness.certificates import Authority
from harness.endpoint import WebServer

from .bridge import Bridge


class Handler(http.server.BaseHTTPRequestHandler):
    """GET answers as many bytes as the path's last part says, POST the body's checksum once its end has come."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.path.rsplit("/", 1)[1])
        self._answer(body(length))

    def do_POST(self):
        checksum = hashlib.sha256()
        for piece in self._body():
            checksum.update(piece)
        self._answer(checksum.hexdigest().encode())

    def _body(self):
        if self.headers["Transfer-Encoding"] != "chunked":
            yield self.rfile.read(int(self.headers["Content-Length"]))
            return
        while length := int(self.rfile.readline(), 16):
            yield self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, content: bytes):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Says nothing."""


def body(length: int) -> bytes:
    """Bytes that show where they are from."""
    return (b"%d bytes. " % length * (length // 2 + 1))[:length]


class CurlCase(InteropCase):
    tcp: bool

    def start(self, with_agent=True):
        """The daemons, and curl's arguments that lead through them."""
        if with_agent:
            self.start_pair(mode="http-connect", tcp=self.tcp)
        else:
            self.start_server(mode="http-connect", tcp=self.tcp)
        if not self.tcp:
            bridge = Bridge(self.socket)
            self.addCleanup(bridge.close)
            self.proxy = ["--proxy", f"http://{bridge.address}"]
            return
        files = self.certificates.frontend
        self.proxy = ["--proxy", f"https://{self.host}:{FRONTEND_PORT}"]
        self.proxy += ["--proxy-cacert", files.authority]
        self.proxy += ["--proxy-cert", files.certificate, "--proxy-key", files.key]

    def curl(self, *arguments):
        """Runs curl through the proxy."""
        command = ["curl", "--disable", "--silent", "--show-error", "--max-time", "60"]
        command += ["--proxytunnel", *self.proxy, *arguments]
        return subprocess.run(command, capture_output=True, timeout=90)

    def web_server(self, tls=None) -> WebServer:
        server = WebServer(Handler, tls)
        self.addCleanup(server.close)
        return server

    def fetch(self, *arguments) -> bytes:
        """What a request that has to succeed answers."""
        done = self.curl("--fail", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class Cases:
    """What holds on either transport."""

    def test_fetches(self):
        self.start()
        server = self.web_server()
        for length in (1, 1 << 20):
            self.assertEqual(self.fetch(f"http://{server.address}/{length}"), body(length))

    def test_uploads_to_an_endpoint_that_answers_at_the_end(self):
        self.start()
        server = self.web_server()
        content = os.urandom(50_000_000)
        upload = self.folder / "upload.crt"
        upload.write_bytes(content)
        # The end is known beforehand, or it is told behind the body.
        for headers in ([], ["--header", "Transfer-Encoding: chunked"]):
            address = f"http://{server.address}/"
            answer = self.fetch(*headers, "--data-binary", f"@{upload}", address)
            self.assertEqual(answer.decode(), hashlib.sha256(content).hexdigest())

    def test_fetches_over_tls_end_to_end(self):
        self.start()
        files = Authority(self.folder, "endpoint-ca").server("endpoint", "127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        server = self.web_server(context)
        address = f"https://{server.address}/100000"
        self.assertEqual(self.fetch("--cacert", files.authority, address), body(100000))

    def test_fetches_many_at_once(self):
        self.start()
        server = self.web_server()
        written = self.folder / "got_#1.crt"
        address = f"http://{server.address}/[1001-1050]"
        self.fetch("--parallel", "--parallel-immediate", "--parallel-max", "50", "-o", written, address)
        for length in range(1001, 1051):
            self.assertEqual((self.folder / f"got_{length}.crt").read_bytes(), body(length))

    def test_reads_the_status_of_a_failed_dial(self):
        self.start()
        status = self.curl("--write-out", "%{http_connect}", f"http://{self.closed_address()}/")
        self.assertEqual((status.returncode, status.stdout), (56, b"502"))

    def test_reads_the_status_when_there_is_no_agent(self):
        self.start(with_agent=False)
        status = self.curl("--write-out", "%{http_connect}", "http://127.0.0.1:1/")
        self.assertEqual((status.returncode, status.stdout), (56, b"500"))


@needs_daemons
class UnixSocketTest(Cases, CurlCase):
    tcp = False


@needs_daemons
class MutualTlsTest(Cases, CurlCase):
    tcp = True

    def test_is_refused_without_a_certificate(self):
        self.start()
        self.proxy = self.proxy[:4]
        status = self.curl("--write-out", "%{http_connect}", "http://127.0.0.1:1/")
        self.assertNotEqual(status.returncode, 0)
        self.assertEqual(status.stdout, b"000")
