#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use quickcheck::quickcheck;

use super::*;
use crate::epoch::epoch;

const SECOND: Duration = Duration::from_secs(1);

fn rate(per_second: f64, burst: f64) -> Option<Rate> {
    Some(Rate { per_second, burst })
}

fn throttle(limits: Vec<Limit>) -> Throttle {
    Throttle::new(ThrottleConfig {
        limits,
        ..ThrottleConfig::default()
    })
}

fn from(frontend: &str) -> Dialling {
    Dialling {
        frontend: frontend.to_owned(),
        destination: "10.0.0.1".to_owned(),
        tenant: None,
    }
}

fn admitted(admission: Admission) -> Ticket {
    match admission {
        Admission::Admitted(ticket) => ticket,
        other @ (Admission::Waits(_) | Admission::Refused(_)) => {
            panic!("it is to be admitted: {other:?}")
        }
    }
}

fn waits(admission: Admission) -> WaiterId {
    match admission {
        Admission::Waits(id) => id,
        other @ (Admission::Admitted(_) | Admission::Refused(_)) => {
            panic!("it is to wait: {other:?}")
        }
    }
}

fn refused(admission: Admission) -> Refusal {
    match admission {
        Admission::Refused(refusal) => refusal,
        other @ (Admission::Admitted(_) | Admission::Waits(_)) => {
            panic!("it is to be refused: {other:?}")
        }
    }
}

#[test]
fn one_host_is_one_destination_however_it_is_written() {
    let destination = |address| Dialling::new(&Identity::default(), None, address).destination;
    for (address, host) in [
        ("Registry.Internal.:443", "registry.internal"),
        ("registry.internal", "registry.internal"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[FD00::7]:443", "fd00::7"),
        ("fd00::7", "fd00::7"),
    ] {
        assert_eq!(destination(address), host, "{address}");
    }
}

#[test]
fn dials_over_the_rate_wait_for_their_turn() {
    let now = epoch();
    let mut throttle = throttle(vec![Limit {
        dials: rate(10.0, 2.0),
        ..Limit::new("dials", LimitSubject::Frontend)
    }]);
    let first = [(); 2].map(|()| admitted(throttle.dial(now, from("a"))));
    let third = waits(throttle.dial(now, from("a")));
    let fourth = waits(throttle.dial(now, from("a")));
    let _other = admitted(throttle.dial(now, from("b")));
    assert_eq!(throttle.poll(now), []);
    assert_eq!(throttle.poll_timeout(now), Some(now + SECOND / 10));
    let now = now + SECOND / 10;
    assert_eq!(throttle.poll(now), [third]);
    assert!(matches!(throttle.take_decision(third), Some(Ok(_))));
    assert!(throttle.take_decision(third).is_none(), "told once");
    // Nobody overtakes the fourth.
    let fifth = waits(throttle.dial(now, from("a")));
    throttle.give_up(fourth);
    assert_eq!(throttle.poll(now + SECOND / 10), [fifth]);
    assert_eq!(first.len(), 2);
    assert_eq!(throttle.waiting(), 0);
}

#[test]
fn a_ceiling_of_streams_has_room_again_when_one_ends() {
    let now = epoch();
    let mut throttle = throttle(vec![Limit {
        streams: Some(1),
        ..Limit::new("streams", LimitSubject::Destination)
    }]);
    let held = admitted(throttle.dial(now, from("a")));
    let waiting = waits(throttle.dial(now, from("b")));
    assert_eq!(
        throttle.poll_timeout(now),
        Some(now + ThrottleConfig::default().max_wait),
        "it depends on others"
    );
    throttle.release(held);
    assert_eq!(throttle.poll(now), [waiting]);
    let held = throttle.take_decision(waiting).unwrap().unwrap();
    let late = waits(throttle.dial(now, from("b")));
    let now = now + ThrottleConfig::default().max_wait;
    assert_eq!(throttle.poll(now), [late]);
    let refusal = throttle.take_decision(late).unwrap().unwrap_err();
    assert_eq!(
        refusal.what,
        "limit \"streams\" of 1 streams to each destination"
    );
    throttle.release(held);
    let _held = admitted(throttle.dial(now, from("c")));
}

#[test]
fn a_decision_that_nobody_takes_counts_no_more() {
    let now = epoch();
    let mut throttle = throttle(vec![Limit {
        streams: Some(1),
        ..Limit::new("streams", LimitSubject::Total)
    }]);
    let held = admitted(throttle.dial(now, from("a")));
    let gone = waits(throttle.dial(now, from("b")));
    throttle.release(held);
    throttle.poll(now);
    throttle.give_up(gone);
    let _held = admitted(throttle.dial(now, from("c")));
}

#[test]
fn those_who_wait_are_served_in_turn_whoever_has_more() {
    let now = epoch();
    let mut throttle = throttle(vec![Limit {
        dials: rate(10.0, 1.0),
        ..Limit::new("all", LimitSubject::Total)
    }]);
    let _first = admitted(throttle.dial(now, from("greedy")));
    let greedy = [(); 20].map(|()| waits(throttle.dial(now, from("greedy"))));
    let modest = waits(throttle.dial(now, from("modest")));
    assert_eq!(throttle.poll(now + SECOND / 10), [greedy[0]]);
    assert_eq!(throttle.poll(now + SECOND * 2 / 10), [modest]);
    assert_eq!(throttle.poll(now + SECOND * 3 / 10), [greedy[1]]);
}

#[test]
fn one_who_is_over_a_limit_of_his_own_does_not_hold_the_others_up() {
    let now = epoch();
    let mut throttle = throttle(vec![Limit {
        streams: Some(1),
        matches: Some("stuck".parse().unwrap()),
        ..Limit::new("one", LimitSubject::Frontend)
    }]);
    let _held = admitted(throttle.dial(now, from("stuck")));
    waits(throttle.dial(now, from("stuck")));
    let _free = [(); 5].map(|()| admitted(throttle.dial(now, from("free"))));
}

#[test]
fn too_many_who_wait_and_too_long_a_wait_are_refused() {
    let now = epoch();
    let limits = vec![Limit {
        dials: rate(1.0, 1.0),
        ..Limit::new("slow", LimitSubject::Frontend)
    }];
    let mut impatient = Throttle::new(ThrottleConfig {
        max_wait: Duration::ZERO,
        limits: limits.clone(),
        ..ThrottleConfig::default()
    });
    let _held = admitted(impatient.dial(now, from("a")));
    let refusal = refused(impatient.dial(now, from("a")));
    assert_eq!(refusal.limit, "slow");
    assert_eq!(
        refusal.what,
        "limit \"slow\" of 1 dials per second of each frontend"
    );
    assert_eq!(refusal.retry_after, SECOND);

    let mut crowded = Throttle::new(ThrottleConfig {
        max_waiting: 1,
        limits,
        ..ThrottleConfig::default()
    });
    let _held = admitted(crowded.dial(now, from("a")));
    waits(crowded.dial(now, from("a")));
    refused(crowded.dial(now, from("a")));
    let _other = admitted(crowded.dial(now, from("b")));
    refused(crowded.dial(now, from("b")));
}

#[test]
fn tenants_and_agents_are_limited_where_there_are_some() {
    let now = epoch();
    let mut throttle = throttle(vec![
        Limit {
            streams: Some(1),
            ..Limit::new("tenant", LimitSubject::Tenant)
        },
        Limit {
            streams: Some(1),
            ..Limit::new("agent", LimitSubject::Agent)
        },
    ]);
    let of = |tenant: &str| Dialling {
        tenant: Some(tenant.to_owned()),
        ..from("a")
    };
    let _without = [(); 3].map(|()| admitted(throttle.dial(now, from("a"))));
    let mut held = admitted(throttle.dial(now, of("red")));
    waits(throttle.dial(now, of("red")));
    assert_eq!(throttle.agent_refusal(now, "agent-1"), None);
    throttle.take_agent(now, "agent-1", &mut held);
    let refusal = throttle.agent_refusal(now, "agent-1").unwrap();
    assert_eq!(refusal.what, "limit \"agent\" of 1 streams of each agent");
    assert_eq!(throttle.agent_refusal(now, "agent-2"), None);
    // Another agent was quicker.
    throttle.take_agent(now, "agent-2", &mut held);
    assert_eq!(throttle.agent_refusal(now, "agent-1"), None);
    assert!(throttle.agent_refusal(now, "agent-2").is_some());
    throttle.release(held);
    assert_eq!(throttle.agent_refusal(now, "agent-2"), None);
}

#[test]
fn other_limits_hold_at_once_and_what_goes_on_counts() {
    let now = epoch();
    let streams = |most| Limit {
        streams: Some(most),
        ..Limit::new("streams", LimitSubject::Total)
    };
    let mut throttle = throttle(vec![streams(1)]);
    let held = admitted(throttle.dial(now, from("a")));
    let waiting = waits(throttle.dial(now, from("a")));
    throttle.reconfigure(
        now,
        ThrottleConfig {
            limits: vec![streams(2)],
            ..ThrottleConfig::default()
        },
    );
    assert_eq!(throttle.poll(now), [waiting], "its driver is told");
    let second = throttle.take_decision(waiting).unwrap().unwrap();
    waits(throttle.dial(now, from("a")));
    // A limit that holds no more counts nothing any more.
    throttle.reconfigure(now, ThrottleConfig::default());
    throttle.release(held);
    throttle.release(second);
    assert_eq!(throttle.limits().count(), 0);
}

/// Passes chunks as fast as may be; the bytes in `seconds`.
fn passed(
    throttle: &mut Throttle,
    start: Instant,
    tickets: &mut [Ticket],
    seconds: u32,
) -> Vec<usize> {
    const CHUNK: usize = 64 * 1024;
    let (end, direction) = (start + SECOND * seconds, Direction::ToFrontend);
    let mut passed = vec![0; tickets.len()];
    let mut now = start;
    while now < end {
        let mut next = end;
        for (ticket, passed) in tickets.iter_mut().zip(&mut passed) {
            if ticket.waits_until(now, direction).is_none() {
                throttle.pass(now, ticket, direction, CHUNK);
                *passed += CHUNK;
            }
            let until = ticket.waits_until(now, direction);
            next = next.min(until.unwrap_or(now + Duration::from_micros(100)));
        }
        now = next;
    }
    passed
}

#[test]
fn bytes_are_shaped_to_their_rate_and_shared_alike() {
    let megabyte = f64::from(1 << 20);
    let mut throttle = throttle(vec![Limit {
        bytes_to_frontends: rate(20.0 * megabyte, megabyte),
        ..Limit::new("bytes", LimitSubject::Frontend)
    }]);
    let now = epoch();
    let mut tickets = [(); 4].map(|()| admitted(throttle.dial(now, from("a"))));
    assert!(tickets.iter().all(Ticket::is_shaped));
    let passed = passed(&mut throttle, now, &mut tickets, 10);
    let sum: usize = passed.iter().sum();
    let wanted = 200 << 20;
    assert!(sum.abs_diff(wanted) * 100 <= wanted, "{sum}");
    let (least, most) = (passed.iter().min().unwrap(), passed.iter().max().unwrap());
    assert!(most - least <= 64 * 1024, "{passed:?}");
    // The other direction is free.
    let [free, ..] = &mut tickets;
    throttle.pass(now, free, Direction::ToEndpoint, 1 << 30);
    assert_eq!(free.waits_until(now, Direction::ToEndpoint), None);
}

#[test]
fn without_a_limit_of_bytes_there_is_nothing_to_tell() {
    let mut throttle = throttle(vec![Limit {
        streams: Some(9),
        ..Limit::new("streams", LimitSubject::Total)
    }]);
    let ticket = admitted(throttle.dial(epoch(), from("a")));
    assert!(!ticket.is_shaped());
}

quickcheck! {
    /// Whatever is asked for when, over any time no more dials start than the rate and the burst allow, none is lost, and
    /// nothing is left in the end.
    fn the_rate_holds(asks: Vec<(u8, u16)>, per_second: u8, burst: u8) -> bool {
        let (per_second, burst) = (f64::from(per_second % 50 + 1), f64::from(burst % 10 + 1));
        let mut throttle = Throttle::new(ThrottleConfig {
            max_wait: SECOND * 3600,
            max_waiting: usize::MAX,
            limits: vec![Limit { dials: rate(per_second, burst), ..Limit::new("all", LimitSubject::Total) }],
        });
        let mut now = epoch();
        let mut starts = Vec::new();
        let mut open = 0;
        let step = |throttle: &mut Throttle, now: Instant, starts: &mut Vec<Instant>| {
            for id in throttle.poll(now) {
                let ticket = throttle.take_decision(id).unwrap().unwrap();
                throttle.release(ticket);
                starts.push(now);
            }
        };
        let asked = asks.len();
        for (frontend, wait) in asks {
            now += Duration::from_millis(wait.into());
            step(&mut throttle, now, &mut starts);
            match throttle.dial(now, from(&format!("f{}", frontend % 4))) {
                Admission::Admitted(ticket) => {
                    throttle.release(ticket);
                    starts.push(now);
                }
                Admission::Waits(_) => open += 1,
                Admission::Refused(_) => return false,
            }
        }
        while let Some(next) = throttle.poll_timeout(now) {
            now = now.max(next);
            step(&mut throttle, now, &mut starts);
        }
        let holds = (0..starts.len()).all(|first| (first..starts.len()).all(|last| {
            let time = (starts[last] - starts[first]).as_secs_f64();
            (last - first + 1) as f64 <= burst + time * per_second + 1e-6
        }));
        holds && starts.len() == asked && throttle.waiting() == 0 && open <= asked
    }
}
