//! Streams outlive the transport (`resume/1`).

use super::*;
use crate::session::SessionError;

const EXTENDED: Negotiated = Negotiated::all(100_000);

fn fixture() -> Fixture {
    Fixture::new(MuxConfig::default(), EXTENDED)
}

fn lose(t: &mut Fixture) {
    t.events();
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
    t.endpoint_sends(id, 10);
    assert_eq!(t.transmit_all(), [data_packet(1, 10)]);
    t.data(1, 5);
    lose(&mut t);
    // The endpoint notices nothing: it is written to and read as far as there is room.
    assert_eq!(t.output(id), Some(EndpointOutput::Write(bytes(5))));
    t.endpoint_sends(id, 20);
    assert_eq!(t.transmit_all(), []);

    assert_eq!(t.link.received_packets(), 2, "the dial and the data");
    assert_eq!(t.link.handle_resumed(t.now, 1), Ok(()));
    assert_eq!(t.events(), [LinkEvent::Resumed]);
    let expected = [ack(2), data_packet(1, 10), data_packet(1, 20)];
    assert_eq!(t.transmit_all(), expected);
}

#[test]
fn an_endpoint_is_paused_at_its_bound_while_there_is_no_transport() {
    let mut t = fixture();
    let id = t.open(1);
    lose(&mut t);
    let bound = MuxConfig::default().send_buffer_bytes;
    t.endpoint_sends(id, bound - 1);
    assert!(t.link.wants_endpoint_data(id));
    t.endpoint_sends(id, 1);
    assert!(!t.link.wants_endpoint_data(id));
}

#[test]
fn a_dial_that_ends_without_a_transport_is_answered_later() {
    let mut t = fixture();
    let (good, bad) = (t.dial(1), t.dial(2));
    lose(&mut t);
    assert!(t.dialled(good, Ok(())));
    assert!(!t.dialled(bad, Err("refused")));
    assert_eq!(t.transmit_all(), []);
    t.link.handle_resumed(t.now, 0).expect("nothing was sent");
    assert_eq!(
        t.transmit_all(),
        [ack(2), good_answer(1, 1), refusal(2, "refused")]
    );
}

#[test]
fn nothing_is_taken_without_a_transport() {
    let mut t = fixture();
    let id = t.open(1);
    lose(&mut t);
    t.data(1, 5);
    t.close(1);
    assert_eq!(t.output(id), None);
    assert_eq!(t.link.received_packets(), 1);
}

#[test]
fn a_count_that_cannot_be_is_refused_and_does_no_harm() {
    let mut t = fixture();
    let id = t.open(1);
    lose(&mut t);
    assert!(t.link.handle_resumed(t.now, 2).is_err());
    assert!(t.link.is_suspended() && t.events().is_empty());
    assert!(!t.link.is_aborted(id));
    assert_eq!(t.link.handle_resumed(t.now, 1), Ok(()));
}

#[test]
fn a_session_that_is_not_resumed_in_time_cuts_its_endpoints() {
    let mut t = fixture();
    let (id, pending) = (t.open(1), t.dial(2));
    lose(&mut t);
    t.pass(29);
    assert!(t.link.is_suspended() && !t.link.is_aborted(id));
    t.pass(1);
    assert!(t.link.is_down());
    assert_eq!(t.output(id), Some(EndpointOutput::Abort));
    let events = t.events();
    assert!(events.contains(&LinkEvent::DialAbandoned { stream: pending }));
    assert!(events.iter().any(|event| matches!(
        event,
        LinkEvent::Closed {
            reason: CloseReason::NotResumed,
            ..
        }
    )));
    t.endpoint_goes(id);
    assert!(t.link.is_empty() && t.link.retained_bytes() == 0);
    assert_eq!(t.link.handle_resumed(t.now, 1), Err(SessionError::Ended));
}

#[test]
fn an_end_of_the_whole_tunnel_says_why() {
    for reason in [
        CloseReason::TunnelEnded(Initiator::Server),
        CloseReason::SessionUnknown,
    ] {
        for lost_before in [false, true] {
            let mut t = fixture();
            let id = t.open(1);
            if lost_before {
                lose(&mut t);
            }
            t.link.handle_ended(t.now, reason.clone());
            assert!(t.link.is_down());
            let events = t.events();
            assert!(
                matches!(&events[..], [LinkEvent::Closed { reason: told, .. }, LinkEvent::Down] if *told == reason)
            );
            t.endpoint_goes(id);
            assert!(t.link.is_empty());
        }
    }
}

#[test]
fn a_write_out_is_not_timed_out_while_its_end_cannot_leave() {
    let mut t = Fixture::new(MuxConfig::default(), EXTENDED);
    let id = t.open(1);
    t.close(1);
    lose(&mut t);
    t.pass(20);
    t.link.handle_resumed(t.now, 1).expect("the count fits");
    lose(&mut t);
    t.pass(20);
    assert!(!t.link.is_aborted(id), "nobody could take the answer");
    t.link.handle_resumed(t.now, 1).expect("the count fits");
    assert_eq!(t.transmit_all(), [ack(2), close_response(1, "")]);
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    t.endpoint_goes(id);
    assert_eq!(t.link.stream_count(), 0);
}

#[test]
fn a_server_that_acknowledges_what_it_was_not_sent_ends_the_session() {
    let mut t = fixture();
    let id = t.open(1);
    t.packet(ack(2));
    assert!(matches!(t.events()[0], LinkEvent::Broken(_)));
    assert!(t.link.is_down());
    assert_eq!(t.output(id), Some(EndpointOutput::Abort));
}

#[test]
fn a_silent_server_loses_its_transport_and_not_the_streams() {
    let mut t = fixture();
    t.link.handle_established(t.now);
    let id = t.open(1);
    t.events();
    for _ in 0..3 {
        t.pass(10);
        t.transmit_all();
    }
    assert!(t.link.is_suspended());
    assert_eq!(t.events(), [LinkEvent::Silent, LinkEvent::Suspended]);
    assert!(!t.link.is_aborted(id));
}
