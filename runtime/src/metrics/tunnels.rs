//! What Dialback counts of tunnels and streams beyond the reference, at both ends.

use dialback_core::server::ResumeRefused;
use dialback_core::{CloseReason, Packet};
use prometheus::{IntCounter, IntCounterVec, Registry};

use super::family::{Families, sum};
use super::live_tunnels::{LiveTunnels, Measured};
use super::packets::Segment;
use crate::status::Totals;

/// Streams and their bytes, and what became of tunnels whose transport was lost.
#[derive(Debug)]
pub(super) struct Tunnels {
    live: LiveTunnels,
    streams_opened: IntCounter,
    streams_closed: IntCounterVec,
    bytes: Directions,
    stalls: Directions,
    transports_lost: IntCounter,
    resumed: IntCounter,
}

impl Tunnels {
    pub(super) fn new(registry: &Registry) -> Self {
        let families = Families::ours(registry);
        Self {
            live: LiveTunnels::new(registry),
            streams_opened: families.counter(
                "streams_opened_total",
                "Streams that were established, from frontend to endpoint.",
            ),
            bytes: Directions::new(&families.counters(
                "stream_bytes_total",
                "Payload bytes that passed through tunnels, by segment. What is sent again counts again.",
                &["segment"],
            )),
            stalls: Directions::new(&families.counters(
                "credit_stalls_total",
                "Times that a sender told that a stream had used up its credit, by the segment on which it sends.",
                &["segment"],
            )),
            streams_closed: families.counters(
                "streams_closed_total",
                "Streams that ended, by who ended them and why.",
                &["initiator", "reason"],
            ),
            transports_lost: families.counter(
                "tunnel_transports_lost_total",
                "Transports of tunnels that were lost while their streams wait for another.",
            ),
            resumed: families.counter(
                "tunnel_resumptions_total",
                "Tunnels that went on over another transport with all their streams.",
            ),
        }
    }

    /// What was counted, for a snapshot.
    pub(super) fn totals(&self) -> Totals {
        Totals {
            streams_opened: self.streams_opened.get(),
            streams_closed: sum(&self.streams_closed),
            bytes_from_agent: self.bytes.from_agent.get(),
            bytes_to_agent: self.bytes.to_agent.get(),
            transports_lost: self.transports_lost.get(),
            resumptions: self.resumed.get(),
            ..Totals::default()
        }
    }

    /// A tunnel began.
    pub(super) fn began(&self, tunnel: impl Measured + 'static) {
        self.live.began(tunnel);
    }

    /// A packet of a tunnel passed.
    pub(super) fn packet(&self, segment: Segment, packet: &Packet) {
        if let Packet::Data { data, .. } = packet {
            self.bytes.add(segment, data.len());
        } else if let Packet::WindowUpdate {
            connect_id: Some(_),
            bytes: 0,
        } = packet
        {
            // `flow-control/1`: word that the sender has used up its credit.
            self.stalls.add(segment, 1);
        }
    }

    pub(super) fn stream_opened(&self) {
        self.streams_opened.inc();
    }

    pub(super) fn stream_closed(&self, reason: &CloseReason) {
        self.streams_closed
            .with_label_values(&[reason.initiator().name(), reason.label()])
            .inc();
    }

    pub(super) fn transport_lost(&self) {
        self.transports_lost.inc();
    }

    pub(super) fn resumed(&self) {
        self.resumed.inc();
    }
}

/// A counter for each direction of tunnels, both there from the start.
#[derive(Debug)]
struct Directions {
    from_agent: IntCounter,
    to_agent: IntCounter,
}

impl Directions {
    fn new(family: &IntCounterVec) -> Self {
        let counter = |segment: Segment| family.with_label_values(&[segment.name()]);
        Self {
            from_agent: counter(Segment::FromAgent),
            to_agent: counter(Segment::ToAgent),
        }
    }

    fn add(&self, segment: Segment, count: usize) {
        let counter = match segment {
            Segment::FromAgent => &self.from_agent,
            Segment::ToAgent => &self.to_agent,
            // No tunnels lead there.
            Segment::FromClient | Segment::ToClient => return,
        };
        counter.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Offers to resume a session that a server refused, by reason.
#[derive(Debug)]
pub(super) struct ResumesRefused([IntCounter; 4]);

impl ResumesRefused {
    pub(super) fn new(registry: &Registry) -> Self {
        Self(Families::ours(registry).counters_of(
            "tunnel_resumptions_refused_total",
            "Offers to resume a session that were refused, by reason.",
            "reason",
            ResumeRefused::ALL.map(ResumeRefused::label),
        ))
    }

    pub(super) fn count(&self, reason: ResumeRefused) {
        self.0[reason as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dialback_core::ConnectId;

    use super::*;
    use crate::metrics::render;

    #[test]
    fn payload_and_stalls_count_by_direction() {
        let registry = Registry::new();
        let tunnels = Tunnels::new(&registry);
        let connect_id = ConnectId::new(1);
        let data = |bytes| Packet::Data {
            connect_id,
            data: Bytes::from(vec![7; bytes]),
        };
        let window = |connect_id, bytes| Packet::WindowUpdate { connect_id, bytes };
        tunnels.packet(Segment::FromAgent, &data(100));
        tunnels.packet(Segment::FromAgent, &data(20));
        tunnels.packet(Segment::ToAgent, &data(3));
        tunnels.packet(Segment::ToAgent, &window(connect_id, 0));
        // Credit, and a probe of the session.
        tunnels.packet(Segment::FromAgent, &window(connect_id, 50));
        tunnels.packet(Segment::FromAgent, &window(None, 0));
        let text = render::<&str>(&registry, &[]);
        for line in [
            "dialback_stream_bytes_total{segment=\"from_agent\"} 120\n",
            "dialback_stream_bytes_total{segment=\"to_agent\"} 3\n",
            "dialback_credit_stalls_total{segment=\"from_agent\"} 0\n",
            "dialback_credit_stalls_total{segment=\"to_agent\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
