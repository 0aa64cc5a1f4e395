"""Loopback addresses that no other test uses."""

import random
import socket

# Nothing under test listens on this port: holding it is holding the address.
CLAIM_PORT = 49000


def claim_address() -> tuple[str, socket.socket]:
    """A loopback address of the caller's own until the socket is closed.

    The daemons only take ports of a fixed range, so tests that run at the same time differ by
    address instead.
    """
    for _ in range(1000):
        address = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        claim = socket.socket()
        try:
            claim.bind((address, CLAIM_PORT))
            claim.listen()
        except OSError:
            claim.close()
            continue
        return address, claim
    raise RuntimeError("no free loopback address in 1000 tries")
