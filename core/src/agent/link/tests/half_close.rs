//! One direction ends and the other goes on (`half-close/1`), in every order of the two ends, and resets
//! (`reset/1`) that cross them.

use super::*;

const EXTENDED: Negotiated = Negotiated {
    resume: false,
    ..Negotiated::all(1000)
};

fn fixture() -> Fixture {
    Fixture::new(MuxConfig::default(), EXTENDED)
}

fn close_write(connect_id: i64) -> Packet {
    Packet::CloseWrite {
        connect_id: ConnectId::new(connect_id),
    }
}

fn reset_packet(connect_id: i64, reason: &CloseReason) -> Packet {
    Packet::Reset {
        connect_id: ConnectId::new(connect_id),
        code: reason.code(),
        text: reason.to_string(),
    }
}

#[test]
fn the_frontends_end_shuts_the_endpoint_down_behind_its_data() {
    let mut t = fixture();
    let id = t.open(1);
    t.data(1, 10);
    t.packet(close_write(1));
    assert_eq!(t.output(id), Some(EndpointOutput::Write(bytes(10))));
    assert_eq!(t.output(id), Some(EndpointOutput::Shutdown));
    assert_eq!(t.output(id), None, "told once");
    t.endpoint_sends(id, 20);
    assert_eq!(t.transmit_all(), [data_packet(1, 20)]);
    assert_eq!(t.events(), []);

    t.endpoint_ends(id, Ok(()));
    assert_eq!(t.transmit_all(), [close_write(1)]);
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    t.endpoint_goes(id);
    assert_eq!(t.close_reason(), CloseReason::EndpointClosed);
    assert!(t.link.is_empty());
}

#[test]
fn the_endpoints_end_leaves_behind_its_data_and_it_is_written_to() {
    let mut t = fixture();
    let id = t.open(1);
    t.endpoint_sends(id, 20);
    t.endpoint_ends(id, Ok(()));
    assert_eq!(t.transmit_all(), [data_packet(1, 20), close_write(1)]);
    t.data(1, 10);
    assert_eq!(t.output(id), Some(EndpointOutput::Write(bytes(10))));
    assert_eq!(t.output(id), None);
    assert_eq!(t.link.poll_timeout(), None, "a half-closed stream may idle");

    t.packet(close_write(1));
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    t.endpoint_goes(id);
    assert_eq!(t.close_reason(), CloseReason::FrontendClosed);
    assert_eq!(t.transmit_all(), []);
    assert!(t.link.is_empty());
}

#[test]
fn the_ends_cross_on_the_way() {
    let mut t = fixture();
    let id = t.open(1);
    t.endpoint_sends(id, 1500);
    t.endpoint_ends(id, Ok(()));
    // No credit for all of it: the end still waits when the frontend's comes.
    assert_eq!(t.transmit_all(), [data_packet(1, 1000), out_of_credit(1)]);
    t.packet(close_write(1));
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    t.endpoint_goes(id);
    assert_eq!(t.link.stream_count(), 1, "the rest is still to be sent");
    t.packet(Packet::WindowUpdate {
        connect_id: ConnectId::new(1),
        bytes: 500,
    });
    assert_eq!(t.transmit_all(), [data_packet(1, 500), close_write(1)]);
    assert!(t.link.is_empty(), "{:#?}", t.link);
}

#[test]
fn a_close_request_that_crosses_both_ends_is_answered() {
    let mut t = fixture();
    let id = t.open(1);
    t.endpoint_sends(id, 1500);
    t.endpoint_ends(id, Ok(()));
    t.transmit_all();
    t.packet(close_write(1));
    t.close(1);
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    t.endpoint_goes(id);
    t.packet(Packet::WindowUpdate {
        connect_id: ConnectId::new(1),
        bytes: 500,
    });
    let sent = t.transmit_all();
    assert_eq!(sent[..2], [data_packet(1, 500), close_write(1)]);
    assert!(
        matches!(&sent[2..], [Packet::CloseResponse { error, .. }] if error.is_empty()),
        "{sent:?}"
    );
    assert!(t.link.is_empty());
}

#[test]
fn a_close_request_after_the_endpoints_end_is_answered_once() {
    let mut t = fixture();
    let id = t.open(1);
    t.endpoint_ends(id, Ok(()));
    assert_eq!(t.transmit_all(), [close_write(1)]);
    t.close(1);
    assert_eq!(t.transmit_all(), [close_response(1, "")]);
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn a_close_request_takes_the_place_of_an_end_that_has_not_left() {
    let mut t = fixture();
    let id = t.open(1);
    t.endpoint_ends(id, Ok(()));
    t.close(1);
    assert_eq!(t.transmit_all(), [close_response(1, "")]);
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn an_endpoint_that_breaks_after_the_frontends_end_is_no_orderly_end() {
    let mut t = fixture();
    let id = t.open(1);
    t.packet(close_write(1));
    t.endpoint_sends(id, 20);
    t.endpoint_ends(id, Err("read: reset"));
    let expected = [data_packet(1, 20), close_response(1, "read: reset")];
    assert_eq!(t.transmit_all(), expected);
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn an_endpoint_that_takes_no_more_after_its_own_end_ends_the_stream() {
    let mut t = fixture();
    let id = t.open(1);
    t.endpoint_ends(id, Ok(()));
    assert_eq!(t.transmit_all(), [close_write(1)]);
    t.link
        .handle_endpoint_write_failed(t.now, id, "broken pipe".to_owned());
    assert_eq!(t.transmit_all(), [close_response(1, "broken pipe")]);
    t.endpoint_goes(id);
    let reason = CloseReason::EndpointFailed("broken pipe".to_owned());
    assert_eq!(t.close_reason(), reason);
    assert!(t.link.is_empty());
}

/// A reset that a write met looks like an end to the read behind it: the frontend must not take it for one.
#[test]
fn an_end_behind_a_write_that_failed_is_no_orderly_end() {
    let mut t = fixture();
    let id = t.open(1);
    t.endpoint_sends(id, 20);
    t.link
        .handle_endpoint_write_failed(t.now, id, "write: reset".to_owned());
    t.data(1, 100_000);
    assert_eq!(t.transmit_all(), [data_packet(1, 20)], "and no credit");
    t.endpoint_sends(id, 5);
    t.endpoint_ends(id, Ok(()));
    let expected = [data_packet(1, 5), close_response(1, "write: reset")];
    assert_eq!(t.transmit_all(), expected);
    t.endpoint_goes(id);
    let reason = CloseReason::EndpointFailed("write: reset".to_owned());
    assert_eq!(t.close_reason(), reason);
    assert!(t.link.is_empty());
}

#[test]
fn an_endpoint_that_takes_nothing_after_both_ends_is_cut() {
    let mut t = fixture();
    let id = t.open(1);
    t.data(1, 10);
    t.endpoint_ends(id, Ok(()));
    t.transmit_all();
    t.packet(close_write(1));
    t.pass(29);
    assert!(!t.link.is_aborted(id));
    t.pass(1);
    assert_eq!(t.output(id), Some(EndpointOutput::Abort));
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn without_half_close_the_endpoints_end_is_the_streams() {
    let negotiated = Negotiated {
        half_close: false,
        ..EXTENDED
    };
    let mut t = Fixture::new(MuxConfig::default(), negotiated);
    let id = t.open(1);
    t.packet(close_write(1));
    assert_eq!(t.output(id), None, "it was not agreed on");
    t.endpoint_sends(id, 20);
    t.endpoint_ends(id, Ok(()));
    assert_eq!(
        t.transmit_all(),
        [data_packet(1, 20), close_response(1, "")]
    );
}

#[test]
fn half_closes_that_name_no_stream_are_ignored() {
    let mut t = fixture();
    t.packet(close_write(7));
    t.packet(close_write(0));
    t.packet(reset_packet(7, &CloseReason::FrontendLost));
    assert!(t.link.is_empty() && t.transmit_all().is_empty());
}

#[test]
fn a_reset_of_the_server_cuts_the_endpoint_and_is_not_answered() {
    for ends_before in [false, true] {
        let mut t = fixture();
        let id = t.open(1);
        t.endpoint_sends(id, 20);
        t.data(1, 10);
        if ends_before {
            t.packet(close_write(1));
        }
        t.packet(reset_packet(1, &CloseReason::FrontendLost));
        assert_eq!(t.transmit_all(), []);
        assert_eq!(t.output(id), Some(EndpointOutput::Abort));
        t.endpoint_goes(id);
        assert_eq!(t.close_reason(), CloseReason::FrontendLost);
        assert!(t.link.is_empty());
    }
}

#[test]
fn a_reset_that_was_not_agreed_on_is_ignored() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.packet(reset_packet(1, &CloseReason::FrontendLost));
    assert!(!t.link.is_aborted(id));
}

#[test]
fn a_broken_credit_rule_resets_with_its_reason() {
    let mut t = fixture();
    let id = t.open(1);
    t.endpoint_sends(id, 20);
    let window = usize::try_from(MuxConfig::default().receive_window_bytes).unwrap_or(0);
    t.data(1, window + 1);
    let reason = CloseReason::WindowOverrun(Initiator::Agent);
    assert_eq!(t.transmit_all(), [reset_packet(1, &reason)]);
    assert_eq!(t.output(id), Some(EndpointOutput::Abort));
    assert_eq!(t.close_reason(), reason);
}

#[test]
fn data_behind_an_end_resets_the_stream() {
    let mut t = fixture();
    let id = t.open(1);
    t.packet(close_write(1));
    assert_eq!(t.output(id), Some(EndpointOutput::Shutdown));
    t.data(1, 1);
    let reason = CloseReason::DataBehindEnd(Initiator::Agent);
    assert_eq!(t.transmit_all(), [reset_packet(1, &reason)]);
    assert_eq!(t.output(id), Some(EndpointOutput::Abort));
    assert_eq!(t.close_reason(), reason);
}

#[test]
fn a_half_closed_stream_is_cut_with_the_tunnel() {
    for frontend_ended in [false, true] {
        let mut t = fixture();
        let id = t.open(1);
        if frontend_ended {
            t.packet(close_write(1));
            assert_eq!(t.output(id), Some(EndpointOutput::Shutdown));
        } else {
            t.endpoint_ends(id, Ok(()));
            t.transmit_all();
        }
        t.link.handle_lost(t.now);
        assert_eq!(t.output(id), Some(EndpointOutput::Abort));
        t.endpoint_goes(id);
        assert!(t.link.is_empty());
    }
}
