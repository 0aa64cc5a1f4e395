//! The protocol's bytes: recorded vectors both ways, and packets through frame and decoder.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use prost::Message;
use quickcheck::{Arbitrary, Gen, quickcheck};
use serde_json::Value;

use super::frame::PREFIX_BYTES;
use super::message::{self, PacketMessage, Payload, packet_type};
use super::*;
use crate::ids::{ConnectId, DialId};

/// Messages recorded from the reference implementation.
const VECTORS: &str = include_str!("../../tests/vectors/packets.json");

struct Vector {
    name: String,
    bytes: Bytes,
    message: PacketMessage,
}

fn vectors() -> Vec<Vector> {
    let parsed: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors: Vec<Vector> = parsed.as_array().unwrap().iter().map(vector).collect();
    assert_eq!(vectors.len(), 18);
    vectors
}

fn vector(entry: &Value) -> Vector {
    let packet = &entry["packet"];
    let field = |payload: &Value, name: &str| payload[name].as_str().unwrap().to_owned();
    let int = |payload: &Value, name: &str| field(payload, name).parse::<i64>().unwrap();
    let payload = packet
        .as_object()
        .unwrap()
        .iter()
        .find(|(name, _)| *name != "type")
        .map(|(name, payload)| match name.as_str() {
            "dialRequest" => Payload::DialRequest(message::DialRequest {
                protocol: field(payload, "protocol"),
                address: field(payload, "address"),
                random: int(payload, "random"),
            }),
            "dialResponse" => Payload::DialResponse(message::DialResponse {
                error: field(payload, "error"),
                connect_id: int(payload, "connectID"),
                random: int(payload, "random"),
                endpoint_address: Bytes::new(),
            }),
            "data" => Payload::Data(message::Data {
                connect_id: int(payload, "connectID"),
                error: field(payload, "error"),
                data: base64(&field(payload, "data")).into(),
            }),
            "closeRequest" => Payload::CloseRequest(message::CloseRequest {
                connect_id: int(payload, "connectID"),
            }),
            "closeResponse" => Payload::CloseResponse(message::CloseResponse {
                error: field(payload, "error"),
                connect_id: int(payload, "connectID"),
            }),
            "closeDial" => Payload::CloseDial(message::CloseDial {
                random: int(payload, "random"),
            }),
            "drain" => Payload::Drain(message::Drain {}),
            other => panic!("vector with an unknown payload {other}"),
        });
    let hex = entry["hex"].as_str().unwrap().as_bytes();
    Vector {
        name: entry["name"].as_str().unwrap().to_owned(),
        bytes: hex
            .chunks(2)
            .map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap())
            .collect(),
        message: PacketMessage {
            r#type: packet["type"].as_i64().unwrap().try_into().unwrap(),
            payload,
        },
    }
}

fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        let value = alphabet.iter().position(|byte| *byte == digit).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff).try_into().unwrap());
        }
    }
    bytes
}

/// The protobuf of a frame, whose prefix has to be right.
fn body(frame: &Frame) -> Bytes {
    let mut frame = frame.clone();
    let whole = frame.copy_to_bytes(frame.remaining());
    assert_eq!(whole[0], 0, "not compressed");
    let length = u32::from_be_bytes(whole[1..PREFIX_BYTES].try_into().unwrap());
    assert_eq!(usize::try_from(length).unwrap(), whole.len() - PREFIX_BYTES);
    whole.slice(PREFIX_BYTES..)
}

#[test]
fn every_vector_decodes_and_encodes_to_its_bytes() {
    for vector in vectors() {
        let decoded = PacketMessage::decode(vector.bytes.clone()).unwrap();
        assert_eq!(decoded, vector.message, "{}", vector.name);
        assert_eq!(decoded.encode_to_vec(), vector.bytes, "{}", vector.name);
    }
}

#[test]
fn every_vector_is_a_packet_and_a_frame_where_it_can_be() {
    let mut packets = 0;
    for vector in vectors() {
        match (decode(vector.bytes.clone()).unwrap(), &*vector.name) {
            (Decoded::Packet(packet), name) => {
                packets += 1;
                // A DATA error is read by nobody, so it is not kept.
                if name != "data_error" {
                    assert_eq!(body(&Frame::encode(&packet)), vector.bytes, "{name}");
                }
            }
            (other, "type_without_payload") => {
                assert_eq!(other, Decoded::MissingPayload(PacketKind::Data));
            }
            (other, "empty") => assert_eq!(other, Decoded::MissingPayload(PacketKind::DialRequest)),
            (other, "unknown_type") => assert_eq!(other, Decoded::UnknownType(77)),
            (other, name) => panic!("{name} decoded to {other:?}"),
        }
    }
    assert_eq!(packets, 15);
}

#[test]
fn every_known_type_without_payload_is_told_apart() {
    for kind in PacketKind::ALL {
        let wire = kind.wire_type().try_into().unwrap();
        let decoded = decode(Bytes::copy_from_slice(&[8, wire])).unwrap();
        let expected = if kind == PacketKind::Drain {
            Decoded::Packet(Packet::Drain)
        } else {
            Decoded::MissingPayload(kind)
        };
        assert_eq!(decoded, expected);
    }
}

#[test]
fn the_type_decides_which_payload_counts() {
    let close_with_data = PacketMessage {
        r#type: 2,
        payload: Some(Payload::Data(message::Data::default())),
    };
    assert_eq!(
        decode(close_with_data.encode_to_vec().into()),
        Ok(Decoded::MissingPayload(PacketKind::CloseRequest))
    );
}

#[test]
fn unknown_fields_are_skipped() {
    // Field 50 (varint), then CLOSE_REQ id 1 with an unknown field 9 inside.
    let bytes = Bytes::from_static(&[0x90, 0x03, 7, 8, 2, 0x2a, 4, 8, 1, 0x48, 5]);
    assert_eq!(
        decode(bytes),
        Ok(Decoded::Packet(Packet::CloseRequest {
            connect_id: ConnectId::new(1)
        }))
    );
}

#[test]
fn broken_protobuf_is_an_error_with_a_status() {
    for bytes in [
        &b"\x08"[..],
        b"\x22\x05\x08",
        b"\x2a\x01\xff",
        b"\x12\x03\x0a\x01\xff",
    ] {
        let error = decode(Bytes::from_static(bytes)).unwrap_err();
        let status = error.status();
        assert_eq!(status.code, Code::Internal);
        assert!(status.message.starts_with("grpc: failed to unmarshal"));
    }
}

#[test]
fn an_address_that_is_none_counts_as_absent() {
    let address_of = |text: &[u8]| {
        let answer = PacketMessage {
            r#type: packet_type::DIAL_RSP,
            payload: Some(Payload::DialResponse(message::DialResponse {
                error: String::new(),
                connect_id: 7,
                random: 1,
                endpoint_address: Bytes::copy_from_slice(text),
            })),
        };
        let decoded = decode(answer.encode_to_vec().into());
        let Ok(Decoded::Packet(Packet::DialResponse { address, .. })) = decoded else {
            panic!("not the answer: {decoded:?}");
        };
        address
    };
    for good in [
        "10.0.0.1:443",
        "[2001:db8::1]:443",
        "[fe80::1%3]:65535",
        "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535",
    ] {
        assert_eq!(address_of(good.as_bytes()), good.parse().ok(), "{good}");
        assert!(address_of(good.as_bytes()).is_some(), "{good}");
    }
    // The port is right but for its zeros; only its length is not.
    let long = format!("[2001:db8::1]:{}443", "0".repeat(64));
    for bad in [
        &b""[..],
        b"10.0.0.1",
        b"10.0.0.1:65536",
        b"2001:db8::1:443",
        b"example.org:443",
        b" 10.0.0.1:443",
        b"10.0.0.1:443\n",
        b"\xff\xfe",
        long.as_bytes(),
    ] {
        assert_eq!(address_of(bad), None, "{}", bad.escape_ascii());
    }
}

#[test]
fn payloads_are_shared_from_socket_to_socket() {
    let sent = Frame::from(Packet::Data {
        connect_id: ConnectId::new(7),
        data: Bytes::from(vec![1; 1000]),
    });
    let message = body(&sent);
    let Decoded::Packet(Packet::Data { data, connect_id }) = decode(message.clone()).unwrap()
    else {
        panic!("not DATA");
    };
    assert_eq!(data.as_ptr(), message[message.len() - 1000..].as_ptr());

    let mut forwarded = Frame::from(Packet::Data {
        connect_id,
        data: data.clone(),
    });
    let head = forwarded.chunk().len();
    forwarded.advance(head);
    assert_eq!(forwarded.chunk().as_ptr(), data.as_ptr());
}

#[test]
fn a_frame_offers_all_its_parts_at_once() {
    let frame = Frame::from(Packet::Data {
        connect_id: ConnectId::new(1),
        data: Bytes::from_static(b"hello"),
    });
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    assert_eq!(frame.chunks_vectored(&mut slices), 2);
    assert_eq!(slices[0].len() + slices[1].len(), frame.len());
    assert_eq!(&*slices[1], b"hello");
    assert_eq!(frame.chunks_vectored(&mut slices[..1]), 1);
    assert_eq!(frame.chunks_vectored(&mut []), 0);

    let drain = Frame::from(Packet::Drain);
    assert_eq!(drain.chunks_vectored(&mut slices), 1);
}

#[test]
fn the_longest_head_fits() {
    let frame = Frame::from(Packet::WindowUpdate {
        connect_id: ConnectId::new(-1),
        bytes: u64::MAX,
    });
    assert_eq!(frame.chunk().len(), frame.len(), "all of it is inline");
    let data = Frame::from(Packet::Data {
        connect_id: ConnectId::new(i64::MIN),
        data: Bytes::from(vec![0; MAX_MESSAGE_BYTES]),
    });
    assert_eq!(body(&data).len(), data.len() - PREFIX_BYTES);
}

/// A socket address as its text holds it: the flow label of IPv6 is no part of that.
fn without_flow_label(mut address: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(address) = &mut address {
        address.set_flowinfo(0);
    }
    address
}

impl Arbitrary for Packet {
    fn arbitrary(g: &mut Gen) -> Self {
        let dial = DialId(i64::arbitrary(g));
        let connect_id = ConnectId::new(i64::arbitrary(g));
        match g.choose(&PacketKind::ALL).unwrap() {
            PacketKind::DialRequest => Self::DialRequest {
                dial,
                protocol: String::arbitrary(g),
                address: String::arbitrary(g),
            },
            PacketKind::DialResponse => Self::DialResponse {
                dial,
                connect_id,
                error: String::arbitrary(g),
                address: Option::arbitrary(g).map(without_flow_label),
            },
            PacketKind::CloseRequest => Self::CloseRequest { connect_id },
            PacketKind::CloseResponse => Self::CloseResponse {
                connect_id,
                error: String::arbitrary(g),
            },
            PacketKind::Data => Self::Data {
                connect_id,
                data: Vec::arbitrary(g).into(),
            },
            PacketKind::CloseDial => Self::CloseDial { dial },
            PacketKind::Drain => Self::Drain,
            PacketKind::WindowUpdate => Self::WindowUpdate {
                connect_id,
                bytes: u64::arbitrary(g),
            },
            PacketKind::CloseWrite => Self::CloseWrite { connect_id },
            PacketKind::Ack => Self::Ack {
                received: u64::arbitrary(g),
            },
            PacketKind::Reset => Self::Reset {
                connect_id,
                code: i32::arbitrary(g),
                text: String::arbitrary(g),
            },
        }
    }
}

quickcheck! {
    fn a_frame_is_what_prost_encodes(packet: Packet) -> bool {
        let expected = PacketMessage::from(packet.clone()).encode_to_vec();
        body(&Frame::encode(&packet)) == expected
    }

    fn packets_come_back(packet: Packet) -> bool {
        decode(body(&Frame::encode(&packet))) == Ok(Decoded::Packet(packet))
    }

    fn a_frame_advances_byte_by_byte(packet: Packet) -> bool {
        let whole = Frame::encode(&packet);
        let mut rest = whole.clone();
        let mut bytes = Vec::new();
        while rest.has_remaining() {
            bytes.push(rest.chunk()[0]);
            rest.advance(1);
        }
        rest.is_empty() && bytes[PREFIX_BYTES..] == body(&whole)
    }

    fn any_bytes_decode_or_fail(bytes: Vec<u8>) -> bool {
        match decode(bytes.into()) {
            Ok(Decoded::Packet(packet)) => {
                decode(body(&Frame::encode(&packet))) == Ok(Decoded::Packet(packet))
            }
            Ok(_) | Err(_) => true,
        }
    }
}
