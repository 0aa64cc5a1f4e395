//! Where attempts lead when servers have several names, or a name several addresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::ids::LinkId;

/// The hosts that an agent was told of, and which of them and of their addresses the next attempt leads to.
///
/// The host with the fewest links comes first, then the one that was tried longest ago; of its addresses, looked up
/// for each attempt, those that lead to no link come first, in the order of the resolver. After an attempt that came to
/// nothing the next one starts with the next address: one that takes connections and then fails must not hide the
/// others. One host with one address, as behind a load balancer, leaves nothing to choose.
#[derive(Debug)]
pub struct Targets {
    hosts: Vec<Host>,
    links: BTreeMap<LinkId, (usize, Option<SocketAddr>)>,
    attempts: u64,
}

#[derive(Clone, Debug, Default)]
struct Host {
    /// The last attempt that led to it; 0 for none.
    tried: u64,
    /// Attempts since one led to a link.
    fruitless: usize,
}

impl Targets {
    /// `hosts` of them, known by their positions from 0; at least one.
    #[must_use]
    pub fn new(hosts: usize) -> Self {
        Self {
            hosts: vec![Host::default(); hosts.max(1)],
            links: BTreeMap::new(),
            attempts: 0,
        }
    }

    /// An attempt starts: the host that it leads to.
    pub fn next_host(&mut self) -> usize {
        self.attempts += 1;
        let links = |host| self.links.values().filter(|(at, _)| *at == host).count();
        let next = (0..self.hosts.len())
            .min_by_key(|&host| (links(host), self.hosts[host].tried))
            .unwrap_or(0);
        self.hosts[next].tried = self.attempts;
        self.hosts[next].fruitless += 1;
        next
    }

    /// Puts the addresses of a host, as they were looked up for the attempt under way, in the order in which they are
    /// to be tried.
    pub fn order(&self, host: usize, addresses: &mut [SocketAddr]) {
        let links = |address: &SocketAddr| {
            let same = |(_, at): &&(usize, Option<SocketAddr>)| *at == Some(*address);
            self.links.values().filter(same).count()
        };
        addresses.sort_by_key(links);
        let fewest = addresses.first().map_or(0, links);
        let free = addresses.partition_point(|address| links(address) == fewest);
        let before = self.hosts.get(host).map_or(0, |host| host.fruitless);
        if let Some(first) = before.saturating_sub(1).checked_rem(free) {
            addresses[..free].rotate_left(first);
        }
    }

    /// An attempt has led to a link, or to another transport for one. `None` for an address that is not known, behind
    /// an HTTP proxy.
    pub fn handle_link_up(&mut self, link: LinkId, host: usize, address: Option<SocketAddr>) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.fruitless = 0;
        }
        self.links.insert(link, (host, address));
    }

    /// Where a link leads; `None` for one without a transport, and where the address is not known.
    #[must_use]
    pub fn address(&self, link: LinkId) -> Option<SocketAddr> {
        self.links.get(&link).and_then(|(_, address)| *address)
    }

    /// A link has lost its transport, or has ended.
    pub fn handle_link_lost(&mut self, link: LinkId) {
        self.links.remove(&link);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> SocketAddr {
        (Ipv4Addr::new(10, 0, 0, last), 8091).into()
    }

    fn ordered(targets: &Targets, addresses: &[u8]) -> Vec<SocketAddr> {
        let mut addresses: Vec<_> = addresses.iter().copied().map(address).collect();
        targets.order(0, &mut addresses);
        addresses
    }

    #[test]
    fn hosts_take_turns_and_those_without_a_link_come_first() {
        let mut targets = Targets::new(3);
        assert_eq!([0; 4].map(|_| targets.next_host()), [0, 1, 2, 0]);
        targets.handle_link_up(LinkId(1), 1, None);
        assert_eq!([0; 4].map(|_| targets.next_host()), [2, 0, 2, 0]);
        targets.handle_link_up(LinkId(2), 0, None);
        targets.handle_link_up(LinkId(3), 2, None);
        assert_eq!(targets.next_host(), 1);
        targets.handle_link_lost(LinkId(2));
        assert_eq!([0; 2].map(|_| targets.next_host()), [0, 0]);
    }

    #[test]
    fn addresses_without_a_link_come_first_in_the_order_of_the_resolver() {
        let mut targets = Targets::new(1);
        targets.next_host();
        assert_eq!(ordered(&targets, &[3, 1, 2]), [3, 1, 2].map(address));
        targets.handle_link_up(LinkId(1), 0, Some(address(3)));
        targets.next_host();
        assert_eq!(ordered(&targets, &[3, 1, 2]), [1, 2, 3].map(address));
        targets.handle_link_up(LinkId(2), 0, Some(address(1)));
        targets.next_host();
        assert_eq!(ordered(&targets, &[1, 3, 2]), [2, 1, 3].map(address));
        targets.handle_link_lost(LinkId(1));
        assert_eq!(ordered(&targets, &[1, 3, 2]), [3, 2, 1].map(address));
    }

    #[test]
    fn an_address_that_comes_to_nothing_does_not_hide_the_others() {
        let mut targets = Targets::new(1);
        let firsts = [0; 4].map(|_| {
            targets.next_host();
            ordered(&targets, &[1, 2, 3])[0]
        });
        assert_eq!(firsts, [1, 2, 3, 1].map(address));
        targets.handle_link_up(LinkId(1), 0, Some(address(1)));
        let firsts = [0; 3].map(|_| {
            targets.next_host();
            ordered(&targets, &[1, 2, 3])[0]
        });
        assert_eq!(firsts, [2, 3, 2].map(address));
    }

    #[test]
    fn nothing_to_choose_from_is_no_fault() {
        let mut targets = Targets::new(0);
        assert_eq!(targets.next_host(), 0);
        assert_eq!(ordered(&targets, &[]), []);
        assert_eq!(ordered(&targets, &[7]), [address(7)]);
        targets.handle_link_up(LinkId(1), 9, None);
        targets.handle_link_lost(LinkId(2));
    }
}
