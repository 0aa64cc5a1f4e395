//! `stream_packets_total` and `stream_errors_total`, which server and agent have in common.

use std::array;
use std::sync::OnceLock;

use dialback_core::PacketKind;
use dialback_core::wire::Code;
use prometheus::{IntCounter, IntCounterVec};

use super::family::Families;

/// Where a packet passes: the `segment` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// From a frontend to the server.
    FromClient,
    /// From the server to a frontend.
    ToClient,
    /// From an agent to the server.
    FromAgent,
    /// From the server to an agent.
    ToAgent,
}

impl Segment {
    const COUNT: usize = 4;

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::FromClient => "from_client",
            Self::ToClient => "to_client",
            Self::FromAgent => "from_agent",
            Self::ToAgent => "to_agent",
        }
    }
}

/// Counters of packets and of streams' errors.
#[derive(Debug)]
pub(super) struct Packets {
    packets: IntCounterVec,
    /// By segment and kind; filled on first use.
    resolved: [[OnceLock<IntCounter>; PacketKind::ALL.len()]; Segment::COUNT],
    errors: IntCounterVec,
}

impl Packets {
    pub(super) fn new(families: &Families<'_>) -> Self {
        Self {
            packets: families.counters(
                "stream_packets_total",
                "Packets that passed, by segment and packet type. Sent ones count before they are tried.",
                &["segment", "packet_type"],
            ),
            resolved: array::from_fn(|_| array::from_fn(|_| OnceLock::new())),
            errors: families.counters(
                "stream_errors_total",
                "Errors of streams, by segment, gRPC code and packet type. An end that both sides want is none.",
                &["segment", "code", "packet_type"],
            ),
        }
    }

    pub(super) fn packet(&self, segment: Segment, kind: PacketKind) {
        self.resolved[segment as usize][kind.index()]
            .get_or_init(|| {
                self.packets
                    .with_label_values(&[segment.name(), kind.name()])
            })
            .inc();
    }

    pub(super) fn failed(&self, segment: Segment, code: Code, kind: Option<PacketKind>) {
        let kind = kind.map_or("Unknown", PacketKind::name);
        self.errors
            .with_label_values(&[segment.name(), code.name(), kind])
            .inc();
    }
}
