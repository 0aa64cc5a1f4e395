"""proxy-server and proxy-agent as child processes."""

import http.client
import os
import re
import signal
import subprocess
import time
from pathlib import Path

# Everything awaited takes milliseconds; the limit only says when to give up.
PROMPTLY = 15.0

ERROR_LINE = re.compile(r"^(?:[EF]\d{4} .*|.*\bERROR\b.*|.*panicked at.*)$", re.MULTILINE)


def eventually(check, limit: float = PROMPTLY):
    """Asks until `check` raises nothing, answers what it returns, and raises its last complaint
    when it never is content."""
    deadline = time.monotonic() + limit
    while True:
        try:
            return check()
        except (AssertionError, OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


class Daemon:
    """A running daemon, whose health listener has answered."""

    def __init__(self, name: str, health: tuple[str, int], log: Path, *arguments: str):
        self.name = name
        self.log = log
        self._health = health
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [Path(os.environ["DIALBACK_BIN_DIR"]) / name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            eventually(lambda: self.expect("/healthz", 200))
        except BaseException:
            self.kill()
            raise
        self._descriptors = self.descriptors()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the health listener."""
        ended = self._process.poll()
        if ended is not None:
            raise RuntimeError(f"{self.name} has ended with {ended}:\n{self.log.read_text()}")
        connection = http.client.HTTPConnection(*self._health, timeout=PROMPTLY)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def expect(self, path: str, status: int) -> str:
        """The body of a page that must have the status."""
        have, body = self.get(path)
        assert have == status, f"{self.name} answers {path} with {have}: {body}"
        return body

    def until_ready(self):
        """Waits for /readyz, and takes what is open then as what is open at rest."""
        eventually(lambda: self.expect("/readyz", 200))
        self._descriptors = self.descriptors()

    def value(self, series: str) -> float:
        """A series of /metrics, name and labels as printed there; 0 when absent."""
        for line in self.expect("/metrics", 200).splitlines():
            if line.startswith(series + " "):
                return float(line.removeprefix(series))
        return 0

    def reaches(self, series: str, want: float):
        """Waits until a series has the value."""

        def check():
            have = self.value(series)
            assert have == want, f"{self.name}: {series} is {have}, not {want}"

        eventually(check)

    def logged(self) -> str:
        """Everything logged so far."""
        return self.log.read_text(errors="replace")

    def errors(self) -> list[str]:
        """Logged lines of severity error or fatal, and panics."""
        return ERROR_LINE.findall(self.logged())

    def descriptors(self) -> int:
        """How many descriptors the process has open."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def until_at_rest(self):
        """Waits until no more descriptors are open than when it became ready."""

        def check():
            now = self.descriptors()
            assert now <= self._descriptors, (
                f"{self.name} has {now} descriptors open, {self._descriptors} at the start"
            )

        eventually(check)

    def terminate(self):
        """Sends SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def wait(self) -> int:
        """The exit code, once the process has ended."""
        return self._process.wait(PROMPTLY)

    def stop(self, impatient: bool) -> int:
        """Ends the process with SIGTERM and answers its exit code.

        The first signal only drains an agent, the second ends it, so an agent gets as many as it
        takes (`impatient`); for a server a second one would mean haste.
        """
        deadline = time.monotonic() + PROMPTLY
        self.terminate()
        while True:
            try:
                return self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise
                if impatient:
                    self.terminate()

    def kill(self):
        """Ends the process at once, if it runs."""
        self._process.kill()
        self._process.wait()
