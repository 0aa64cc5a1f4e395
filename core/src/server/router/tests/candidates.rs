//! Who may serve a dial, with what the reference does not have: labels, networks, zones, two to choose from.

use super::*;

/// A dial for `destination` to which every link may be given.
fn ask(router: &Router, destination: &str, random: [u64; 2]) -> Option<Candidates> {
    asked(router, destination, random, None, &|_| Consideration::Usual)
}

fn asked(
    router: &Router,
    destination: &str,
    random: [u64; 2],
    selector: Option<&str>,
    consider: &dyn Fn(LinkId) -> Consideration,
) -> Option<Candidates> {
    let selector = selector.map(|selector| selector.parse().unwrap());
    router.candidates(&RouteRequest {
        destination,
        random,
        selector: selector.as_ref(),
        consider,
    })
}

/// Everybody who is drawn first.
fn firsts(router: &Router, destination: &str, selector: Option<&str>) -> BTreeSet<u64> {
    let draw = |random| {
        asked(router, destination, [random, 0], selector, &|_| {
            Consideration::Usual
        })
    };
    (0..12)
        .filter_map(draw)
        .map(|found| found.first.0)
        .collect()
}

#[test]
fn labels_decide_where_a_frontend_asks_for_them() {
    let mut router = router("label,default");
    let agents = [
        ("a", "label=zone:a&label=disk:fast"),
        ("b", "label=zone:b"),
        ("c", ""),
    ];
    connect(&mut router, &agents);
    assert_eq!(firsts(&router, "x:1", Some("zone=a")), BTreeSet::from([0]));
    assert_eq!(firsts(&router, "x:1", Some("zone=b")), BTreeSet::from([1]));
    assert_eq!(firsts(&router, "x:1", None), BTreeSet::from([0, 1, 2]));
    assert_eq!(
        firsts(&router, "x:1", Some("zone=c")),
        BTreeSet::new(),
        "nobody else serves instead"
    );
    assert_eq!(router.ready_backends(Strategy::Label), 2);
    let mut unlabelled = super::router("default");
    connect(&mut unlabelled, &agents);
    let all = BTreeSet::from([0, 1, 2]);
    assert_eq!(
        firsts(&unlabelled, "x:1", Some("zone=a")),
        all,
        "nobody looks at them"
    );
}

#[test]
fn the_smallest_network_that_can_serve_does() {
    let mut router = router("destCIDR,default");
    let agents = [
        ("a", "cidr=10.0.0.0/8"),
        ("b", "cidr=10.1.0.0/16&cidr=fd00::/8"),
        ("c", ""),
    ];
    connect(&mut router, &agents);
    assert_eq!(firsts(&router, "10.1.0.1:1", None), BTreeSet::from([1]));
    assert_eq!(router.route("10.1.0.1:1", 0), Some(LinkId(1)));
    assert_eq!(firsts(&router, "10.2.0.1:1", None), BTreeSet::from([0]));
    assert_eq!(
        firsts(&router, "192.0.2.1:1", None),
        BTreeSet::from([0, 1, 2])
    );
    let not_b = |link| {
        if link == LinkId(1) {
            Consideration::Never
        } else {
            Consideration::Usual
        }
    };
    let found = asked(&router, "10.1.0.1:1", [0, 0], None, &not_b);
    assert_eq!(
        found.map(|found| found.first),
        Some(LinkId(0)),
        "the next larger"
    );
    assert_eq!(router.ready_backends(Strategy::DestCidr), 3);
    router.agent_disconnected(LinkId(1));
    assert_eq!(firsts(&router, "10.1.0.1:1", None), BTreeSet::from([0]));
}

#[test]
fn two_are_drawn_where_load_decides() {
    for (strategies, destination) in [
        ("leastLoaded", "x:1"),
        ("default,leastLoaded", "x:1"),
        ("destHost,leastLoaded", "h:1"),
        ("defaultRoute,leastLoaded", "x:1"),
        ("destCIDR,leastLoaded", "10.0.0.1:1"),
    ] {
        let mut router = router(strategies);
        let identifiers = "host=h&default-route=true&cidr=10.0.0.0/8";
        connect(
            &mut router,
            &[("a", identifiers), ("b", identifiers), ("c", identifiers)],
        );
        let mut pairs = BTreeSet::new();
        for random in 0..3 {
            for other in 0..3 {
                let found = ask(&router, destination, [random, other]).unwrap();
                let second = found.second.unwrap();
                assert_ne!(found.first, second);
                pairs.insert((found.first.0.min(second.0), found.first.0.max(second.0)));
            }
        }
        assert_eq!(
            pairs,
            BTreeSet::from([(0, 1), (0, 2), (1, 2)]),
            "{strategies}"
        );
        // One that drains is no choice beside one that does not.
        router.agent_draining(LinkId(1));
        router.agent_draining(LinkId(2));
        let only = Candidates {
            first: LinkId(0),
            second: None,
        };
        assert_eq!(
            ask(&router, destination, [1, 2]),
            Some(only),
            "{strategies}"
        );
    }
}

#[test]
fn agents_of_the_zone_come_first_and_others_when_those_are_the_last_resort() {
    let mut router = router("leastLoaded").with_zone(Some("a".to_owned()));
    connect(
        &mut router,
        &[("a", "label=zone:a"), ("b", "label=zone:b"), ("c", "")],
    );
    assert_eq!(firsts(&router, "x:1", None), BTreeSet::from([0]));
    let spare_a = |link| {
        if link == LinkId(0) {
            Consideration::LastResort
        } else {
            Consideration::Usual
        }
    };
    let found = asked(&router, "x:1", [0, 0], None, &spare_a).unwrap();
    assert_ne!(found.first, LinkId(0));
    router.agent_draining(LinkId(1));
    router.agent_disconnected(LinkId(2));
    let found = asked(&router, "x:1", [0, 0], None, &spare_a).unwrap();
    assert_eq!(found.first, LinkId(0), "rather than one that drains");
    let nobody = asked(&router, "x:1", [0, 0], None, &|_| Consideration::Never);
    assert_eq!(nobody, None);
}

quickcheck! {
    /// Without anything that the reference lacks both ways of asking find the same.
    fn plain_strategies_are_the_references(operations: Vec<Operation>, random: u64) -> bool {
        ["default", "destHost", "defaultRoute", "destHost,defaultRoute,default"].iter().all(|strategies| {
            let mut router = router(strategies);
            let mut links = 0;
            for operation in &operations {
                match *operation {
                    Operation::Connect { agent: id, host, route } => {
                        let metadata = agent(&format!("agent-{id}"), &format!("host=h{host}&default-route={route}"));
                        router.agent_connected(LinkId(links), &metadata);
                        links += 1;
                    }
                    Operation::Drain(pick) => router.agent_draining(LinkId(u64::from(pick) % (links + 1))),
                    Operation::Disconnect(pick) => router.agent_suspended(LinkId(u64::from(pick) % (links + 1))),
                }
            }
            router.is_plain() && (0..3).all(|host| {
                let destination = format!("h{host}:1");
                let found = ask(&router, &destination, [random, 0]);
                found.map(|found| found.first) == router.route(&destination, random)
            })
        })
    }
}

#[test]
fn what_an_agent_set_aside_would_get_is_shared_by_all_others() {
    let mut router = router("default");
    connect(&mut router, &["a", "b", "c", "d", "e"].map(|id| (id, "")));
    let mut served = BTreeMap::new();
    let aside = |link: LinkId| {
        if link == LinkId(2) {
            Consideration::LastResort
        } else {
            Consideration::Usual
        }
    };
    let mut random = 1_u64;
    for _ in 0..10_000 {
        // splitmix64's step, and its first mixing.
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let found = asked(&router, "x:1", [mixed, 0], None, &aside).unwrap();
        *served.entry(found.first.0).or_insert(0_u32) += 1;
    }
    assert_eq!(served.len(), 4, "{served:?}");
    for count in served.values() {
        assert!(count.abs_diff(2500) < 250, "{served:?}");
    }
}
