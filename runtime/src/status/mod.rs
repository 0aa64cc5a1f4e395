//! What a server or an agent is at: a snapshot for people, tools and pages.
//!
//! Both daemons have the same shape: who is at the other ends of their tunnels, how each tunnel is, and counters that
//! only grow. Rates are up to the viewer, from two snapshots and their [`Status::uptime_seconds`]. Everything that a peer
//! chooses, such as its id, is cut to a bound, and so is the number of links in one snapshot.

mod peers;

use std::time::Duration;

use dialback_core::LinkLoad;
use serde::{Deserialize, Serialize};

pub(crate) use self::peers::{Looked, Peer, Peers, clip, describe};

/// A snapshot of a server or an agent; its JSON is `/api/v1/status`, and names in it do not change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What this is the status of.
    pub program: Program,
    /// The version of Dialback.
    pub version: String,
    /// `--server-id` or `--agent-id`.
    pub id: String,
    /// Since the program began to serve, by a clock that never goes back: what rates are computed with. Less than in the
    /// snapshot before means that it was started anew, and its counters with it.
    pub uptime_seconds: f64,
    /// What `/readyz` says.
    pub ready: bool,
    /// It is about to stop.
    pub draining: bool,
    /// What `/readyz?verbose` adds, in sentences.
    pub problems: Vec<String>,
    /// At a server with a policy, how many have been put in force since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_generation: Option<u64>,
    /// At a server with an audit log, how that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditStatus>,
    /// Over all links, those included that are not on this page.
    pub totals: Totals,
    /// How often each bound was met; empty at an agent.
    pub limits: Vec<LimitStatus>,
    /// Agents at a server, servers at an agent, by their oldest link.
    pub peers: Vec<PeerStatus>,
    /// There are more links than this page has; [`Status::next`] leads to them.
    pub truncated: bool,
    /// [`StatusPage::after`] of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Which of the two daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// `proxy-server`.
    Server,
    /// `proxy-agent`.
    Agent,
}

/// Sums: the first part is how things are now, the rest counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Tunnels, those included that wait for another transport.
    pub links: u64,
    /// Their streams, those included that are being opened or closed.
    pub streams: u64,
    /// Streams whose dials wait for an answer.
    pub pending_dials: u64,
    /// Payload bytes that wait for tunnels.
    pub outgoing_bytes: u64,
    /// Payload bytes from tunnels that wait for their readers.
    pub incoming_bytes: u64,
    /// Streams with bytes to send for which the peer has given no credit.
    pub stalled_streams: u64,
    /// Bytes kept until the peer has acknowledged them.
    pub retained_bytes: u64,
    /// Streams that were established.
    pub streams_opened: u64,
    /// Established streams that ended.
    pub streams_closed: u64,
    /// Dials that failed; at a server one dial may count more than once, as in `dial_failure_count`.
    pub dials_failed: u64,
    /// Payload bytes from agents to servers.
    pub bytes_from_agent: u64,
    /// Payload bytes from servers to agents.
    pub bytes_to_agent: u64,
    /// Transports of tunnels that were lost while their streams wait for another.
    pub transports_lost: u64,
    /// Tunnels that went on over another transport.
    pub resumptions: u64,
}

/// How an audit log is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Whether streams are refused that could not be recorded.
    pub strict: bool,
    /// Why the log can't be written, if it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Nothing new may begin: see [`AuditStatus::strict`].
    pub blocked: bool,
    /// Records that wait to be written.
    pub waiting: u64,
    /// Records that were written since the start.
    pub written: u64,
    /// Records that were dropped for want of room since the start.
    pub dropped: u64,
}

impl AuditStatus {
    /// What an operator has to know, in a sentence.
    pub(crate) fn complaint(&self) -> Option<String> {
        let consequence = if self.blocked {
            "new streams and agents are refused"
        } else {
            "records will be dropped"
        };
        match &self.failure {
            Some(failure) => Some(format!(
                "the audit log can't be written: {failure}; {consequence}"
            )),
            None if self.blocked => Some(format!(
                "the audit log is not written as fast as records come; {consequence}"
            )),
            None => None,
        }
    }
}

/// A bound of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStatus {
    /// Its flag, with underscores.
    pub name: String,
    /// How often it was met since the start.
    pub reached: u64,
}

/// Who is at the other end of tunnels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// What it calls itself: an agent's `--agent-id`, a server's `--server-id`. At most 128 bytes.
    pub id: String,
    /// What an agent has proved to be: [`Identity::name`](dialback_core::Identity::name). At most 128 bytes; not at an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The tenant that an agent belongs to, by the server's policy. At most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What an agent says it can reach and the server's policy lets it, as `host=node-1` or `default-route=true`: the first
    /// eight, of at most 128 bytes each.
    pub identifiers: Vec<String>,
    /// Its tunnels that are on this page, oldest first.
    pub links: Vec<LinkStatus>,
}

/// A tunnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Its number, as in `link:7` of logs and metrics.
    pub link: u64,
    /// Whether it takes dials.
    pub state: LinkState,
    /// The address of the other end, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Since the tunnel began, over all its transports.
    pub age_seconds: f64,
    /// From the newest acknowledged packet to its acknowledgement; not without resumption, or before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_seconds: Option<f64>,
    /// As in [`Totals::streams`].
    pub streams: u64,
    /// As in [`Totals::pending_dials`].
    pub pending_dials: u64,
    /// As in [`Totals::outgoing_bytes`].
    pub outgoing_bytes: u64,
    /// As in [`Totals::incoming_bytes`].
    pub incoming_bytes: u64,
    /// As in [`Totals::stalled_streams`].
    pub stalled_streams: u64,
    /// As in [`Totals::retained_bytes`].
    pub retained_bytes: u64,
    /// How often it went on over another transport.
    pub resumptions: u64,
}

/// What a tunnel is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It takes dials.
    Connected,
    /// The other end has announced that it stops.
    Draining,
    /// It has lost its transport, and waits for another.
    Suspended,
    /// The server's policy does not let the agent serve any more.
    NotAdmitted,
}

/// Which links a snapshot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusPage {
    /// Those with greater numbers than this; 0 for all.
    pub after: u64,
    /// At most so many, and never more than [`StatusPage::MOST`].
    pub limit: usize,
}

impl StatusPage {
    /// The most links that one snapshot shows.
    pub const MOST: usize = 1000;

    /// How many links there may be, within the bounds.
    pub(crate) fn most(&self) -> usize {
        self.limit.clamp(1, Self::MOST)
    }
}

/// The oldest 200 links.
impl Default for StatusPage {
    fn default() -> Self {
        Self {
            after: 0,
            limit: 200,
        }
    }
}

impl Totals {
    /// Adds what one link holds.
    pub(crate) fn add(&mut self, load: &LinkLoad) {
        self.links += 1;
        self.streams += count(load.streams);
        self.pending_dials += count(load.pending_dials);
        self.outgoing_bytes += count(load.outgoing_bytes);
        self.incoming_bytes += count(load.incoming_bytes);
        self.stalled_streams += count(load.stalled_streams);
        self.retained_bytes += count(load.retained_bytes);
    }
}

impl LinkStatus {
    fn new(link: u64, looked: Looked, age: Duration) -> Self {
        let Looked {
            load,
            state,
            address,
        } = looked;
        Self {
            link,
            state,
            address,
            age_seconds: age.as_secs_f64(),
            round_trip_seconds: load.round_trip.map(|time| time.as_secs_f64()),
            streams: count(load.streams),
            pending_dials: count(load.pending_dials),
            outgoing_bytes: count(load.outgoing_bytes),
            incoming_bytes: count(load.incoming_bytes),
            stalled_streams: count(load.stalled_streams),
            retained_bytes: count(load.retained_bytes),
            resumptions: load.resumptions,
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
