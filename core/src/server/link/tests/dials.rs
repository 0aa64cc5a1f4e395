//! Dials and their answers.

use super::*;
use crate::server::Pressure;

#[test]
fn a_dial_leaves_unchanged_under_an_id_of_the_server() {
    let mut t = Fixture::plain();
    t.link
        .dial(t.now, "tcp4".to_owned(), "host:1".to_owned())
        .unwrap();
    assert_eq!(
        t.transmit_all(),
        [Packet::DialRequest {
            dial: DialId(FIRST_DIAL),
            protocol: "tcp4".to_owned(),
            address: "host:1".to_owned(),
        }]
    );
    assert_eq!(t.events(), [LinkEvent::DialStarted]);
}

#[test]
fn dial_ids_wrap_around() {
    let mut t = Fixture::plain();
    t.link = Link::new(LinkConfig::default(), Negotiated::default(), i64::MAX);
    let (_, first) = t.sent_dial();
    let (_, second) = t.sent_dial();
    assert_eq!((first, second), (DialId(i64::MAX), DialId(i64::MIN)));
}

#[test]
fn a_good_answer_opens_the_stream_and_wakes_its_frontend() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    assert!(!t.link.wants_frontend_data(id));
    t.pass(2);
    t.answer(dial, 1);
    assert_eq!(t.wakes(), [id]);
    assert_eq!(t.outputs(id), [StreamOutput::Dialled(conn(1))]);
    assert!(t.link.wants_frontend_data(id));
    assert_eq!(
        t.events(),
        [
            LinkEvent::DialStarted,
            LinkEvent::DialEnded,
            LinkEvent::Opened {
                stream: id,
                connect_id: conn(1),
                address: None,
                took: Duration::from_secs(2),
            }
        ]
    );
    assert_eq!(t.link.poll_timeout(), None);
}

#[test]
fn a_refusal_reaches_the_frontend_word_for_word() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.refuse(dial, "connection refused");
    assert_eq!(t.wakes(), [id]);
    let error = DialError::Refused("connection refused".to_owned());
    assert_eq!(t.outputs(id), [dial_failed(error)]);
    assert!(t.link.is_empty());
    assert_eq!(
        t.events(),
        [
            LinkEvent::DialStarted,
            LinkEvent::DialEnded,
            LinkEvent::DialFailed(DialFailure::ErrorResponse)
        ]
    );
}

#[test]
fn an_answer_without_an_id_or_with_one_in_use_is_no_connection() {
    let mut t = Fixture::plain();
    t.open(1);
    for wire_id in [0, 1] {
        let (id, dial) = t.sent_dial();
        t.answer(dial, wire_id);
        assert_eq!(t.outputs(id), [dial_failed(DialError::InvalidAnswer)]);
    }
    assert_eq!(t.transmit(), None, "the stream that owns the id lives on");
    assert_eq!(t.link.stream_count(), 1);
}

#[test]
fn a_dial_that_the_agent_closes_fails() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.packet(Packet::CloseDial { dial });
    assert_eq!(t.outputs(id), [dial_failed(DialError::ClosedByAgent)]);
    assert!(t.link.is_empty());
}

#[test]
fn an_answer_that_nobody_waits_for_is_closed_and_counted() {
    let mut t = Fixture::plain();
    t.answer(DialId(77), 5);
    assert_eq!(t.transmit_all(), [close_request(5)]);
    assert_eq!(
        t.events(),
        [LinkEvent::DialFailed(DialFailure::UnrecognizedResponse)]
    );
}

#[test]
fn a_refusal_that_nobody_waits_for_is_only_counted() {
    let mut t = Fixture::plain();
    t.refuse(DialId(77), "connection refused");
    assert_eq!(t.transmit(), None);
    assert_eq!(t.events().len(), 1);
}

#[test]
fn a_second_answer_to_one_dial_is_closed() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.answer(dial, 1);
    t.answer(dial, 2);
    assert_eq!(t.transmit_all(), [close_request(2)]);
    assert_eq!(t.outputs(id), [StreamOutput::Dialled(conn(1))]);
}

#[test]
fn a_dial_within_the_bound_is_still_answered() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    assert_eq!(t.seconds_to_timeout(), Some(30));
    t.pass(29);
    t.answer(dial, 1);
    t.pass(1);
    assert_eq!(t.outputs(id), [StreamOutput::Dialled(conn(1))]);
}

#[test]
fn a_dial_that_is_not_answered_times_out_once_and_is_given_up_at_the_agent() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.pass(30);
    t.pass(30);
    assert_eq!(t.transmit_all(), [Packet::CloseDial { dial }]);
    assert_eq!(t.outputs(id), [dial_failed(DialError::TimedOut)]);
    assert!(t.link.is_empty());

    t.answer(dial, 1);
    assert_eq!(t.transmit_all(), [close_request(1)], "too late");
}

#[test]
fn a_dial_that_the_tunnel_does_not_take_never_leaves() {
    let mut t = Fixture::plain();
    let id = t.dial();
    t.pass(30);
    assert_eq!(t.outputs(id), [dial_failed(DialError::SendTimedOut)]);
    assert!(!t.link.has_transmit());
    assert!(!t.events().contains(&LinkEvent::Retired));
}

#[test]
fn with_a_dial_timeout_a_tunnel_that_takes_no_dial_is_retired() {
    let config = LinkConfig {
        dial_timeout: Some(Duration::from_secs(3)),
        ..LinkConfig::default()
    };
    let mut t = Fixture::new(config, Negotiated::default());
    let id = t.dial();
    t.pass(3);
    assert_eq!(t.outputs(id), [dial_failed(DialError::SendTimedOut)]);
    assert_eq!(t.events().last(), Some(&LinkEvent::Retired));
}

#[test]
fn the_dial_timeout_counts_anew_once_the_dial_has_left() {
    let config = LinkConfig {
        dial_timeout: Some(Duration::from_secs(3)),
        ..LinkConfig::default()
    };
    let mut t = Fixture::new(config, Negotiated::default());
    let id = t.dial();
    t.pass(2);
    t.transmit();
    t.pass(2);
    assert_eq!(t.output(id), None);
    t.pass(1);
    assert_eq!(t.output(id), Some(dial_failed(DialError::TimedOut)));
    assert!(!t.events().contains(&LinkEvent::Retired));
}

#[test]
fn a_dial_given_up_before_it_left_is_never_heard_of() {
    let mut t = Fixture::plain();
    let id = t.dial();
    t.frontend_goes(id);
    assert_eq!(t.transmit(), None);
    assert!(t.link.is_empty());
    assert_eq!(
        t.events(),
        [
            LinkEvent::DialStarted,
            LinkEvent::DialEnded,
            LinkEvent::DialFailed(DialFailure::FrontendClose)
        ]
    );
}

#[test]
fn a_dial_given_up_later_is_given_up_at_the_agent() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.frontend_closes(id);
    assert_eq!(t.transmit_all(), [Packet::CloseDial { dial }]);
    assert!(t.link.is_empty());

    t.answer(dial, 1);
    assert_eq!(t.transmit_all(), [close_request(1)]);
}

#[test]
fn dials_above_the_limit_of_streams_are_refused() {
    let mut t = Fixture::with_mux(MuxConfig {
        max_streams: 2,
        ..MuxConfig::default()
    });
    t.open(1);
    let (second, _) = t.sent_dial();
    let refused = t.link.dial(t.now, String::new(), String::new());
    assert_eq!(refused, Err(DialError::TooManyStreams { limit: 2 }));
    t.frontend_goes(second);
    t.transmit_all();
    t.dial();
}

#[test]
fn no_more_dials_wait_than_may_and_answered_ones_make_room() {
    let config = LinkConfig {
        max_pending_dials: 2,
        ..LinkConfig::default()
    };
    let mut t = Fixture::new(config, Negotiated::default());
    t.open(1);
    let (_, first) = t.sent_dial();
    t.dial();
    let refused = t.link.dial(t.now, String::new(), String::new());
    assert_eq!(refused, Err(DialError::TooManyDials { limit: 2 }));
    t.packet(Packet::CloseDial { dial: first });
    t.dial();
}

#[test]
fn a_dial_that_another_agent_answered_is_given_up_and_is_no_failure() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.events();
    t.link.handle_dial_overtaken(t.now, id);
    assert_eq!(t.transmit_all(), [Packet::CloseDial { dial }]);
    assert_eq!(t.events(), [LinkEvent::DialEnded]);
    // Its answer, on the way by then, is closed as one that nobody waits for.
    t.answer(dial, 1);
    assert_eq!(
        t.transmit_all(),
        [Packet::CloseRequest {
            connect_id: Some(conn(1))
        }]
    );

    // One that was answered at the same time is closed.
    let (id, dial) = t.sent_dial();
    t.answer(dial, 2);
    t.link.handle_dial_overtaken(t.now, id);
    assert_eq!(
        t.transmit_all(),
        [Packet::CloseRequest {
            connect_id: Some(conn(2))
        }]
    );
}

#[test]
fn what_dials_took_and_what_waits_is_the_pressure() {
    let mut t = Fixture::plain();
    assert_eq!(t.link.pressure(t.now), Pressure::default());
    assert_eq!(t.link.dial_patience(), None);
    let (_, dial) = t.sent_dial();
    t.pass(2);
    assert_eq!(t.link.pressure(t.now).oldest_dial, Duration::from_secs(2));
    t.answer(dial, 1);
    let (_, refused) = t.sent_dial();
    t.pass(2);
    t.refuse(refused, "connection refused");
    let pressure = t.link.pressure(t.now);
    assert_eq!(
        pressure.streams, 2,
        "a refusal that was not taken yet included"
    );
    assert_eq!(pressure.answer_time, Some(Duration::from_secs(2)));
    assert_eq!(pressure.oldest_dial, Duration::ZERO);
    assert!(pressure.failures > 0.1 && pressure.failures < 0.2);
    assert!(t.link.dial_patience() > Some(Duration::from_secs(2)));
}
