//! Streams outlive the transport (`resume/1`).

use super::*;
use crate::session::SessionConfig;
use crate::session::SessionError;

const EXTENDED: Negotiated = Negotiated::all(100_000);

fn fixture() -> Fixture {
    Fixture::new(LinkConfig::default(), EXTENDED)
}

/// The link is without a transport; how many packets the agent has not acknowledged does not matter.
fn lose(t: &mut Fixture) {
    t.link.handle_lost(t.now);
    assert!(t.link.is_suspended() && !t.link.is_up());
    assert_eq!(t.events(), [LinkEvent::Suspended]);
}

const fn ack(received: u64) -> Packet {
    Packet::Ack { received }
}

#[test]
fn a_stream_goes_on_over_another_transport() {
    let mut t = fixture();
    let id = t.open(1);
    t.frontend_sends(id, 10);
    assert_eq!(t.transmit_all(), [data_packet(1, 10)]);
    lose(&mut t);
    t.frontend_sends(id, 20);
    assert_eq!((t.outputs(id), t.transmit_all()), (vec![], vec![]));

    // The agent got the dial alone; this side its answer.
    assert_eq!(t.link.handle_resumed(t.now, 1), Ok(1));
    assert_eq!(t.events(), [LinkEvent::Resumed]);
    let expected = [ack(1), data_packet(1, 10), data_packet(1, 20)];
    assert_eq!(t.transmit_all(), expected);
    t.data(1, 5);
    assert_eq!(t.outputs(id), [StreamOutput::Data(bytes(5))]);
}

#[test]
fn nothing_is_taken_without_a_transport() {
    let mut t = fixture();
    let id = t.open(1);
    lose(&mut t);
    t.data(1, 5);
    t.close_response(1, "");
    assert_eq!(t.outputs(id), []);
    assert_eq!(t.link.handle_resumed(t.now, 1), Ok(1), "they do not count");
}

#[test]
fn the_agents_first_word_confirms_a_resumption_once() {
    for word in [ack(1), Packet::Drain] {
        let mut t = fixture();
        t.open(1);
        lose(&mut t);
        t.link.handle_resumed(t.now, 1).unwrap();
        assert_eq!(t.events(), [LinkEvent::Resumed]);
        t.packet(word);
        assert_eq!(
            t.events()[0],
            LinkEvent::ResumptionConfirmed { resumption: 1 }
        );
        t.packet(ack(1));
        assert_eq!(t.events(), []);
    }
}

#[test]
fn a_transport_that_still_stands_is_replaced() {
    let mut t = fixture();
    let id = t.open(1);
    t.frontend_sends(id, 10);
    t.transmit_all();
    assert_eq!(t.link.handle_resumed(t.now, 1), Ok(1));
    assert_eq!(t.events(), [LinkEvent::Resumed]);
    assert_eq!(t.transmit_all(), [ack(1), data_packet(1, 10)]);
}

#[test]
fn a_count_that_cannot_be_is_refused_and_does_no_harm() {
    let mut t = fixture();
    let id = t.open(1);
    lose(&mut t);
    let wrong = SessionError::Count {
        received: 2,
        acknowledged: 0,
        sent: 1,
    };
    assert_eq!(t.link.handle_resumed(t.now, 2), Err(wrong));
    assert!(t.link.is_suspended() && t.events().is_empty());
    assert_eq!(t.link.handle_resumed(t.now, 1), Ok(1));
    t.data(1, 5);
    assert_eq!(t.outputs(id), [StreamOutput::Data(bytes(5))]);
}

#[test]
fn an_agent_that_acknowledges_what_it_was_not_sent_ends_the_session() {
    let mut t = fixture();
    let id = t.open(1);
    t.packet(ack(2));
    assert!(matches!(t.events()[0], LinkEvent::Broken(_)));
    assert!(t.link.is_down());
    assert_eq!(t.outputs(id), [closed(CloseReason::TunnelLost)]);
}

#[test]
fn a_session_that_is_not_resumed_in_time_ends_behind_the_data() {
    let mut t = fixture();
    let id = t.open(1);
    t.data(1, 5);
    let (pending, _) = t.sent_dial();
    t.events();
    lose(&mut t);
    t.pass(29);
    assert!(t.link.is_suspended());
    t.pass(1);
    assert!(t.link.is_down());
    let expected = [
        StreamOutput::Data(bytes(5)),
        closed(CloseReason::NotResumed),
    ];
    assert_eq!(t.outputs(id), expected);
    assert_eq!(t.outputs(pending).len(), 1);
    assert!(t.link.is_empty() && t.link.retained_bytes() == 0);
    assert_eq!(t.link.handle_resumed(t.now, 1), Err(SessionError::Ended));
}

#[test]
fn an_end_of_the_whole_tunnel_says_why() {
    for reason in [
        CloseReason::TunnelEnded(Initiator::Agent),
        CloseReason::SessionUnknown,
    ] {
        for lost_before in [false, true] {
            let mut t = fixture();
            let id = t.open(1);
            if lost_before {
                lose(&mut t);
            }
            t.link.handle_ended(t.now, reason.clone());
            assert_eq!(t.outputs(id), [closed(reason.clone())]);
            assert!(t.link.is_down() && t.link.is_empty());
            assert_eq!(t.events().last(), Some(&LinkEvent::Down(reason.clone())));
        }
    }
}

#[test]
fn a_link_with_nothing_to_keep_is_not_kept() {
    let mut t = fixture();
    let id = t.open(1);
    t.close_response(1, "");
    t.outputs(id);
    t.packet(ack(1));
    t.link.handle_lost(t.now);
    assert!(t.link.is_down());
}

#[test]
fn without_resumption_a_loss_is_the_end() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.link.handle_lost(t.now);
    assert_eq!(t.outputs(id), [closed(CloseReason::TunnelLost)]);
    assert!(t.link.is_down() && t.link.is_empty());
}

#[test]
fn a_dial_waits_for_a_transport_and_times_out_as_ever() {
    let mut t = fixture();
    t.open(1);
    lose(&mut t);
    let (kept, late) = (t.dial(), t.dial());
    t.pass(20);
    t.frontend_goes(late);
    t.link.handle_resumed(t.now, 1).unwrap();
    let dials = t.transmit_all();
    assert!(
        matches!(&dials[..], [Packet::Ack { .. }, Packet::DialRequest { .. }]),
        "{dials:?}"
    );
    assert_eq!(t.outputs(kept), []);

    lose_again(&mut t);
    t.pass(29);
    assert_eq!(t.outputs(kept), []);
    let never_sent = t.dial();
    t.link.handle_resumed(t.now, 2).unwrap();
    lose_again(&mut t);
    t.pass(2);
    assert_eq!(t.outputs(kept), [dial_failed(DialError::TimedOut)]);
    t.link.handle_resumed(t.now, 2).unwrap();
    lose_again(&mut t);
    t.pass(28);
    assert_eq!(
        t.outputs(never_sent),
        [dial_failed(DialError::SendTimedOut)]
    );
}

fn lose_again(t: &mut Fixture) {
    t.events();
    lose(t);
}

#[test]
fn a_close_is_not_timed_out_while_nobody_can_answer() {
    let mut t = Fixture::new(
        LinkConfig {
            session: SessionConfig {
                timeout: Duration::from_secs(600),
                ..SessionConfig::default()
            },
            ..LinkConfig::default()
        },
        EXTENDED,
    );
    let id = t.open(1);
    t.frontend_closes(id);
    lose(&mut t);
    for _ in 0..10 {
        t.pass(31);
    }
    assert_eq!(t.outputs(id), []);
    t.link.handle_resumed(t.now, 1).unwrap();
    assert_eq!(t.transmit_all(), [ack(1), close_request(1)]);
    t.close_response(1, "");
    assert_eq!(t.outputs(id), [closed(CloseReason::FrontendClosed)]);
}

#[test]
fn a_dial_that_no_transport_takes_ends_the_transport_and_not_the_streams() {
    let mut t = Fixture::new(
        LinkConfig {
            dial_timeout: Some(Duration::from_secs(3)),
            ..LinkConfig::default()
        },
        EXTENDED,
    );
    let id = t.open(1);
    let stuck = t.dial();
    t.pass(3);
    assert_eq!(t.outputs(stuck), [dial_failed(DialError::SendTimedOut)]);
    assert!(t.link.is_suspended());
    assert!(t.events().contains(&LinkEvent::Silent));
    t.link.handle_resumed(t.now, 1).unwrap();
    assert_eq!(t.transmit_all(), [ack(1)]);
    t.data(1, 5);
    assert_eq!(t.outputs(id), [StreamOutput::Data(bytes(5))]);
}

#[test]
fn a_silent_agent_loses_its_transport_and_not_its_streams() {
    let mut t = fixture();
    t.link.handle_established(t.now);
    let id = t.open(1);
    t.pass(9);
    assert!(t.link.is_up());
    for _ in 0..2 {
        t.pass(15);
    }
    assert!(t.link.is_suspended());
    assert_eq!(t.events(), [LinkEvent::Silent, LinkEvent::Suspended]);
    t.link.handle_resumed(t.now, 1).unwrap();
    t.data(1, 5);
    assert_eq!(t.outputs(id), [StreamOutput::Data(bytes(5))]);
}
