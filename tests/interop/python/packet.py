"""Konnectivity's `Packet` on the wire, in as little protobuf as it takes.

A packet is its kind and its payload's fields, by the names of the protocol file; fields of value
zero are left out, as in proto3.
"""

from dataclasses import dataclass, field

DIAL_REQ, DIAL_RSP, CLOSE_REQ, CLOSE_RSP, DATA, DIAL_CLS, DRAIN = range(7)

# Kind -> field of `Packet` that holds the payload, and the payload's fields.
PAYLOADS = {
    DIAL_REQ: (2, {1: ("protocol", str), 2: ("address", str), 3: ("random", int)}),
    DIAL_RSP: (3, {1: ("error", str), 2: ("connectID", int), 3: ("random", int)}),
    DATA: (4, {1: ("connectID", int), 2: ("error", str), 3: ("data", bytes)}),
    CLOSE_REQ: (5, {1: ("connectID", int)}),
    CLOSE_RSP: (6, {1: ("error", str), 2: ("connectID", int)}),
    DIAL_CLS: (7, {1: ("random", int)}),
    DRAIN: (8, {}),
}


@dataclass(frozen=True)
class Packet:
    """One message of a Connect or a Proxy call; `fields` is None when the payload is missing."""

    kind: int
    fields: dict | None = field(default_factory=dict)

    def __getitem__(self, name: str):
        return (self.fields or {}).get(name, 0)

    def encode(self) -> bytes:
        """The message's bytes."""
        message = _field(1, self.kind)
        if self.fields is not None:
            number, layout = PAYLOADS[self.kind]
            payload = b"".join(_field(n, self.fields.get(name, 0)) for n, (name, _) in layout.items())
            message += _varint(number << 3 | 2) + _varint(len(payload)) + payload
        return message

    @classmethod
    def decode(cls, message: bytes) -> "Packet":
        """Reads a message; what is unknown in it is skipped, as every peer must."""
        outer = dict(_fields(message))
        kind = outer.get(1, 0)
        number, layout = PAYLOADS.get(kind, (0, {}))
        if number not in outer:
            return cls(kind, None)
        inner = {}
        for n, value in _fields(outer[number]):
            name, as_type = layout.get(n, (None, None))
            if name is not None and value:
                inner[name] = value.decode() if as_type is str else value
        return cls(kind, inner)


def _field(number: int, value) -> bytes:
    if not value:
        return b""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _fields(message: bytes):
    """Field numbers and values: varints as signed 64-bit numbers, the rest as bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            value = varint()
            yield tag >> 3, value - (1 << 64) if value >> 63 else value
        elif tag & 7 == 2:
            length = varint()
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            raise ValueError(f"field {tag >> 3} has wire type {tag & 7}")


def _packet(kind: int, **fields) -> Packet:
    return Packet(kind, {name: value for name, value in fields.items() if value})


def dial_request(random: int, address: str, protocol: str = "tcp") -> Packet:
    return _packet(DIAL_REQ, protocol=protocol, address=address, random=random)


def dial_response(random: int, connect_id: int = 0, error: str = "") -> Packet:
    return _packet(DIAL_RSP, error=error, connectID=connect_id, random=random)


def data(connect_id: int, payload: bytes) -> Packet:
    return _packet(DATA, connectID=connect_id, data=payload)


def close_request(connect_id: int) -> Packet:
    return _packet(CLOSE_REQ, connectID=connect_id)


def close_response(connect_id: int, error: str = "") -> Packet:
    return _packet(CLOSE_RSP, error=error, connectID=connect_id)


def close_dial(random: int) -> Packet:
    return _packet(DIAL_CLS, random=random)


def drain() -> Packet:
    return _packet(DRAIN)
