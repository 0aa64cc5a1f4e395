//! The router against a model: links that come, drain, lose their transport and go, and dials in between.

use std::collections::BTreeMap;

use dialback_core::LinkId;
use dialback_core::server::{Router, Strategies};
use dialback_core::wire::{AgentMetadata, Identifiers};

/// How many agent ids and destinations there are: few, so that they meet.
const IDS: u8 = 5;

/// A link as the model knows it.
#[derive(Clone, Debug)]
struct Link {
    metadata: AgentMetadata,
    draining: bool,
    suspended: bool,
}

impl Link {
    /// The fitter, the smaller.
    fn rank(&self) -> u8 {
        match (self.suspended, self.draining) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        }
    }
}

pub(super) fn check(data: &[u8]) {
    let strategies = "destHost,defaultRoute,default"
        .parse::<Strategies>()
        .expect("strategies that there are");
    let mut router = Router::new(strategies);
    let mut links: BTreeMap<LinkId, Link> = BTreeMap::new();
    let mut next = 0;
    for operation in data.chunks_exact(2) {
        let (what, which) = (operation[0], operation[1]);
        let link = links.keys().nth(usize::from(which) % links.len().max(1));
        match (what % 8, link.copied()) {
            (0 | 1, _) => {
                let metadata = metadata(which);
                let link = LinkId(next);
                next += 1;
                router.agent_connected(link, &metadata);
                links.insert(
                    link,
                    Link {
                        metadata,
                        draining: false,
                        suspended: false,
                    },
                );
            }
            (2, Some(link)) => {
                router.agent_draining(link);
                change(&mut links, link, |link| link.draining = true);
            }
            (3, Some(link)) => {
                router.agent_suspended(link);
                change(&mut links, link, |link| link.suspended = true);
            }
            (4, Some(link)) => {
                router.agent_resumed(link);
                change(&mut links, link, |link| link.suspended = false);
            }
            (5, Some(link)) => {
                router.agent_disconnected(link);
                links.remove(&link);
            }
            _ => dial(&router, &links, which),
        }
        assert_eq!(router.link_count(), links.len());
        assert_eq!(router.is_ready(), !links.is_empty());
    }
    for link in links.into_keys() {
        router.agent_disconnected(link);
    }
    assert!(router.link_count() == 0 && !router.is_ready());
    assert_eq!(router.route("a:1", 0), None);
}

fn change(links: &mut BTreeMap<LinkId, Link>, link: LinkId, change: impl FnOnce(&mut Link)) {
    links.entry(link).and_modify(change);
}

fn host(number: u8) -> String {
    format!("host-{}", number % IDS)
}

fn metadata(which: u8) -> AgentMetadata {
    let mut identifiers = Identifiers::default();
    if which & 0x80 != 0 {
        identifiers.host.push(host(which / IDS));
    }
    identifiers.default_route = which & 0x40 != 0;
    AgentMetadata {
        agent_id: format!("agent-{}", which % IDS),
        identifiers,
    }
}

/// A dial goes to one of the links that the first strategy with any has, and to none that is less fit than another of
/// them.
fn dial(router: &Router, links: &BTreeMap<LinkId, Link>, which: u8) {
    let host = host(which);
    let chosen = router.route(&format!("{host}:443"), u64::from(which) * 0x0101_0101_0101);
    let candidates = |fits: &dyn Fn(&Link) -> bool| -> Vec<LinkId> {
        let fitting = links.iter().filter(|(_, link)| fits(link));
        fitting.map(|(id, _)| *id).collect()
    };
    let of_host = candidates(&|link| link.metadata.identifiers.host.contains(&host));
    let of_route = candidates(&|link| link.metadata.identifiers.default_route);
    let all = candidates(&|_| true);
    let Some(pool) = [of_host, of_route, all]
        .into_iter()
        .find(|pool| !pool.is_empty())
    else {
        return assert_eq!(chosen, None);
    };
    let chosen = chosen.expect("somebody could serve the dial");
    assert!(pool.contains(&chosen), "{chosen} is not one of {pool:?}");
    let fittest = pool.iter().map(|link| links[link].rank()).min();
    assert_eq!(Some(links[&chosen].rank()), fittest, "{chosen} of {pool:?}");
}
