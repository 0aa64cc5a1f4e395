//! Whatever the servers, the driver and the clock do, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use quickcheck::quickcheck;

use super::*;

/// What may happen to a fleet, from any bytes; ids are picked among those that exist.
fn apply(world: &mut World, open: &mut BTreeMap<LinkId, bool>, operation: u8, argument: u8) {
    let attempt = AttemptId(world.fleet.attempts);
    match operation % 8 {
        0 => world.pass(Duration::from_millis(u64::from(argument) * 100)),
        1 => {
            let server = format!("server-{}", argument % 4);
            let (link, actions) = world.connect(attempt, &server, i64::from(argument % 5));
            for action in actions {
                match action {
                    FleetAction::AcceptLink { link: accepted } => {
                        assert_eq!(accepted, link);
                        open.insert(link, false);
                    }
                    FleetAction::CloseLink { link: closed, .. } => assert_eq!(closed, link),
                    FleetAction::StartAttempt { .. }
                    | FleetAction::CancelAttempt { .. }
                    | FleetAction::EndLink { .. } => {
                        panic!("an answer leads to no {action:?}")
                    }
                }
            }
        }
        2 => world.fail(attempt),
        3 | 4 => {
            let picked = open
                .keys()
                .nth(usize::from(argument) % open.len().max(1))
                .copied();
            let link = picked.unwrap_or(LinkId(u64::from(argument) + 1_000_000));
            if operation % 8 == 3 {
                world.lose(link);
                open.remove(&link);
            } else {
                world.go_away(link);
                open.entry(link).and_modify(|leaving| *leaving = true);
            }
        }
        5 => world.count_leases(u64::from(argument % 5)),
        6 if argument == 0 => world.fleet.handle_drain(),
        6 => {
            if let Some(wait) = world.wait() {
                world.pass(wait);
            }
        }
        _ => world.entropy = Fixed(u64::from(argument) << 56),
    }
}

quickcheck! {
    fn one_attempt_at_a_time_never_faster_than_the_interval(operations: Vec<(u8, u8)>) -> bool {
        let mut world = World::new(FleetConfig {
            server_count_source: ServerCountSource::Max,
            max_links: 5,
            ..FleetConfig::default()
        });
        let mut open = BTreeMap::new();
        let mut running: Option<AttemptId> = None;
        let mut ended: Option<Instant> = None;
        let mut drained = false;
        for (operation, argument) in operations {
            apply(&mut world, &mut open, operation, argument);
            if matches!(operation % 8, 1 | 2) && running.take().is_some() {
                ended = Some(world.now);
            }
            drained |= world.fleet.is_draining();
            for action in world.actions() {
                match action {
                    FleetAction::StartAttempt { attempt } => {
                        assert!(!drained, "an attempt while draining");
                        assert_eq!(running, None, "two attempts");
                        assert!(ended.is_none_or(|ended| world.now >= ended + SECOND));
                        assert!(open.len() < 5, "an attempt at the link limit");
                        running = Some(attempt);
                    }
                    FleetAction::CancelAttempt { attempt } => {
                        assert_eq!(running.take(), Some(attempt));
                        ended = Some(world.now);
                    }
                    FleetAction::AcceptLink { .. }
                    | FleetAction::CloseLink { .. }
                    | FleetAction::EndLink { .. } => {
                        panic!("{action:?} without an answer")
                    }
                }
            }
            // The fleet and its driver agree on the links, and no two that count lead to one server.
            let counting: Vec<_> = open
                .iter()
                .filter(|(_, leaving)| !**leaving)
                .filter_map(|(link, _)| world.fleet.server_id(*link))
                .collect();
            assert_eq!(counting.len(), world.fleet.connected());
            assert_eq!(open.len(), world.fleet.connected() + world.fleet.leaving());
            assert_eq!(counting.iter().collect::<BTreeSet<_>>().len(), counting.len());
            // Whatever is wanted is on its way, within the longest wait or the attempt timeout.
            let wanted = !drained
                && open.len() < 5
                && (counting.len() as u64) < world.fleet.known_servers();
            match world.wait() {
                None => assert!(!wanted, "nothing will ever happen"),
                Some(wait) => assert!(wait <= 20 * SECOND),
            }
            while world.fleet.poll_event().is_some() {}
        }
        true
    }
}
