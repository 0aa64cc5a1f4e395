//! Links that wait for another transport.

use super::*;

impl World {
    fn suspend(&mut self, link: LinkId) {
        self.fleet.handle_link_suspended(self.now, link);
    }

    fn resume(&mut self, attempt: AttemptId, link: LinkId) -> bool {
        self.fleet
            .handle_resumed(self.now, attempt, link, &mut self.entropy)
    }
}

#[test]
fn a_lost_transport_is_replaced_at_once_and_the_link_counts_again() {
    let mut world = World::new(FleetConfig::default());
    let link = world.join("a", 1);
    for _ in 0..3 {
        world.pass(SHORT_LIFE);
        world.suspend(link);
        assert_eq!((world.fleet.connected(), world.fleet.suspended()), (0, 1));
        assert_eq!(world.wait(), Some(Duration::ZERO));
        let attempt = world.next_attempt();
        assert!(world.resume(attempt, link));
        assert_eq!((world.fleet.connected(), world.fleet.suspended()), (1, 0));
        assert_eq!(world.wait(), None, "nothing else is looked for");
    }
}

#[test]
fn transports_that_are_hardly_there_are_replaced_ever_more_slowly() {
    let mut world = World::new(FleetConfig::default());
    let link = world.join("a", 1);
    let mut waits = Vec::new();
    for _ in 0..10 {
        world.suspend(link);
        waits.push(world.wait().unwrap());
        let attempt = world.next_attempt();
        assert!(world.resume(attempt, link));
    }
    assert!(waits.is_sorted() && waits[0] <= 2 * FIRST_WAIT);
    assert_eq!(waits.last(), Some(&SECOND), "the sync interval at most");
}

/// A connection that breaks may look as if the server said goodbye.
#[test]
fn a_link_that_seemed_to_be_left_counts_again_when_it_is_resumed() {
    let mut world = World::new(FleetConfig::default());
    let link = world.join("a", 1);
    world.pass(SECOND);
    world.go_away(link);
    world.suspend(link);
    let attempt = world.next_attempt();
    assert!(world.resume(attempt, link));
    assert_eq!((world.fleet.connected(), world.fleet.leaving()), (1, 0));
}

#[test]
fn the_server_that_forgot_a_session_ends_it_and_another_replica_does_not() {
    for (server, count, ends) in [("a", 2, true), ("b", 2, false), ("b", 1, true)] {
        let mut world = World::new(FleetConfig::default());
        let link = world.join("a", 2);
        world.pass(SECOND / 2);
        world.suspend(link);
        let attempt = world.next_attempt();
        let (new, actions) = world.connect(attempt, server, count);
        let accept = FleetAction::AcceptLink { link: new };
        let expected = if ends {
            vec![FleetAction::EndLink { link }, accept]
        } else {
            vec![accept]
        };
        assert_eq!(actions, expected, "{server} of {count}");
        if !ends {
            // It is looked for until it is found, or its time is over.
            let attempt = world.next_attempt();
            assert!(world.resume(attempt, link));
            assert_eq!(world.fleet.connected(), 2);
        }
    }
}

#[test]
fn a_draining_agent_resumes_what_it_has_and_takes_nothing_new() {
    let mut world = World::new(FleetConfig::default());
    let link = world.join("a", 1);
    world.pass(SECOND);
    world.fleet.handle_drain();
    assert_eq!(world.wait(), None);
    world.suspend(link);
    let attempt = world.next_attempt();
    let (refused, actions) = world.connect(attempt, "b", 2);
    let reason = LinkRefused::Draining;
    assert_eq!(
        actions,
        [FleetAction::CloseLink {
            link: refused,
            reason
        }]
    );
    let attempt = world.next_attempt();
    assert!(world.resume(attempt, link));
    assert_eq!(world.wait(), None);
}

/// Found by simulation: the server still knew the session, and its streams were ended all the same.
#[test]
fn a_session_that_was_lost_during_an_attempt_is_offered_with_the_next() {
    for count in [1, 2] {
        let mut world = World::new(FleetConfig::default());
        let one = world.join("a", 2);
        let other = world.join("b", 2);
        world.pass(10 * SECOND);
        world.suspend(other);
        let attempt = world.next_attempt();
        world.suspend(one);
        let (link, actions) = world.connect(attempt, "a", count);
        let reason = LinkRefused::NotOffered { suspended: one };
        let refused = FleetAction::CloseLink { link, reason };
        let replaced = FleetAction::EndLink { link: other };
        if count == 1 {
            assert_eq!(actions, [replaced, refused]);
        } else {
            assert_eq!(actions, [refused]);
        }
        assert_eq!(world.wait(), Some(Duration::ZERO));
        let attempt = world.next_attempt();
        assert!(world.resume(attempt, one));
    }
}

#[test]
fn a_session_that_was_offered_in_vain_is_over() {
    let mut world = World::new(FleetConfig::default());
    let lost = world.join("a", 1);
    world.pass(10 * SECOND);
    world.suspend(lost);
    let attempt = world.next_attempt();
    let (link, actions) = world.connect(attempt, "a", 1);
    let end = FleetAction::EndLink { link: lost };
    assert_eq!(actions, [end, FleetAction::AcceptLink { link }]);
}
