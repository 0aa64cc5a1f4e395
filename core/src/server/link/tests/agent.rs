//! The agent announces its end, or is lost.

use super::*;

#[test]
fn draining_is_told_once() {
    let mut t = Fixture::plain();
    t.packet(Packet::Drain);
    t.packet(Packet::Drain);
    assert!(t.link.is_draining());
    assert_eq!(t.events(), [LinkEvent::Draining]);
    t.dial();
}

#[test]
fn the_end_of_the_server_is_announced_once_and_only_where_that_was_agreed() {
    let mut t = Fixture::plain();
    t.link.drain();
    assert_eq!(t.transmit(), None);
    let agreed = Negotiated {
        drain: true,
        ..Negotiated::default()
    };
    let mut t = Fixture::new(LinkConfig::default(), agreed);
    t.link.drain();
    t.link.drain();
    assert_eq!(t.transmit(), Some(Packet::Drain));
    assert_eq!(t.transmit(), None);
    assert!(!t.link.is_draining(), "that is what the agent says");
}

#[test]
fn when_the_agent_is_lost_pending_dials_fail_and_streams_end_behind_their_data() {
    let mut t = Fixture::plain();
    let open = t.open(1);
    let (sent, _) = t.sent_dial();
    let unsent = t.dial();
    t.data(1, 5);
    t.events();
    t.wakes();
    t.link.handle_down(t.now);

    let mut woken = t.wakes();
    woken.sort_unstable();
    assert_eq!(woken, [open, sent, unsent]);
    for id in [sent, unsent] {
        assert_eq!(t.outputs(id), [dial_failed(DialError::AgentLost)]);
    }
    assert_eq!(
        t.outputs(open),
        [
            StreamOutput::Data(bytes(5)),
            closed(CloseReason::TunnelLost)
        ]
    );
    assert!(t.link.is_empty() && !t.link.has_transmit());
    let failure = LinkEvent::DialFailed(DialFailure::BackendClose);
    let events = t.events();
    assert_eq!(events.iter().filter(|event| **event == failure).count(), 2);
    assert_eq!(events.len(), 6);
}

#[test]
fn a_link_that_is_down_takes_nothing_more() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.link.handle_down(t.now);
    t.link.handle_down(t.now);
    assert_eq!(t.events().len(), 2);
    let dialled = t.link.dial(t.now, String::new(), String::new());
    assert_eq!(dialled, Err(DialError::AgentLost));
    t.data(9, 5);
    t.answer(DialId(9), 9);
    t.frontend_sends(id, 5);
    t.frontend_closes(id);
    assert_eq!(t.transmit(), None);
    assert_eq!(t.events(), []);
    assert_eq!(t.outputs(id), [closed(CloseReason::TunnelLost)]);
}

#[test]
fn a_stream_whose_close_was_asked_for_hears_of_the_lost_tunnel() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_closes(id);
    t.link.handle_down(t.now);
    assert_eq!(t.outputs(id), [closed(CloseReason::TunnelLost)]);
    assert_eq!(t.link.poll_timeout(), None);
}

#[test]
fn timeouts_come_early_late_and_twice_without_harm() {
    let mut t = Fixture::plain();
    let (id, _) = t.sent_dial();
    t.pass(0);
    t.pass(10);
    assert_eq!(t.output(id), None);
    t.pass(1000);
    t.pass(0);
    assert_eq!(t.outputs(id), [dial_failed(DialError::TimedOut)]);
    assert_eq!(t.now - t.epoch, Duration::from_secs(1010));
}
