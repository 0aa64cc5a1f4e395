#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod candidates;

use std::collections::{BTreeMap, BTreeSet};

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::wire::Identifiers;

fn router(strategies: &str) -> Router {
    Router::new(strategies.parse().unwrap())
}

fn agent(agent_id: &str, identifiers: &str) -> AgentMetadata {
    AgentMetadata {
        agent_id: agent_id.to_owned(),
        identifiers: Identifiers::parse(identifiers.as_bytes()).unwrap(),
    }
}

/// Connects agents as links 0, 1, 2...
fn connect(router: &mut Router, agents: &[(&str, &str)]) {
    for (link, (agent_id, identifiers)) in (0..).zip(agents) {
        router.agent_connected(LinkId(link), &agent(agent_id, identifiers));
    }
}

fn routes(router: &Router, destination: &str, randoms: u64) -> Vec<u64> {
    (0..randoms)
        .map(|random| router.route(destination, random).unwrap().0)
        .collect()
}

#[test]
fn nobody_serves_without_agents() {
    let router = router("default,destHost,defaultRoute");
    assert_eq!(router.route("host:80", 7), None);
    assert!(!router.is_ready());
}

#[test]
fn default_chooses_among_agent_ids() {
    let mut router = router("default");
    connect(&mut router, &[("a", ""), ("b", ""), ("a", ""), ("c", "")]);
    assert_eq!(routes(&router, "x:1", 6), [0, 1, 3, 0, 1, 3]);
    assert_eq!(router.ready_backends(Strategy::Default), 3);
    assert_eq!(router.link_count(), 4);
}

#[test]
fn the_last_id_takes_the_place_of_one_that_went() {
    let mut router = router("default");
    connect(&mut router, &[("a", ""), ("b", ""), ("c", "")]);
    router.agent_disconnected(LinkId(0));
    assert_eq!(routes(&router, "x:1", 2), [2, 1]);
    router.agent_disconnected(LinkId(2));
    assert_eq!(routes(&router, "x:1", 2), [1, 1]);
    router.agent_disconnected(LinkId(1));
    assert_eq!(router.route("x:1", 0), None);
}

#[test]
fn draining_agents_are_passed_over_while_others_can_serve() {
    let mut router = router("default");
    connect(&mut router, &[("a", ""), ("b", ""), ("c", "")]);
    router.agent_draining(LinkId(0));
    assert_eq!(routes(&router, "x:1", 3), [1, 1, 2]);
    router.agent_draining(LinkId(1));
    router.agent_draining(LinkId(2));
    assert_eq!(routes(&router, "x:1", 3), [0, 1, 2]);
    assert_eq!(router.ready_backends(Strategy::Default), 3, "they count");
    assert!(router.is_ready());
}

#[test]
fn a_younger_link_of_an_agent_serves_once_the_older_drains() {
    let mut router = router("default");
    connect(&mut router, &[("a", ""), ("a", "")]);
    assert_eq!(router.route("x:1", 0), Some(LinkId(0)));
    router.agent_draining(LinkId(0));
    assert_eq!(router.route("x:1", 0), Some(LinkId(1)));
    router.agent_disconnected(LinkId(1));
    assert_eq!(router.route("x:1", 0), Some(LinkId(0)));
}

#[test]
fn dest_host_serves_only_what_agents_name() {
    let mut router = router("destHost");
    connect(
        &mut router,
        &[
            ("a", "ipv4=10.0.0.1&host=node&cidr=10.0.0.0/8"),
            ("b", "host=node&ipv6=fd00::1"),
        ],
    );
    assert_eq!(router.route("10.0.0.1:80", 9), Some(LinkId(0)));
    assert_eq!(router.route("[fd00:0::1]:80", 9), Some(LinkId(1)));
    assert_eq!(router.route("node:80", 1), Some(LinkId(0)), "the oldest");
    assert_eq!(
        router.route("10.0.0.2:80", 0),
        None,
        "networks match nothing"
    );
    assert_eq!(router.ready_backends(Strategy::DestHost), 3);

    router.agent_draining(LinkId(0));
    assert_eq!(router.route("node:80", 1), Some(LinkId(1)));
    assert_eq!(router.route("10.0.0.1:80", 9), Some(LinkId(0)));
    router.agent_disconnected(LinkId(0));
    assert_eq!(router.route("10.0.0.1:80", 9), None);
    assert_eq!(router.ready_backends(Strategy::DestHost), 2);
}

#[test]
fn strategies_are_tried_in_order() {
    let mut router = router("destHost,defaultRoute,default");
    connect(
        &mut router,
        &[("a", "host=node"), ("b", "default-route=true"), ("c", "")],
    );
    assert_eq!(routes(&router, "node:80", 3), [0, 0, 0]);
    assert_eq!(routes(&router, "other:80", 3), [1, 1, 1]);
    router.agent_disconnected(LinkId(1));
    assert_eq!(router.ready_backends(Strategy::DefaultRoute), 0);
    assert_eq!(routes(&router, "other:80", 2), [0, 2]);
}

#[test]
fn any_strategy_makes_the_server_ready() {
    let mut router = router("destHost,default");
    connect(&mut router, &[("a", "")]);
    assert_eq!(router.ready_backends(Strategy::DestHost), 0);
    assert!(router.is_ready());
}

#[test]
fn tables_of_other_strategies_stay_empty() {
    let mut router = router("destHost");
    connect(&mut router, &[("a", "default-route=1")]);
    assert_eq!(router.ready_backends(Strategy::Default), 0);
    assert_eq!(router.ready_backends(Strategy::DefaultRoute), 0);
    assert!(!router.is_ready());
    assert_eq!(router.route("x:1", 0), None);
}

#[test]
fn repeated_identifiers_are_one() {
    let mut router = router("destHost");
    connect(&mut router, &[("a", "ipv6=::1&host=0:0::1&ipv6=::1")]);
    assert_eq!(router.ready_backends(Strategy::DestHost), 1);
    router.agent_disconnected(LinkId(0));
    assert_eq!(router.ready_backends(Strategy::DestHost), 0);
}

#[test]
fn links_are_listed_oldest_first() {
    let mut router = router("default");
    connect(&mut router, &[("b", ""), ("a", "")]);
    router.agent_draining(LinkId(1));
    let links: Vec<_> = router
        .links()
        .map(|(link, agent, state)| (link.0, agent.agent_id.as_str(), state))
        .collect();
    assert_eq!(
        links,
        [
            (0, "b", LinkState::Connected),
            (1, "a", LinkState::Draining)
        ]
    );
}

#[test]
fn unknown_links_change_nothing() {
    let mut router = router("default,destHost");
    connect(&mut router, &[("a", "host=x")]);
    router.agent_draining(LinkId(9));
    router.agent_disconnected(LinkId(9));
    assert_eq!(router.route("x:1", 0), Some(LinkId(0)));
}

#[derive(Clone, Debug)]
enum Operation {
    Connect { agent: u8, host: u8, route: bool },
    Drain(u8),
    Disconnect(u8),
}

impl Arbitrary for Operation {
    fn arbitrary(g: &mut Gen) -> Self {
        let pick = u8::arbitrary(g);
        match pick % 5 {
            0..=2 => Self::Connect {
                agent: u8::arbitrary(g) % 4,
                host: u8::arbitrary(g) % 3,
                route: bool::arbitrary(g),
            },
            3 => Self::Drain(u8::arbitrary(g)),
            _ => Self::Disconnect(u8::arbitrary(g)),
        }
    }
}

/// A link as the model knows it.
struct Known {
    link: u64,
    agent: u8,
    host: u8,
    route: bool,
    draining: bool,
}

/// What may serve a dial: the links that drain least, of each agent only the oldest such one.
fn candidates(known: &[Known], may_serve: impl Fn(&Known) -> bool) -> BTreeSet<u64> {
    let serving: Vec<&Known> = known.iter().filter(|known| may_serve(known)).collect();
    let fit: Vec<&Known> = if serving.iter().all(|known| known.draining) {
        serving
    } else {
        serving
            .into_iter()
            .filter(|known| !known.draining)
            .collect()
    };
    let mut oldest: BTreeMap<u8, u64> = BTreeMap::new();
    for known in fit {
        oldest.entry(known.agent).or_insert(known.link);
    }
    oldest.into_values().collect()
}

fn chosen(router: &Router, destination: &str) -> BTreeSet<u64> {
    // 12 is a multiple of every possible number of agent ids, so each can be the start.
    (0..12)
        .filter_map(|random| router.route(destination, random))
        .map(|link| link.0)
        .collect()
}

quickcheck! {
    fn whoever_may_serve_is_chosen_and_nobody_else(operations: Vec<Operation>) -> bool {
        let mut by_default = router("default");
        let mut by_host = router("destHost");
        let mut by_route = router("defaultRoute");
        let mut known: Vec<Known> = Vec::new();
        for (link, operation) in (0..).zip(operations) {
            match operation {
                Operation::Connect { agent: id, host, route } => {
                    let metadata = agent(&format!("agent-{id}"), &format!("host=h{host}&default-route={route}"));
                    for router in [&mut by_default, &mut by_host, &mut by_route] {
                        router.agent_connected(LinkId(link), &metadata);
                    }
                    known.push(Known { link, agent: id, host, route, draining: false });
                }
                Operation::Drain(pick) if !known.is_empty() => {
                    let index = usize::from(pick) % known.len();
                    known[index].draining = true;
                    for router in [&mut by_default, &mut by_host, &mut by_route] {
                        router.agent_draining(LinkId(known[index].link));
                    }
                }
                Operation::Disconnect(pick) if !known.is_empty() => {
                    let gone = known.remove(usize::from(pick) % known.len());
                    for router in [&mut by_default, &mut by_host, &mut by_route] {
                        router.agent_disconnected(LinkId(gone.link));
                    }
                }
                Operation::Drain(_) | Operation::Disconnect(_) => {}
            }
            let agents: BTreeSet<u8> = known.iter().map(|known| known.agent).collect();
            let hosts: BTreeSet<u8> = known.iter().map(|known| known.host).collect();
            let right = chosen(&by_default, "x:1") == candidates(&known, |_| true)
                && chosen(&by_route, "x:1") == candidates(&known, |known| known.route)
                && by_default.ready_backends(Strategy::Default) == agents.len()
                && by_default.draining_count() == known.iter().filter(|known| known.draining).count()
                && by_host.ready_backends(Strategy::DestHost) == hosts.len()
                && (0..3).all(|host| {
                    // Never random: the oldest of the fittest.
                    chosen(&by_host, &format!("h{host}:1"))
                        == candidates(&known, |known| known.host == host).into_iter().take(1).collect()
                });
            if !right {
                return false;
            }
        }
        known.iter().for_each(|known| by_host.agent_disconnected(LinkId(known.link)));
        by_host.link_count() == 0 && by_host.ready_backends(Strategy::DestHost) == 0
    }
}

#[test]
fn a_suspended_link_serves_only_what_no_other_can() {
    for strategies in ["default", "destHost", "defaultRoute"] {
        let mut router = router(strategies);
        let identifiers = "host=x&default-route=true";
        let agents = [("a", identifiers), ("b", identifiers), ("c", identifiers)];
        connect(&mut router, &agents);
        router.agent_suspended(LinkId(0));
        router.agent_draining(LinkId(1));
        assert_eq!(routes(&router, "x:1", 3), [2; 3], "{strategies}");
        router.agent_suspended(LinkId(2));
        assert_eq!(routes(&router, "x:1", 3), [1; 3], "{strategies}");
        router.agent_disconnected(LinkId(1));
        let waiting: BTreeSet<_> = routes(&router, "x:1", 4).into_iter().collect();
        assert!(waiting.is_subset(&BTreeSet::from([0, 2])), "{strategies}");
        router.agent_resumed(LinkId(2));
        assert_eq!(routes(&router, "x:1", 3), [2; 3], "{strategies}");
        // Draining outlasts a resumption.
        router.agent_draining(LinkId(2));
        router.agent_suspended(LinkId(2));
        router.agent_resumed(LinkId(0));
        router.agent_resumed(LinkId(2));
        assert_eq!(routes(&router, "x:1", 3), [0; 3], "{strategies}");
    }
}

#[test]
fn an_agent_that_may_claim_something_else_is_found_by_that_alone() {
    let mut router = router("destHost,defaultRoute");
    connect(
        &mut router,
        &[("a", "host=x&default-route=true"), ("b", "host=y")],
    );
    router.agent_draining(LinkId(0));
    router.agent_claims(LinkId(0), &agent("a", "host=z"));
    assert_eq!(router.route("x:1", 0), None);
    assert_eq!(router.route("y:1", 0), Some(LinkId(1)));
    assert_eq!(router.route("z:1", 0), Some(LinkId(0)));
    assert_eq!(router.draining_count(), 1, "its end stays announced");
    router.agent_claims(LinkId(1), &agent("b", "host=z"));
    assert_eq!(
        router.route("z:1", 0),
        Some(LinkId(1)),
        "rather than one that drains"
    );
    router.agent_claims(LinkId(7), &agent("nobody", "host=z"));
    router.agent_disconnected(LinkId(0));
    router.agent_disconnected(LinkId(1));
    assert!(!router.is_ready());
}
