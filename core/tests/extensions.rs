//! The packets and headers of `docs/protocol-extensions.md`, as somebody else would write and read them.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use bytes::{Buf, Bytes};
use dialback_core::wire::{
    Decoded, Extensions, Frame, ResumeAnswer, ResumeOffer, SessionGrant, decode,
};
use dialback_core::{ConnectId, DialId, Packet};
use serde_json::Value;

/// gRPC's prefix of a message, in bytes.
const PREFIX: usize = 5;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/extensions.json")).unwrap()
}

fn number(value: &Value) -> i64 {
    value.as_str().unwrap().parse().unwrap()
}

fn bytes(hex: &str) -> Bytes {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn every_packet_decodes_and_encodes_to_the_same_bytes() {
    let vectors = vectors();
    let packets = vectors["packets"].as_array().unwrap();
    for vector in packets {
        let connect_id = || ConnectId::new(number(&vector["connectID"]));
        let expected = match vector["type"].as_i64().unwrap() {
            1 => Packet::DialResponse {
                dial: DialId(number(&vector["random"])),
                connect_id: connect_id(),
                error: String::new(),
                address: Some(vector["endpointAddress"].as_str().unwrap().parse().unwrap()),
            },
            100 => Packet::WindowUpdate {
                connect_id: connect_id(),
                bytes: number(&vector["bytes"]).try_into().unwrap(),
            },
            101 => Packet::CloseWrite {
                connect_id: connect_id(),
            },
            102 => Packet::Ack {
                received: number(&vector["received"]).try_into().unwrap(),
            },
            103 => Packet::Reset {
                connect_id: connect_id(),
                code: vector["code"].as_i64().unwrap().try_into().unwrap(),
                text: vector["text"].as_str().unwrap().to_owned(),
            },
            other => panic!("type {other}"),
        };
        let name = &vector["name"];
        let encoded = bytes(vector["hex"].as_str().unwrap());
        let decoded = decode(encoded.clone()).unwrap();
        assert_eq!(decoded, Decoded::Packet(expected.clone()), "{name}");
        let mut frame = Frame::from(expected);
        frame.advance(PREFIX);
        assert_eq!(frame.copy_to_bytes(frame.remaining()), encoded, "{name}");
    }
    assert_eq!(packets.len(), 11);
}

#[test]
fn every_header_is_read_and_written_alike() {
    let vectors = vectors();
    let headers = vectors["headers"].as_array().unwrap();
    for header in headers {
        let value = header["value"].as_str().unwrap();
        let written = match header["name"].as_str().unwrap() {
            "dialback-extensions" => Extensions::parse([value]).to_string(),
            "dialback-session" => SessionGrant::parse(value.as_bytes()).unwrap().to_string(),
            "dialback-resume" if header["offer"] == true => {
                ResumeOffer::parse_all([value])[0].to_string()
            }
            "dialback-resume" => ResumeAnswer::parse(value.as_bytes()).unwrap().to_string(),
            other => panic!("header {other}"),
        };
        assert_eq!(written, value);
    }
    assert_eq!(headers.len(), 5);
}
