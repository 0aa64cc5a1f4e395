#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what a test does not expect fails it"
)]

use std::time::Duration;

use bytes::Bytes;
use quickcheck::quickcheck;

use super::*;
use crate::epoch::epoch;
use crate::ids::ConnectId;

const DELAY: Duration = Duration::from_millis(100);

fn config() -> SessionConfig {
    SessionConfig {
        timeout: Duration::from_secs(30),
        retained_bytes: 10_000,
        acknowledge_bytes: 4000,
        acknowledge_packets: 5,
        acknowledge_delay: DELAY,
        idle_probe: Duration::from_secs(10),
        silence_timeout: Duration::from_secs(4),
    }
}

fn session() -> Session {
    Session::new(config(), true, MemoryBudget::default())
}

fn data(number: usize, bytes: usize) -> Packet {
    Packet::Data {
        connect_id: ConnectId::new(1 + i64::try_from(number).unwrap_or(0)),
        data: Bytes::from(vec![7; bytes]),
    }
}

/// Everything that the session itself has to send.
fn own(session: &mut Session, now: Instant) -> Vec<Packet> {
    let mut packets = Vec::new();
    while session.has_next() {
        packets.extend(session.next(now, false));
    }
    assert_eq!(session.next(now, false), None);
    packets
}

fn send(session: &mut Session, now: Instant, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert!(session.may_send());
        session.sent(now, &data(number, 10));
    }
}

fn take(session: &mut Session, now: Instant, count: usize) {
    for number in 0..count {
        assert_eq!(session.take(now, &data(number, 10)), Ok(true));
    }
}

const fn ack(received: u64) -> Packet {
    Packet::Ack { received }
}

// ---- acknowledgement ----

#[test]
fn a_round_trip_is_that_of_the_newest_acknowledged_packet() {
    let (mut session, now) = (session(), epoch());
    assert_eq!(session.round_trip(), None);
    send(&mut session, now, 0..1);
    send(&mut session, now + DELAY, 1..2);
    assert_eq!(session.take(now + 3 * DELAY, &ack(2)), Ok(false));
    assert_eq!(session.round_trip(), Some(2 * DELAY));
}

#[test]
fn packets_are_acknowledged_after_so_many() {
    let (mut session, now) = (session(), epoch());
    take(&mut session, now, 4);
    assert!(!session.has_next());
    take(&mut session, now, 1);
    assert_eq!(own(&mut session, now), [ack(5)]);
    take(&mut session, now, 4);
    assert!(!session.has_next(), "they are counted anew");
}

#[test]
fn packets_are_acknowledged_after_so_many_bytes() {
    let (mut session, now) = (session(), epoch());
    assert_eq!(
        session.take(now, &data(0, 4000 - PACKET_COST - 1)),
        Ok(true)
    );
    assert!(!session.has_next());
    assert_eq!(session.take(now, &data(0, 0)), Ok(true));
    assert_eq!(own(&mut session, now), [ack(2)]);
}

#[test]
fn a_packet_is_acknowledged_in_time_and_once() {
    let (mut session, now) = (session(), epoch());
    take(&mut session, now, 1);
    take(&mut session, now + DELAY / 2, 1);
    assert_eq!(session.poll_timeout(), Some(now + DELAY));
    assert_eq!(
        session.handle_timeout(now + DELAY / 2),
        SessionTimeout::None
    );
    assert!(!session.has_next());
    assert_eq!(session.handle_timeout(now + DELAY), SessionTimeout::None);
    assert_eq!(own(&mut session, now + DELAY), [ack(2)]);
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn an_acknowledgement_is_not_acknowledged() {
    let (mut session, now) = (session(), epoch());
    send(&mut session, now, 0..3);
    assert_eq!(session.take(now, &ack(2)), Ok(false));
    assert_eq!(session.received(), 0);
    assert!(own(&mut session, now + DELAY).is_empty());
}

#[test]
fn counts_that_cannot_be_are_refused() {
    for received in [1, 4, u64::MAX] {
        let (mut session, now) = (session(), epoch());
        send(&mut session, now, 0..3);
        assert_eq!(session.take(now, &ack(2)), Ok(false));
        let wrong = SessionError::Count {
            received,
            acknowledged: 2,
            sent: 3,
        };
        assert_eq!(session.take(now, &ack(received)), Err(wrong));
    }
}

#[test]
fn what_was_not_sent_again_yet_cannot_be_acknowledged() {
    let (mut session, now) = (session(), epoch());
    send(&mut session, now, 0..3);
    session.suspend(now);
    assert_eq!(session.resume(now, 0), Ok(()));
    assert!(session.take(now, &ack(1)).is_err());
}

#[test]
fn acknowledgements_leave_every_second_place_to_what_waits() {
    let (mut session, now) = (session(), epoch());
    take(&mut session, now, 5);
    assert_eq!(session.next(now, true), Some(ack(5)));
    take(&mut session, now, 5);
    assert!(session.has_next());
    assert_eq!(session.next(now, true), None, "the others' turn");
    send(&mut session, now, 0..1);
    assert_eq!(session.next(now, true), Some(ack(10)));
    take(&mut session, now, 5);
    assert_eq!(session.next(now, false), Some(ack(15)), "nobody waits");
}

// ---- retention ----

#[test]
fn at_the_bound_nothing_more_is_sent_until_some_is_acknowledged() {
    let (mut session, now) = (session(), epoch());
    let mut sent = 0;
    while session.may_send() {
        session.sent(now, &data(sent, 1000));
        sent += 1;
    }
    assert_eq!(sent, 10_000 / (1000 + PACKET_COST) + 1);
    assert_eq!(session.take(now, &ack(1)), Ok(false));
    assert!(session.may_send());
}

#[test]
fn what_is_retained_counts_in_the_memory_budget_and_is_given_back() {
    let (budget, now) = (MemoryBudget::default(), epoch());
    let mut session = Session::new(config(), true, budget.clone());
    send(&mut session, now, 0..3);
    assert_eq!(budget.used_bytes(), 3 * (10 + PACKET_COST));
    assert_eq!(session.retained_bytes(), budget.used_bytes());
    assert_eq!(session.take(now, &ack(1)), Ok(false));
    assert_eq!(budget.used_bytes(), 2 * (10 + PACKET_COST));
    session.end();
    assert_eq!(budget.used_bytes(), 0);
    assert!(session.is_down() && !session.has_next() && !session.may_send());
}

#[test]
fn without_resumption_nothing_is_counted_or_kept() {
    let now = epoch();
    let mut session = Session::new(config(), false, MemoryBudget::default());
    session.heard_at_first(now);
    for number in 0..1000 {
        assert!(session.may_send());
        session.sent(now, &data(number, 1000));
        assert_eq!(session.take(now, &data(number, 1000)), Ok(true));
    }
    assert_eq!(session.take(now, &ack(9)), Ok(true));
    assert_eq!(
        (session.retained_bytes(), session.poll_timeout()),
        (0, None)
    );
    assert!(!session.has_next());
    assert!(!session.suspend(now));
    assert_eq!(session.resume(now, 0), Err(SessionError::Ended));
}

// ---- replay ----

#[test]
fn what_the_peer_lacks_is_sent_again_before_all_else() {
    let (mut session, now) = (session(), epoch());
    send(&mut session, now, 0..5);
    assert_eq!(session.take(now, &ack(1)), Ok(false));
    assert!(session.suspend(now));
    assert!(!session.has_next() && !session.may_send());
    assert_eq!(session.resume(now, 3), Ok(()));
    assert!(!session.may_send(), "the replay goes first");
    let expected = [ack(0), data(3, 10), data(4, 10)];
    assert_eq!(own(&mut session, now), expected);
    assert!(session.may_send());
}

#[test]
fn a_count_that_cannot_be_leaves_the_session_as_it_was() {
    let (mut session, now) = (session(), epoch());
    send(&mut session, now, 0..5);
    assert_eq!(session.take(now, &ack(2)), Ok(false));
    session.suspend(now);
    for received in [1, 6] {
        let wrong = SessionError::Count {
            received,
            acknowledged: 2,
            sent: 5,
        };
        assert_eq!(session.resume(now, received), Err(wrong));
        assert!(session.is_suspended());
    }
    assert_eq!(session.resume(now, 2), Ok(()));
    assert_eq!(own(&mut session, now).len(), 4);
}

#[test]
fn a_second_resumption_replaces_the_first() {
    let (mut session, now) = (session(), epoch());
    send(&mut session, now, 0..5);
    // The peer is on a new transport before this side noticed anything.
    assert_eq!(session.resume(now, 2), Ok(()));
    assert_eq!(session.next(now, false), Some(ack(0)));
    assert_eq!(session.next(now, false), Some(data(2, 10)));
    assert_eq!(session.resume(now, 2), Ok(()));
    assert_eq!(own(&mut session, now).len(), 4);
}

#[test]
fn the_first_packet_confirms_a_resumption_once() {
    let (mut session, now) = (session(), epoch());
    take(&mut session, now, 1);
    assert_eq!(session.take_confirmation(), None);
    for resumption in 1..=2 {
        session.suspend(now);
        assert_eq!(session.resume(now, 0), Ok(()));
        assert_eq!(session.take_confirmation(), None);
        assert_eq!(session.take(now, &ack(0)), Ok(false));
        assert_eq!(session.take_confirmation(), Some(resumption));
        assert_eq!(session.take_confirmation(), None);
    }
}

type Ends = [Session; 2];
type Wires = [VecDeque<Packet>; 2];
type Taken = [Vec<Packet>; 2];

quickcheck! {
    /// Two ends of a session whose transport goes at any point, each direction losing what it will: every packet is
    /// taken once and in order.
    fn every_packet_is_taken_once_and_in_order(steps: Vec<(u8, u8)>) -> bool {
        let now = epoch();
        let mut ends = [session(), session()];
        let mut wires: Wires = Default::default();
        let mut sent = [0, 0];
        let mut taken: Taken = Default::default();
        let arrive = |which: usize, ends: &mut Ends, wires: &mut Wires, taken: &mut Taken| {
            if let Some(packet) = wires[which].pop_front()
                && ends[1 - which].take(now, &packet).expect("counts fit")
            {
                taken[1 - which].push(packet);
            }
        };
        let send = |which: usize, ends: &mut Ends, wires: &mut Wires| {
            wires[which].extend(ends[which].next(now, false));
        };
        for (what, choice) in steps {
            let which = usize::from(what & 1);
            match what % 16 {
                0..=5 => {
                    if ends[which].may_send() {
                        let packet = data(sent[which], usize::from(choice));
                        ends[which].sent(now, &packet);
                        wires[which].push_back(packet);
                        sent[which] += 1;
                    }
                }
                6 => {
                    // Each direction keeps some of what was under way, and the ends hear of it.
                    for wire in &mut wires {
                        wire.truncate(usize::from(choice % 8));
                    }
                    for which in [0, 1] {
                        while !wires[which].is_empty() {
                            arrive(which, &mut ends, &mut wires, &mut taken);
                        }
                    }
                    let counts = [ends[0].received(), ends[1].received()];
                    for which in [0, 1] {
                        ends[which].suspend(now);
                        ends[which].resume(now, counts[1 - which]).expect("counts fit");
                    }
                }
                _ if choice & 1 == 0 => arrive(which, &mut ends, &mut wires, &mut taken),
                _ => send(which, &mut ends, &mut wires),
            }
        }
        while !wires.iter().all(VecDeque::is_empty) || ends.iter().any(Session::has_next) {
            for which in [0, 1] {
                arrive(which, &mut ends, &mut wires, &mut taken);
                send(which, &mut ends, &mut wires);
            }
        }
        (0..2).all(|which| {
            let numbers = taken[1 - which].iter().map(|packet| match packet {
                Packet::Data { connect_id, .. } => connect_id.map_or(0, ConnectId::value),
                other => panic!("{other:?} is not the session's to pass on"),
            });
            numbers.eq(1..=i64::try_from(sent[which]).unwrap_or(0))
        })
    }
}

// ---- time ----

#[test]
fn a_session_that_is_not_resumed_expires() {
    let (mut session, now) = (session(), epoch());
    assert!(session.suspend(now));
    let until = now + config().timeout;
    assert_eq!(session.poll_timeout(), Some(until));
    // That the loss is reported once more does not put it off.
    assert!(session.suspend(now + DELAY));
    assert_eq!(session.handle_timeout(until - DELAY), SessionTimeout::None);
    assert_eq!(session.handle_timeout(until), SessionTimeout::Expired);
}

#[test]
fn a_quiet_peer_is_asked_and_then_taken_for_dead() {
    let (mut session, now) = (session(), epoch());
    session.heard_at_first(now);
    let asked = now + config().idle_probe;
    assert_eq!(session.poll_timeout(), Some(asked));
    assert_eq!(session.handle_timeout(asked), SessionTimeout::None);
    let probe = Packet::WindowUpdate {
        connect_id: None,
        bytes: 0,
    };
    assert_eq!(own(&mut session, asked), [probe]);
    let silent = asked + config().silence_timeout;
    assert_eq!(session.poll_timeout(), Some(silent));
    assert_eq!(session.handle_timeout(silent - DELAY), SessionTimeout::None);
    assert_eq!(session.handle_timeout(silent), SessionTimeout::Silent);
}

#[test]
fn a_peer_that_answers_is_asked_again_later() {
    let (mut session, now) = (session(), epoch());
    session.heard_at_first(now);
    let asked = now + config().idle_probe;
    session.handle_timeout(asked);
    assert_eq!(own(&mut session, asked).len(), 1);
    let answered = asked + DELAY;
    assert_eq!(session.take(answered, &ack(1)), Ok(false));
    assert_eq!(
        session.handle_timeout(asked + config().silence_timeout),
        SessionTimeout::None
    );
    assert_eq!(session.poll_timeout(), Some(answered + config().idle_probe));
}

#[test]
fn a_peer_that_acknowledges_nothing_but_speaks_is_not_dead() {
    let (mut session, now) = (session(), epoch());
    send(&mut session, now, 0..1);
    let silence = config().silence_timeout;
    assert_eq!(session.poll_timeout(), Some(now + silence));
    take(&mut session, now + silence / 2, 1);
    assert_eq!(session.handle_timeout(now + silence), SessionTimeout::None);
    assert_eq!(
        session.handle_timeout(now + silence / 2 + silence),
        SessionTimeout::Silent
    );
}

#[test]
fn each_resumption_without_an_acknowledgement_doubles_the_patience_up_to_eightfold() {
    let (mut session, mut now) = (session(), epoch());
    send(&mut session, now, 0..1);
    for times in [1, 1, 2, 4, 8, 8] {
        let silent = now + config().silence_timeout * times;
        let before = session.handle_timeout(silent - DELAY / 10);
        assert_eq!(before, SessionTimeout::None, "{times}");
        assert_eq!(
            session.handle_timeout(silent),
            SessionTimeout::Silent,
            "{times}"
        );
        now = silent;
        session.suspend(now);
        assert_eq!(session.resume(now, 0), Ok(()));
        own(&mut session, now);
    }
    // Something got through: all is as at first.
    assert_eq!(session.take(now, &ack(1)), Ok(false));
    send(&mut session, now, 1..2);
    let silent = now + config().silence_timeout;
    assert_eq!(session.handle_timeout(silent), SessionTimeout::Silent);
}

#[test]
fn a_session_without_a_transport_sends_and_asks_nothing() {
    let (mut session, now) = (session(), epoch());
    take(&mut session, now, 5);
    send(&mut session, now, 0..1);
    session.suspend(now);
    assert!(!session.has_next() && !session.may_send());
    assert_eq!(session.next(now, false), None);
    assert_eq!(session.handle_timeout(now + DELAY), SessionTimeout::None);
    assert!(!session.has_next());
}
