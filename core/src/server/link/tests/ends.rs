//! Closes from either side.

use super::*;

#[test]
fn the_endpoints_close_reaches_the_frontend_behind_its_data() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.pass(7);
    t.data(1, 5);
    t.close_response(1, "");
    assert_eq!(
        t.outputs(id),
        [
            StreamOutput::Data(bytes(5)),
            closed(CloseReason::EndpointClosed)
        ]
    );
    assert_eq!(
        t.events(),
        [LinkEvent::Closed {
            stream: id,
            connect_id: Some(conn(1)),
            lived: Duration::from_secs(7),
            reason: CloseReason::EndpointClosed,
        }]
    );
    assert!(t.link.is_empty());
}

#[test]
fn an_id_is_unknown_from_the_endpoints_close_on() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(1, 5);
    t.close_response(1, "");
    t.data(1, 5);
    assert_eq!(t.transmit_all(), [close_request(1)]);
    // A peer may use it again, even before the frontend has taken everything of the old connection.
    let (next, dial) = t.sent_dial();
    t.answer(dial, 1);
    assert_eq!(t.outputs(next), [StreamOutput::Dialled(conn(1))]);
    assert_eq!(t.output(id), Some(StreamOutput::Data(bytes(5))));
}

#[test]
fn a_whole_connection_can_pass_before_the_frontend_looks() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.answer(dial, 1);
    t.data(1, 5);
    t.close_response(1, "");
    assert_eq!(t.wakes(), [id]);
    assert_eq!(
        t.outputs(id),
        [
            StreamOutput::Dialled(conn(1)),
            StreamOutput::Data(bytes(5)),
            closed(CloseReason::EndpointClosed)
        ]
    );
    assert!(t.link.is_empty());
}

#[test]
fn an_error_of_the_agent_reaches_the_frontend() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.close_response(1, "read: connection reset by peer");
    let reason = CloseReason::EndpointFailed("read: connection reset by peer".to_owned());
    assert_eq!(t.outputs(id), [closed(reason)]);
}

#[test]
fn after_the_endpoints_close_nothing_is_sent_for_the_stream() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_sends(id, 5);
    t.close_response(1, "");
    t.frontend_sends(id, 5);
    assert!(!t.link.wants_frontend_data(id));
    t.frontend_closes(id);
    t.frontend_goes(id);
    assert_eq!(t.transmit(), None);
    assert!(t.link.is_empty());
}

#[test]
fn the_frontends_close_leaves_behind_its_data_and_waits_for_the_answer() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_sends(id, 5);
    t.frontend_closes(id);
    assert!(!t.link.wants_frontend_data(id));
    assert_eq!(t.transmit_all(), [data_packet(1, 5), close_request(1)]);
    t.data(1, 3);
    t.close_response(1, "");
    assert_eq!(
        t.outputs(id),
        [
            StreamOutput::Data(bytes(3)),
            closed(CloseReason::FrontendClosed)
        ]
    );
    assert!(t.link.is_empty());
}

#[test]
fn a_second_close_of_the_frontend_changes_nothing() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_closes(id);
    t.frontend_closes(id);
    assert_eq!(t.transmit_all(), [close_request(1)]);
}

#[test]
fn an_error_in_answer_to_a_close_is_not_kept_from_the_frontend() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_sends(id, 5);
    t.frontend_closes(id);
    t.close_response(1, "write: broken pipe");
    let reason = CloseReason::EndpointFailed("write: broken pipe".to_owned());
    assert_eq!(t.outputs(id), [closed(reason)]);
}

#[test]
fn a_close_for_a_mistake_of_the_frontend_keeps_its_reason() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.link
        .handle_frontend_close(t.now, id, CloseReason::MismatchedIds);
    t.close_response(1, "");
    assert_eq!(t.outputs(id), [closed(CloseReason::MismatchedIds)]);
}

#[test]
fn a_close_that_is_not_answered_ends_after_the_close_timeout() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_closes(id);
    t.transmit();
    t.pass(29);
    assert_eq!(t.output(id), None);
    t.pass(1);
    assert_eq!(
        t.outputs(id),
        [closed(CloseReason::CloseTimedOut(Initiator::Server))]
    );
    assert_eq!(t.transmit(), None, "the agent was asked once");
    assert!(t.link.is_empty());
}

#[test]
fn a_close_that_the_tunnel_does_not_take_is_asked_for_all_the_same() {
    let mut t = Fixture::with_credit(MuxConfig::default(), 10);
    let id = t.open(1);
    t.frontend_sends(id, 20);
    t.frontend_closes(id);
    assert_eq!(t.transmit_all(), [data_packet(1, 10), out_of_credit(1)]);
    t.pass(30);
    assert_eq!(t.transmit_all(), [close_request(1)]);
    assert_eq!(
        t.outputs(id),
        [closed(CloseReason::CloseTimedOut(Initiator::Server))]
    );
}

#[test]
fn a_slow_upload_is_not_cut_short_by_its_close() {
    let mut t = Fixture::with_credit(MuxConfig::default(), 10);
    let id = t.open(1);
    t.frontend_sends(id, 40);
    t.frontend_closes(id);
    t.transmit_all();
    for _ in 0..2 {
        t.pass(20);
        t.packet(Packet::WindowUpdate {
            connect_id: ConnectId::new(1),
            bytes: 10,
        });
        assert_eq!(t.transmit_all(), [data_packet(1, 10), out_of_credit(1)]);
    }
    t.packet(Packet::WindowUpdate {
        connect_id: ConnectId::new(1),
        bytes: 10,
    });
    assert_eq!(t.transmit(), Some(data_packet(1, 10)));
    assert_eq!(t.transmit(), Some(close_request(1)));
    assert_eq!(t.output(id), None);
}

#[test]
fn a_frontend_that_is_gone_leaves_what_it_sent_and_drops_what_comes() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(1, 5);
    t.frontend_sends(id, 6);
    t.frontend_goes(id);
    assert_eq!(t.transmit_all(), [data_packet(1, 6), close_request(1)]);
    t.data(1, 5);
    assert_eq!(t.output(id), None);
    assert_eq!(t.link.stream_count(), 1);
    t.close_response(1, "");
    assert!(t.link.is_empty());
    assert!(matches!(
        t.events()[..],
        [LinkEvent::Closed {
            reason: CloseReason::FrontendLost,
            ..
        }]
    ));
}

#[test]
fn a_frontend_that_is_gone_gives_the_agent_credit_to_finish() {
    let mut t = Fixture::with_credit(
        MuxConfig {
            receive_window_bytes: 1000,
            ..MuxConfig::default()
        },
        1000,
    );
    let id = t.open(1);
    t.data(1, 1000);
    t.frontend_goes(id);
    assert_eq!(
        t.transmit_all(),
        [
            Packet::WindowUpdate {
                connect_id: ConnectId::new(1),
                bytes: 1000
            },
            close_request(1)
        ]
    );
}

#[test]
fn a_frontend_that_goes_while_its_last_data_waits_frees_the_stream() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(1, 5);
    t.close_response(1, "");
    t.frontend_goes(id);
    assert!(t.link.is_empty());
}
