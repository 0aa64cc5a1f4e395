"""The tests' own encoding, against the recorded packets that the core's tests use."""

import base64
import json
import unittest
from pathlib import Path

from .packet import PAYLOADS, Packet

VECTORS = Path(__file__).parents[3] / "core/tests/vectors/packets.json"
MEMBERS = {
    2: "dialRequest", 3: "dialResponse", 4: "data", 5: "closeRequest", 6: "closeResponse",
    7: "closeDial", 8: "drain",
}


def recorded_packet(packet: dict) -> Packet:
    """A vector's packet in our terms: what is zero is left out."""
    kind = packet.get("type", 0)
    number, layout = PAYLOADS[kind]
    payload = packet.get(MEMBERS[number])
    if payload is None:
        return Packet(kind, None)
    read = {str: str, int: int, bytes: base64.b64decode}
    fields = {name: read[type_](payload[name]) for name, type_ in layout.values() if payload.get(name)}
    return Packet(kind, {name: value for name, value in fields.items() if value})


class PacketTest(unittest.TestCase):
    def test_recorded_packets_decode_and_encode_to_the_same_bytes(self):
        for vector in json.loads(VECTORS.read_text()):
            if vector["packet"].get("type", 0) not in PAYLOADS:
                continue
            with self.subTest(vector["name"]):
                packet = recorded_packet(vector["packet"])
                self.assertEqual(Packet.decode(bytes.fromhex(vector["hex"])), packet)
                self.assertEqual(packet.encode().hex(), vector["hex"])
