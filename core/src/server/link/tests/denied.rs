//! Streams that a changed policy denies.

use super::*;

fn denied() -> CloseReason {
    CloseReason::Denied("rule \"a\"".to_owned())
}

#[test]
fn an_open_stream_ends_at_once_and_delivers_nothing_more() {
    let mut t = Fixture::plain();
    let (id, other) = (t.open(1), t.open(2));
    t.data(1, 5);
    t.link.handle_frontend_data(id, bytes(7));
    t.link.handle_denied(t.now, id, "rule \"a\"");
    assert_eq!(t.outputs(id), [closed(denied())]);
    assert_eq!(t.transmit_all(), [close_request(1)]);
    t.data(1, 5);
    assert_eq!(t.output(id), None);
    t.data(2, 5);
    assert_eq!(t.outputs(other), [StreamOutput::Data(bytes(5))]);
}

#[test]
fn what_waits_behind_an_end_is_not_delivered_either() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(1, 5);
    t.close_response(1, "");
    t.link.handle_denied(t.now, id, "rule \"a\"");
    assert_eq!(t.outputs(id), [closed(denied())]);
    assert!(t.link.is_empty());
}

#[test]
fn a_pending_dial_fails_and_its_agent_is_told() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.link.handle_denied(t.now, id, "rule \"a\"");
    let reason = "rule \"a\"".to_owned();
    let error = DialError::Denied { reason };
    assert_eq!(t.outputs(id), [StreamOutput::DialFailed(error)]);
    assert_eq!(t.transmit_all(), [Packet::CloseDial { dial }]);
    assert!(t.link.is_empty());
    // The frontend has gone, or it is all over.
    t.link.handle_denied(t.now, id, "rule \"a\"");
}
