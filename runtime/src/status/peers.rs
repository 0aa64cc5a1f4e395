//! Links, put together by whose they are.

use std::collections::BTreeMap;
use std::time::Duration;

use dialback_core::wire::Identifiers;
use dialback_core::{LinkId, LinkLoad};

use super::{LinkState, LinkStatus, PeerStatus, StatusPage};

/// The most bytes of a text that a peer chose.
const MOST_TEXT: usize = 128;
/// The most identifiers of an agent.
const MOST_IDENTIFIERS: usize = 8;

/// How a link was when it was looked at.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) load: LinkLoad,
    pub(crate) state: LinkState,
    pub(crate) address: Option<String>,
}

/// The peers of one page.
#[derive(Debug)]
pub(crate) struct Peers {
    left: usize,
    last: u64,
    truncated: bool,
    peers: Vec<PeerStatus>,
    places: BTreeMap<Peer, usize>,
}

/// What tells peers apart, each text within its bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Peer {
    pub(crate) id: String,
    pub(crate) identity: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) identifiers: Vec<String>,
}

impl Peers {
    pub(crate) fn new(page: &StatusPage) -> Self {
        Self {
            left: page.most(),
            last: page.after,
            truncated: false,
            peers: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// Adds a link; they come in the order of their numbers. What is beyond the page is only noted.
    pub(crate) fn add(&mut self, peer: Peer, link: LinkId, looked: Looked, age: Duration) {
        if self.left == 0 {
            self.truncated = true;
            return;
        }
        self.left -= 1;
        self.last = link.0;
        let peers = &mut self.peers;
        let place = *self.places.entry(peer).or_insert_with_key(|key| {
            let Peer {
                id,
                identity,
                tenant,
                identifiers,
            } = key.clone();
            peers.push(PeerStatus {
                id,
                identity,
                tenant,
                identifiers,
                links: Vec::new(),
            });
            peers.len() - 1
        });
        if let Some(peer) = peers.get_mut(place) {
            peer.links.push(LinkStatus::new(link.0, looked, age));
        }
    }

    /// The page, and where the next one begins if there is one.
    pub(crate) fn finish(self) -> (Vec<PeerStatus>, Option<u64>) {
        (self.peers, self.truncated.then_some(self.last))
    }
}

/// A text that a peer chose, cut to its bound.
pub(crate) fn clip(text: &str) -> String {
    dialback_core::clip(text, MOST_TEXT)
}

/// What an agent says it can reach, as it was on the wire.
pub(crate) fn describe(identifiers: &Identifiers) -> Vec<String> {
    let Identifiers {
        ipv4,
        ipv6,
        host,
        cidr,
        label,
        default_route,
    } = identifiers;
    [
        ("ipv4", ipv4),
        ("ipv6", ipv6),
        ("host", host),
        ("cidr", cidr),
        ("label", label),
    ]
    .iter()
    .flat_map(|(key, values)| values.iter().map(move |value| (*key, value.as_str())))
    .chain(default_route.then_some(("default-route", "true")))
    .take(MOST_IDENTIFIERS)
    .map(|(key, value)| clip(&format!("{key}={}", clip(value))))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(streams: usize) -> Looked {
        Looked {
            load: LinkLoad {
                streams,
                ..LinkLoad::default()
            },
            state: LinkState::Connected,
            address: None,
        }
    }

    fn page(after: u64, limit: usize, links: u64) -> (Vec<PeerStatus>, Option<u64>) {
        let mut peers = Peers::new(&StatusPage { after, limit });
        for link in after + 1..=links {
            let peer = Peer {
                id: format!("agent-{}", link % 2),
                ..Peer::default()
            };
            peers.add(peer, LinkId(link), looked(1), Duration::ZERO);
        }
        peers.finish()
    }

    #[test]
    fn links_are_put_together_by_peer_and_pages_follow_each_other() {
        let links = |peers: &[PeerStatus]| -> Vec<(String, Vec<u64>)> {
            let numbers = |peer: &PeerStatus| peer.links.iter().map(|link| link.link).collect();
            let peers = peers.iter();
            peers.map(|peer| (peer.id.clone(), numbers(peer))).collect()
        };
        let (first, next) = page(0, 3, 5);
        let expected = [
            ("agent-1".to_owned(), vec![1, 3]),
            ("agent-0".to_owned(), vec![2]),
        ];
        assert_eq!(links(&first), expected);
        assert_eq!(next, Some(3));
        let (second, next) = page(3, 3, 5);
        let expected = [
            ("agent-0".to_owned(), vec![4]),
            ("agent-1".to_owned(), vec![5]),
        ];
        assert_eq!((links(&second).as_slice(), next), (&expected[..], None));
        assert_eq!(page(0, 5, 5).1, None);
    }

    #[test]
    fn no_page_is_without_bound_or_without_a_link() {
        let many = StatusPage::MOST as u64 + 1;
        let shown = |(peers, next): (Vec<PeerStatus>, _)| -> (usize, Option<u64>) {
            (peers.iter().map(|peer| peer.links.len()).sum(), next)
        };
        assert_eq!(shown(page(0, usize::MAX, many)), (1000, Some(1000)));
        assert_eq!(shown(page(0, 0, 2)), (1, Some(1)));
    }

    #[test]
    fn what_agents_choose_is_cut_between_characters() {
        assert_eq!(clip(&"n".repeat(MOST_TEXT)), "n".repeat(MOST_TEXT));
        let cut = clip(&"ü".repeat(MOST_TEXT));
        assert!(cut.len() <= MOST_TEXT && cut.ends_with("ü…"), "{cut}");
        let identifiers = Identifiers {
            host: vec!["h".repeat(1000); 100],
            default_route: true,
            ..Identifiers::default()
        };
        let described = describe(&identifiers);
        assert_eq!(described.len(), MOST_IDENTIFIERS);
        assert!(described.iter().all(|text| text.len() <= MOST_TEXT));
        let few = Identifiers::parse(b"default-route=true&ipv4=10.0.0.1&cidr=10.0.0.0/8").ok();
        assert_eq!(
            few.as_ref().map(describe),
            Some(
                ["ipv4=10.0.0.1", "cidr=10.0.0.0/8", "default-route=true"]
                    .map(str::to_owned)
                    .to_vec()
            )
        );
    }
}
