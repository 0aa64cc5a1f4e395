#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use dialback_runtime::status::{
    LimitStatus, LinkState, LinkStatus, PeerStatus, Program, Status, Totals,
};

use super::table::{Size, lines};
use super::{json, page};

fn link(link: u64, streams: u64) -> LinkStatus {
    LinkStatus {
        link,
        state: LinkState::Connected,
        address: Some("10.0.0.1:4000".to_owned()),
        age_seconds: 3725.0,
        round_trip_seconds: Some(0.00123),
        streams,
        pending_dials: 1,
        outgoing_bytes: 1024,
        incoming_bytes: 512,
        stalled_streams: 0,
        retained_bytes: 0,
        resumptions: 2,
    }
}

fn status(peers: Vec<PeerStatus>) -> Status {
    Status {
        program: Program::Server,
        version: "1.2.3".to_owned(),
        id: "server-1".to_owned(),
        uptime_seconds: 100.0,
        ready: true,
        draining: false,
        problems: Vec::new(),
        policy_generation: Some(4),

        audit: None,
        totals: Totals {
            links: 2,
            streams: 7,
            streams_opened: 50,
            bytes_to_agent: 4096,
            ..Totals::default()
        },
        limits: vec![LimitStatus {
            name: "max_agents".to_owned(),
            reached: 3,
        }],
        peers,
        truncated: false,
        next: None,
    }
}

fn peer(id: &str, links: Vec<LinkStatus>) -> PeerStatus {
    PeerStatus {
        id: id.to_owned(),
        identity: Some("anonymous".to_owned()),
        tenant: None,
        identifiers: Vec::new(),
        links,
    }
}

#[test]
fn each_link_has_a_row_and_columns_are_aligned() {
    let status = status(vec![
        peer("a", vec![link(1, 5)]),
        peer("agent-b", vec![link(2, 2)]),
    ]);
    assert_eq!(
        lines(&status, None, Size::UNBOUNDED),
        [
            "proxy-server server-1  ready  up 1m40s  Dialback 1.2.3  policy 4",
            "links 2  streams 7  pending dials 0  queued 0B  resumed 0",
            "opened 50  failed 0  to agents 4.0KiB  from agents 0B",
            "limits met: max_agents 3",
            "",
            "AGENT    IDENTITY   STATE      ADDRESS         AGE     RTT  STREAMS  DIALS  QUEUED  RESUMED",
            "a        anonymous  connected  10.0.0.1:4000  1h2m  1.23ms        5      1  1.5KiB        2",
            "agent-b  anonymous  connected  10.0.0.1:4000  1h2m  1.23ms        2      1  1.5KiB        2",
        ]
    );
}

#[test]
fn rates_are_of_one_run() {
    let before = status(Vec::new());
    let mut now = status(Vec::new());
    now.uptime_seconds = 104.0;
    now.totals.streams_opened = 60;
    now.totals.bytes_to_agent = 4096 + 4 * 2048;
    let passed = |before: &Status| lines(&now, Some(before), Size::UNBOUNDED)[2].clone();
    assert_eq!(
        passed(&before),
        "opened 2.5/s  failed 0.0/s  to agents 2.0KiB/s  from agents 0B/s"
    );
    let mut other = before;
    other.uptime_seconds = 200.0;
    assert!(
        passed(&other).starts_with("opened 60 "),
        "it was started anew"
    );
}

#[test]
fn what_does_not_fit_is_counted() {
    let links = (1..=10).map(|number| link(number, 0)).collect();
    let mut status = status(vec![peer("a", links)]);
    status.totals.links = 12;
    let shown = |rows, columns| lines(&status, None, Size { columns, rows });
    assert_eq!(shown(usize::MAX, 200).last().unwrap(), "(2 more links)");
    let small = shown(8, 20);
    assert_eq!(small.len(), 8);
    // The titles are in the sixth line, so that one link is left.
    assert_eq!(small.last().unwrap(), "(11 more links)");
    assert!(small.iter().all(|line| line.len() <= 20), "{small:?}");
}

/// Agents choose their ids.
#[test]
fn no_peer_writes_on_the_terminal() {
    let id = "\u{1b}[2J\u{9b}31m\u{202e}<script>\n";
    let status = status(vec![peer(id, vec![link(1, 0)])]);
    let text = page(&status, None, Size::UNBOUNDED);
    assert!(text.contains("?[2J?31m?<script>?"), "{text}");
    let json = json(&status);
    assert!(json.contains(r"\u001b[2J\u009b31m"), "{json}");
    assert!(!json.contains(|c: char| c.is_control() && c != '\n'));
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}
