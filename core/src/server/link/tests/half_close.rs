//! One direction ends and the other goes on (`half-close/1`), in every order of the two ends, and resets
//! (`reset/1`) that cross them.

use super::super::ends;
use super::*;

const EXTENDED: Negotiated = Negotiated {
    resume: false,
    ..Negotiated::all(1000)
};

fn fixture() -> Fixture {
    Fixture::new(LinkConfig::default(), EXTENDED)
}

/// An open stream whose frontend can end one direction alone.
fn open(t: &mut Fixture, connect_id: i64) -> StreamId {
    let (id, dial) = t.sent_dial();
    t.link.allow_half_close(id);
    t.answer(dial, connect_id);
    assert_eq!(t.output(id), Some(StreamOutput::Dialled(conn(connect_id))));
    t.events();
    t.wakes();
    id
}

fn close_write(connect_id: i64) -> Packet {
    Packet::CloseWrite {
        connect_id: Some(conn(connect_id)),
    }
}

fn reset_packet(connect_id: i64, reason: &CloseReason) -> Packet {
    ends::reset(Some(conn(connect_id)), reason)
}

fn assert_ended(t: &mut Fixture, id: StreamId, reason: CloseReason) {
    assert_eq!(t.outputs(id), [closed(reason)]);
    assert!(t.link.is_empty(), "{:#?}", t.link);
}

#[test]
fn the_frontends_end_leaves_behind_its_data_and_it_reads_on() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    t.frontend_sends(id, 10);
    assert!(t.link.handle_frontend_end(t.now, id));
    assert!(!t.link.wants_frontend_data(id));
    assert_eq!(t.transmit_all(), [data_packet(1, 10), close_write(1)]);
    t.data(1, 20);
    assert_eq!(t.outputs(id), [StreamOutput::Data(bytes(20))]);
    assert_eq!(
        t.seconds_to_timeout(),
        None,
        "a half-closed stream may idle"
    );

    t.packet(close_write(1));
    assert_ended(&mut t, id, CloseReason::EndpointClosed);
}

#[test]
fn the_endpoints_end_comes_behind_its_data_and_the_frontend_sends_on() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    t.data(1, 20);
    t.packet(close_write(1));
    assert_eq!(t.wakes(), [id]);
    let expected = [StreamOutput::Data(bytes(20)), StreamOutput::EndOfData];
    assert_eq!(t.outputs(id), expected);
    t.frontend_sends(id, 10);
    assert_eq!(t.transmit_all(), [data_packet(1, 10)]);

    assert!(t.link.handle_frontend_end(t.now, id));
    assert_eq!(t.transmit_all(), [close_write(1)]);
    assert_ended(&mut t, id, CloseReason::FrontendClosed);
}

#[test]
fn the_ends_cross_on_the_way() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    t.frontend_sends(id, 1500);
    assert!(t.link.handle_frontend_end(t.now, id));
    // No credit for all of it: the end still waits when the endpoint's comes.
    assert_eq!(t.transmit_all(), [data_packet(1, 1000), out_of_credit(1)]);
    t.packet(close_write(1));
    assert_eq!(t.outputs(id), [StreamOutput::EndOfData]);
    t.packet(Packet::WindowUpdate {
        connect_id: Some(conn(1)),
        bytes: 500,
    });
    assert_eq!(t.transmit_all(), [data_packet(1, 500), close_write(1)]);
    assert_ended(&mut t, id, CloseReason::FrontendClosed);
}

#[test]
fn an_end_is_told_once() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    t.packet(close_write(1));
    t.packet(close_write(1));
    assert_eq!(t.outputs(id), [StreamOutput::EndOfData]);
    for _ in 0..2 {
        t.link.handle_frontend_end(t.now, id);
    }
    assert_eq!(t.transmit_all(), [close_write(1)]);
}

#[test]
fn a_close_after_the_frontends_end_asks_for_the_whole() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    t.link.handle_frontend_end(t.now, id);
    t.transmit_all();
    t.frontend_closes(id);
    assert_eq!(t.transmit_all(), [close_request(1)]);
    t.close_response(1, "");
    assert_ended(&mut t, id, CloseReason::FrontendClosed);
}

#[test]
fn a_close_takes_the_place_of_an_end_that_has_not_left() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    t.link.handle_frontend_end(t.now, id);
    t.frontend_closes(id);
    assert_eq!(t.transmit_all(), [close_request(1)]);
    // The endpoint ended meanwhile; the answer to the close is still to come.
    t.packet(close_write(1));
    assert_eq!(t.outputs(id), [StreamOutput::EndOfData]);
    t.close_response(1, "");
    assert_ended(&mut t, id, CloseReason::FrontendClosed);
}

#[test]
fn an_error_after_the_endpoints_end_is_one() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    t.packet(close_write(1));
    t.close_response(1, "write: broken pipe");
    let reason = CloseReason::EndpointFailed("write: broken pipe".to_owned());
    assert_ended(&mut t, id, reason);
}

#[test]
fn a_frontend_without_half_close_gets_the_endpoints_end_as_the_streams() {
    let mut t = fixture();
    let id = t.open(1);
    t.frontend_sends(id, 5000);
    t.data(1, 20);
    t.packet(close_write(1));
    // What it sent is worth nothing any more, and the agent is told not to wait for it.
    assert_eq!(t.transmit_all(), [close_request(1)]);
    let expected = [
        StreamOutput::Data(bytes(20)),
        closed(CloseReason::EndpointClosed),
    ];
    assert_eq!(t.outputs(id), expected);
    assert!(t.link.is_empty());
    assert!(!t.link.handle_frontend_end(t.now, id));
}

#[test]
fn a_frontends_end_closes_where_half_close_is_not_agreed_or_not_allowed() {
    for (negotiated, allowed) in [(Negotiated::default(), true), (EXTENDED, false)] {
        let mut t = Fixture::new(LinkConfig::default(), negotiated);
        let (id, dial) = t.sent_dial();
        if allowed {
            t.link.allow_half_close(id);
        }
        t.answer(dial, 1);
        t.outputs(id);
        t.frontend_sends(id, 10);
        assert!(!t.link.handle_frontend_end(t.now, id));
        assert_eq!(t.transmit_all(), [data_packet(1, 10), close_request(1)]);
    }
}

#[test]
fn what_was_not_agreed_on_is_ignored() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.packet(close_write(1));
    t.packet(reset_packet(1, &CloseReason::AgentGaveUp));
    assert_eq!((t.outputs(id), t.transmit_all()), (vec![], vec![]));
    assert_eq!(t.link.stream_count(), 1);
}

#[test]
fn half_closes_that_name_no_stream_are_ignored() {
    let mut t = fixture();
    t.packet(close_write(7));
    t.packet(reset_packet(7, &CloseReason::AgentGaveUp));
    t.packet(Packet::CloseWrite { connect_id: None });
    assert!(t.link.is_empty() && t.transmit_all().is_empty());
}

#[test]
fn a_reset_of_the_agent_comes_behind_the_data_before_it() {
    for ends_before in [false, true] {
        let mut t = fixture();
        let id = open(&mut t, 1);
        t.frontend_sends(id, 5000);
        if ends_before {
            t.link.handle_frontend_end(t.now, id);
        }
        t.data(1, 20);
        let reason = CloseReason::SlowReader(Initiator::Agent);
        t.packet(reset_packet(1, &reason));
        assert_eq!(t.transmit_all(), [], "nobody takes anything more");
        assert_eq!(
            t.outputs(id),
            [StreamOutput::Data(bytes(20)), closed(reason)]
        );
        assert!(t.link.is_empty());
    }
}

#[test]
fn a_frontend_that_breaks_resets_behind_its_data() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    t.frontend_sends(id, 10);
    t.frontend_goes(id);
    let expected = [
        data_packet(1, 10),
        reset_packet(1, &CloseReason::FrontendLost),
    ];
    assert_eq!(t.transmit_all(), expected);
    assert!(t.link.is_empty(), "a reset is not answered");
    assert!(matches!(
        &t.events()[..],
        [LinkEvent::Closed {
            reason: CloseReason::FrontendLost,
            ..
        }]
    ));
}

#[test]
fn a_broken_credit_rule_resets_with_its_reason() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    let window = usize::try_from(MuxConfig::default().receive_window_bytes).unwrap();
    t.data(1, window + 1);
    let reason = CloseReason::WindowOverrun(Initiator::Server);
    assert_eq!(t.transmit_all(), [reset_packet(1, &reason)]);
    assert_ended(&mut t, id, reason);
}

/// Found by fuzzing: a frontend that was told of the end got more data behind it.
#[test]
fn data_behind_an_end_resets_the_stream() {
    let mut t = fixture();
    let id = open(&mut t, 1);
    t.packet(close_write(1));
    assert_eq!(t.outputs(id), [StreamOutput::EndOfData]);
    t.data(1, 1);
    let reason = CloseReason::DataBehindEnd(Initiator::Server);
    assert_eq!(t.transmit_all(), [reset_packet(1, &reason)]);
    assert_ended(&mut t, id, reason);
}

#[test]
fn half_closed_streams_hear_of_the_lost_tunnel() {
    for frontend_ended in [false, true] {
        let mut t = fixture();
        let id = open(&mut t, 1);
        if frontend_ended {
            t.link.handle_frontend_end(t.now, id);
            t.transmit_all();
        } else {
            t.packet(close_write(1));
            assert_eq!(t.outputs(id), [StreamOutput::EndOfData]);
        }
        t.link.handle_lost(t.now);
        assert_ended(&mut t, id, CloseReason::TunnelLost);
    }
}
