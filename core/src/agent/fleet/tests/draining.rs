//! Servers that say that they are about to stop (`drain/1`).

use super::*;

#[test]
fn another_server_is_looked_for_while_a_draining_one_serves_on() {
    let mut world = World::new(FleetConfig::default());
    let old = world.join("a", 1);
    world.pass(60 * SECOND);
    assert_eq!(world.wait(), None);
    world.drain_server(old);
    assert_eq!(world.wait(), Some(Duration::ZERO));
    assert_eq!((world.fleet.connected(), world.fleet.leaving()), (1, 0));

    let new = world.join("b", 1);
    assert_eq!(world.wait(), None, "there are as many as there should be");
    assert_eq!(world.fleet.connected(), 2);
    world.lose(old);
    assert_eq!(world.wait(), None);
    assert_eq!(world.fleet.server_id(new), Some("b"));
}

#[test]
fn a_draining_server_that_is_met_again_is_a_second_link_and_the_search_goes_on_at_its_pace() {
    let mut world = World::new(FleetConfig::default());
    let old = world.join("a", 1);
    world.pass(60 * SECOND);
    world.drain_server(old);
    world.drain_server(old);
    for _ in 0..20 {
        let attempt = world.next_attempt();
        let (link, actions) = world.connect(attempt, "a", 1);
        let reason = LinkRefused::Duplicate {
            server_id: "a".to_owned(),
        };
        assert_eq!(actions, [FleetAction::CloseLink { link, reason }]);
        let interval = FleetConfig::default().sync_interval;
        assert!(world.wait() >= Some(interval), "{:?}", world.wait());
    }
    world.lose(old);
    world.join("a", 1);
    assert_eq!(world.wait(), None);
}

#[test]
fn an_agent_that_drains_looks_for_nobody() {
    let mut world = World::new(FleetConfig::default());
    let link = world.join("a", 1);
    world.fleet.handle_drain();
    world.drain_server(link);
    assert_eq!(world.wait(), None);
}
