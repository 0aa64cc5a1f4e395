"""Throw-away certificates, made with the openssl command."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = """
[req]
distinguished_name = subject
prompt = no
[subject]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{names}
"""


@dataclass(frozen=True)
class Identity:
    """A certificate, its key, and the authority that signed it, as files."""

    certificate: Path
    key: Path
    authority: Path


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path, name: str):
        self.folder = folder
        self.certificate = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"
        self._request(name, self.certificate, self.key, "authority")

    def server(self, name: str, address: str) -> Identity:
        """For a server at an IP address."""
        return self._leaf(name, "serverAuth", f"subjectAltName = IP:{address}")

    def client(self, name: str) -> Identity:
        """For a client."""
        return self._leaf(name, "clientAuth", "")

    def _leaf(self, name: str, usage: str, names: str) -> Identity:
        issued = Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key", self.certificate)
        signer = ["-CA", self.certificate, "-CAkey", self.key]
        self._request(name, issued.certificate, issued.key, "leaf", signer, usage, names)
        return issued

    def _request(self, name, certificate, key, section, signer=(), usage="", names=""):
        configuration = self.folder / f"{name}.cnf"
        configuration.write_text(
            CONFIGURATION.format(name=name, usage=usage or "clientAuth", names=names)
        )
        command = ["openssl", "req", "-x509", "-days", "1", "-config", configuration]
        command += ["-extensions", section, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command += ["-nodes", "-keyout", key, "-out", certificate, *signer]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        configuration.unlink()


@dataclass(frozen=True)
class Certificates:
    """What a server, an agent and a frontend need.

    The frontends' side and the agents' side have an authority each, so that a daemon which
    confuses the two is found out.
    """

    server: Identity
    frontend: Identity
    cluster: Identity
    agent: Identity

    @classmethod
    def issue(cls, folder: Path, address: str) -> "Certificates":
        """For daemons that listen at one address."""
        frontends = Authority(folder, "frontend-ca")
        agents = Authority(folder, "cluster-ca")
        return cls(
            server=frontends.server("server", address),
            frontend=frontends.client("frontend"),
            cluster=agents.server("cluster", address),
            agent=agents.client("agent"),
        )
