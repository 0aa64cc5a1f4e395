#![expect(clippy::unwrap_used, reason = "a test that fails")]

use std::sync::atomic::{AtomicBool, Ordering};

use dialback_core::Negotiated;
use dialback_core::server::{Link, LinkConfig, LinkEvent};

use super::*;

/// Notes events, and makes the machine tell more while it observes the first.
#[derive(Debug, Default)]
struct Reentrant {
    observed: Arc<Mutex<Vec<LinkEvent>>>,
    begun: AtomicBool,
}

impl Observer<Link> for Reentrant {
    fn observe(&self, tunnel: &Arc<Tunnel<Link>>, event: LinkEvent) {
        if !self.begun.swap(true, Ordering::Relaxed) {
            tunnel.with(|link| link.handle_down(Instant::now()));
        }
        self.observed.lock().unwrap().push(event);
    }

    fn peer_id(&self) -> &str {
        "agent"
    }

    fn received(&self, _: &Packet) {}
    fn sent(&self, _: &Packet) {}
    fn paused(&self, _: bool) {}
    fn receive_failed(&self, _: &Status) {}
}

/// Or a loss that one task saw could be observed behind the resumption that another saw.
#[test]
fn events_are_observed_in_the_order_in_which_they_were_told() {
    let observed = Arc::default();
    let observer = Reentrant {
        observed: Arc::clone(&observed),
        begun: AtomicBool::new(false),
    };
    let link = Link::new(LinkConfig::default(), Negotiated::default(), 1);
    let tunnel = Tunnel::new(LinkId(1), link, observer);
    tunnel.with(|link| {
        let dial = link.dial(Instant::now(), "tcp".to_owned(), "endpoint:80".to_owned());
        assert!(dial.is_ok());
        link.handle_packet(Instant::now(), dialback_core::Packet::Drain);
    });
    let observed = observed.lock().unwrap();
    let told: [fn(&LinkEvent) -> bool; 5] = [
        |event| matches!(event, LinkEvent::DialStarted),
        |event| matches!(event, LinkEvent::Draining),
        |event| matches!(event, LinkEvent::DialEnded),
        |event| matches!(event, LinkEvent::DialFailed(_)),
        |event| matches!(event, LinkEvent::Down(_)),
    ];
    assert_eq!(observed.len(), told.len(), "{observed:?}");
    assert!(
        observed.iter().zip(told).all(|(event, is)| is(event)),
        "{observed:?}"
    );
}
