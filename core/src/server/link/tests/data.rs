//! Bytes both ways, and who is paused for whom.

use super::*;

#[test]
fn data_goes_both_ways() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(1, 5);
    assert_eq!(t.wakes(), [id]);
    assert_eq!(t.outputs(id), [StreamOutput::Data(bytes(5))]);
    t.frontend_sends(id, 6);
    assert_eq!(t.transmit_all(), [data_packet(1, 6)]);
}

#[test]
fn data_before_the_answer_is_dropped() {
    let mut t = Fixture::plain();
    let (id, _) = t.sent_dial();
    t.frontend_sends(id, 6);
    assert_eq!(t.transmit(), None);
}

#[test]
fn data_for_an_unknown_id_is_answered_with_a_close() {
    let mut t = Fixture::plain();
    t.data(9, 5);
    assert_eq!(t.transmit_all(), [close_request(9)]);
}

#[test]
fn an_unknown_id_is_closed_once_however_often_it_is_named() {
    let mut t = Fixture::with_mux(MuxConfig {
        max_unknown_replies: 2,
        ..MuxConfig::default()
    });
    for _ in 0..1000 {
        t.data(9, 5);
    }
    // So a flood of data leaves room for the connection of a dial that was answered too late.
    t.answer(DialId(77), 10);
    t.answer(DialId(78), 11);
    assert_eq!(t.transmit_all(), [close_request(9), close_request(10)]);
    t.data(9, 5);
    assert_eq!(t.transmit_all(), [close_request(9)]);
}

#[test]
fn packets_that_name_nothing_or_come_from_the_wrong_side_are_ignored() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(0, 5);
    t.close_response(0, "");
    t.close_response(9, "");
    t.packet(Packet::CloseDial { dial: DialId(1) });
    t.packet(close_request(1));
    t.packet(Packet::DialRequest {
        dial: DialId(1),
        protocol: String::new(),
        address: String::new(),
    });
    for connect_id in [0, 9] {
        t.packet(Packet::WindowUpdate {
            connect_id: ConnectId::new(connect_id),
            bytes: u64::MAX,
        });
    }
    assert_eq!(t.transmit(), None);
    assert_eq!(t.outputs(id), []);
    assert_eq!(t.events(), []);
}

#[test]
fn a_frontend_is_paused_by_its_own_queue_only() {
    let mut t = Fixture::plain();
    let (first, second) = (t.open(1), t.open(2));
    t.frontend_sends(first, 256 * 1024);
    assert!(!t.link.wants_frontend_data(first));
    assert!(t.link.wants_frontend_data(second));
    t.transmit_all();
    assert!(t.link.wants_frontend_data(first));
    assert_eq!(t.wakes(), [first]);
}

#[test]
fn a_broken_credit_rule_resets_the_one_stream() {
    let mut t = Fixture::with_credit(
        MuxConfig {
            receive_window_bytes: 1000,
            ..MuxConfig::default()
        },
        1000,
    );
    let (greedy, other) = (t.open(1), t.open(2));
    t.data(1, 1001);
    assert_eq!(t.transmit_all(), [close_request(1)]);
    assert_eq!(
        t.outputs(greedy),
        [closed(CloseReason::WindowOverrun(Initiator::Server))]
    );
    t.data(2, 1000);
    assert_eq!(t.outputs(other), [StreamOutput::Data(bytes(1000))]);

    t.packet(Packet::WindowUpdate {
        connect_id: ConnectId::new(2),
        bytes: u64::MAX,
    });
    assert_eq!(
        t.outputs(other),
        [closed(CloseReason::WindowOverrun(Initiator::Server))]
    );
    assert_eq!(t.link.stream_count(), 0);
}

#[test]
fn a_slow_frontend_of_a_plain_agent_is_cut_alone() {
    let mut t = Fixture::with_mux(MuxConfig {
        receive_buffer_bytes: 1000,
        ..MuxConfig::default()
    });
    let (slow, other) = (t.open(1), t.open(2));
    t.data(1, 2000);
    assert!(!t.link.wants_read());
    t.pass(9);
    assert!(!t.link.wants_read());
    t.pass(1);
    assert!(t.link.wants_read());
    assert_eq!(t.transmit_all(), [close_request(1)]);
    assert_eq!(
        t.outputs(slow),
        [closed(CloseReason::SlowReader(Initiator::Server))]
    );
    t.data(2, 5);
    assert_eq!(t.outputs(other), [StreamOutput::Data(bytes(5))]);
}

#[test]
fn a_slow_frontend_holds_the_tunnel_no_longer_when_the_endpoint_has_closed() {
    let mut t = Fixture::with_mux(MuxConfig {
        receive_buffer_bytes: 1000,
        ..MuxConfig::default()
    });
    let slow = t.open(1);
    t.data(1, 2000);
    t.close_response(1, "");
    assert!(!t.link.wants_read(), "what it holds counts all the same");
    t.pass(10);
    assert!(t.link.wants_read());
    // Bytes were dropped, so this end is no orderly one.
    assert_eq!(
        t.outputs(slow),
        [closed(CloseReason::SlowReader(Initiator::Server))]
    );
    assert_eq!(t.transmit(), None, "the agent knows the stream no more");
    assert!(t.link.is_empty());
}
