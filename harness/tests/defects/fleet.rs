//! D27: which connection to a server is meant.

use std::time::{Duration, Instant};

use dialback_core::agent::fleet::ServerHello;
use dialback_core::agent::{Fleet, FleetAction, FleetConfig};
use dialback_core::{Entropy, LinkId};

struct NoJitter;

impl Entropy for NoJitter {
    fn next_u64(&mut self) -> u64 {
        0
    }
}

/// Lets the next attempt lead to `link`, to the server called `a`.
fn connect(fleet: &mut Fleet, now: Instant, link: LinkId) {
    fleet.handle_timeout(now, &mut NoJitter);
    let Some(FleetAction::StartAttempt { attempt }) = fleet.poll_action() else {
        panic!("no attempt was started");
    };
    let hello = ServerHello {
        server_id: "a".to_owned(),
        server_count: 1,
    };
    fleet.handle_connected(now, attempt, link, hello, &mut NoJitter);
    assert_eq!(fleet.poll_action(), Some(FleetAction::AcceptLink { link }));
}

#[test]
fn d27_the_late_end_of_an_old_connection_does_not_close_its_successor() {
    let epoch = Instant::now();
    let at = |seconds| epoch + Duration::from_secs(seconds);
    let mut fleet =
        Fleet::new(FleetConfig::default(), epoch).expect("the default configuration is valid");
    let (old, new) = (LinkId(1), LinkId(2));
    connect(&mut fleet, epoch, old);
    // The server restarts: its old connection is left, and the agent is connected to its successor.
    fleet.handle_go_away(at(10), old, &mut NoJitter);
    connect(&mut fleet, at(20), new);
    fleet.handle_link_down(at(30), old, &mut NoJitter);
    assert_eq!(fleet.server_id(new), Some("a"));
    assert_eq!(fleet.connected(), 1);
    assert_eq!(fleet.poll_action(), None);
}
