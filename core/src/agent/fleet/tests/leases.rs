//! Servers that are counted by their leases.

use super::*;

#[test]
fn more_leases_start_the_search_and_fewer_end_it() {
    let config = FleetConfig {
        server_count_source: ServerCountSource::Leases,
        ..FleetConfig::default()
    };
    let mut world = World::new(config);
    world.join("a", 5);
    assert_eq!(world.wait(), None);
    world.pass(30 * SECOND);
    world.events();
    world.count_leases(2);
    assert_eq!(world.events(), [FleetEvent::KnownServers { count: 2 }]);
    assert_eq!(world.wait(), Some(Duration::ZERO));
    for _ in 0..4 {
        let attempt = world.next_attempt();
        world.fail(attempt);
    }
    world.count_leases(1);
    assert_eq!(world.wait(), None);
    // Having had nothing to do counts as a success, but the pace holds.
    world.count_leases(2);
    assert_eq!(world.wait(), Some(SECOND));
    let attempt = world.next_attempt();
    world.fail(attempt);
    assert_eq!(world.wait(), Some(SECOND));
}

#[test]
fn a_server_without_a_lease_does_not_stand_for_one_that_has_one() {
    let config = FleetConfig {
        server_count_source: ServerCountSource::Leases,
        ..FleetConfig::default()
    };
    let mut world = World::new(config);
    let leases = |ids: &[&str]| ServerLeases::new(ids.iter().map(|id| Some((*id).to_owned())));
    let hold = |world: &mut World, ids: &[&str]| {
        world
            .fleet
            .handle_leases(world.now, Some(leases(ids)), &mut world.entropy);
    };
    hold(&mut world, &["a", "b"]);
    let a = world.join("a", 1);
    world.join("b", 1);
    assert_eq!(world.wait(), None);
    // Another has come, and the one that it stands in for still serves.
    hold(&mut world, &["b", "c"]);
    world.join("c", 1);
    assert_eq!(world.wait(), None);
    world.pass(60 * SECOND);
    world.lose(a);
    assert_eq!(world.wait(), None, "nobody misses it");
}

#[test]
fn leases_that_are_not_counted_change_nothing() {
    let mut world = World::new(FleetConfig::default());
    world.join("a", 1);
    world.count_leases(5);
    assert_eq!(world.fleet.known_servers(), 1);
    assert_eq!(world.wait(), None);
}
