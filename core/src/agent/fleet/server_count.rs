//! Which servers there are to connect to, or how many.

use std::collections::BTreeSet;

/// Where the expected number of servers comes from (`--count-server-leases`, `--server-count-source`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerCountSource {
    /// What the server said in the last connection that was kept: leases are not counted.
    #[default]
    Responses,
    /// The number of valid leases: leases are counted, source empty or `default`.
    Leases,
    /// The larger of both: leases are counted, source `max`.
    Max,
}

/// The servers that have valid Leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerLeases {
    count: u64,
    /// The ids of the servers, one for each Lease; `None` where a Lease doesn't tell, or two tell the same.
    servers: Option<BTreeSet<String>>,
}

impl ServerLeases {
    /// `holders` are the holder identities of all valid Leases: the server's id in those of the reference and ours.
    pub fn new(holders: impl IntoIterator<Item = Option<String>>) -> Self {
        let mut count = 0_u64;
        let mut servers = BTreeSet::new();
        for holder in holders {
            count += 1;
            servers.extend(holder.filter(|holder| !holder.is_empty()));
        }
        let complete = u64::try_from(servers.len()) == Ok(count);
        Self {
            count,
            servers: complete.then_some(servers),
        }
    }

    /// How many valid Leases there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

/// The expected servers: never less than one.
#[derive(Clone, Debug)]
pub(super) struct ServerCount {
    source: ServerCountSource,
    /// `None` until a server said it.
    responses: Option<u64>,
    /// `None` until leases were first counted.
    leases: Option<ServerLeases>,
}

impl ServerCount {
    pub(super) const fn new(source: ServerCountSource) -> Self {
        Self {
            source,
            responses: None,
            leases: None,
        }
    }

    /// Takes a server's `servercount`, of which any integer is legal.
    ///
    /// Below one it reads as one. (The reference does so for zero only; a negative count makes it dial for
    /// ever what it is already connected to.)
    pub(super) fn set_response(&mut self, count: i64) {
        self.responses = Some(u64::try_from(count).unwrap_or(0));
    }

    pub(super) fn set_leases(&mut self, leases: Option<ServerLeases>) {
        self.leases = leases;
    }

    /// The combination of both sources (Konnectivity agent, `pkg/agent/clientset.go`, `ServerCount`).
    pub(super) fn expected(&self) -> u64 {
        // Nothing known yet, and no valid lease, both count as one server.
        match self.source {
            ServerCountSource::Responses => self.expected_by_responses(),
            ServerCountSource::Leases => self.expected_by_leases(),
            ServerCountSource::Max => self.expected_by_responses().max(self.expected_by_leases()),
        }
    }

    /// Whether a server is missing among those that the agent is connected to.
    ///
    /// Where Leases name their servers it is those that are looked for, so that a server which has lost its Lease and
    /// still serves does not stand for another. Should none of them be among the connected ones, then the names mean
    /// something else here, and as many servers are looked for as there are Leases, which is the reference's rule.
    pub(super) fn lacks_any(&self, connected: &BTreeSet<&str>) -> bool {
        let fewer_than = |count| u64::try_from(connected.len()).is_ok_and(|have| have < count);
        let by_responses = || fewer_than(self.expected_by_responses());
        let by_leases = || match self
            .leases
            .as_ref()
            .and_then(|leases| leases.servers.as_ref())
        {
            Some(servers) if servers.iter().any(|id| connected.contains(id.as_str())) => {
                !servers.iter().all(|id| connected.contains(id.as_str()))
            }
            Some(_) | None => fewer_than(self.expected_by_leases()),
        };
        match self.source {
            ServerCountSource::Responses => by_responses(),
            ServerCountSource::Leases => by_leases(),
            ServerCountSource::Max => by_responses() || by_leases(),
        }
    }

    fn expected_by_responses(&self) -> u64 {
        self.responses.unwrap_or(1).max(1)
    }

    fn expected_by_leases(&self) -> u64 {
        self.leases.as_ref().map_or(1, ServerLeases::count).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(source: ServerCountSource, response: Option<i64>, leases: Option<u64>) -> u64 {
        let mut count = ServerCount::new(source);
        if let Some(response) = response {
            count.set_response(response);
        }
        count.set_leases(leases.map(unnamed));
        count.expected()
    }

    fn unnamed(count: u64) -> ServerLeases {
        ServerLeases::new((0..count).map(|_| None))
    }

    fn named(servers: &[&str]) -> ServerLeases {
        ServerLeases::new(servers.iter().map(|id| Some((*id).to_owned())))
    }

    fn lacks(source: ServerCountSource, leases: ServerLeases, connected: &[&str]) -> bool {
        let mut count = ServerCount::new(source);
        count.set_response(2);
        count.set_leases(Some(leases));
        count.lacks_any(&connected.iter().copied().collect())
    }

    #[test]
    fn those_servers_are_looked_for_that_have_leases() {
        let source = ServerCountSource::Leases;
        assert!(lacks(source, named(&["a", "b"]), &["a"]));
        assert!(
            lacks(source, named(&["a", "b"]), &["a", "gone"]),
            "as many, but not the same"
        );
        assert!(!lacks(source, named(&["a", "b"]), &["a", "b", "gone"]));
        assert!(
            !lacks(source, named(&["a"]), &["a"]),
            "what servers say does not count"
        );
        assert!(lacks(ServerCountSource::Max, named(&["a"]), &["a"]));
        assert!(lacks(
            ServerCountSource::Max,
            named(&["a", "b"]),
            &["a", "gone"]
        ));
        assert!(!lacks(
            ServerCountSource::Responses,
            named(&["a", "b", "c"]),
            &["a", "gone"]
        ));
    }

    #[test]
    fn leases_that_name_no_server_are_counted() {
        let source = ServerCountSource::Leases;
        for leases in [unnamed(2), named(&["", "b"]), named(&["b", "b"])] {
            assert_eq!(leases.count(), 2);
            assert!(!lacks(source, leases.clone(), &["b", "c"]), "{leases:?}");
            assert!(lacks(source, leases, &["b"]));
        }
        // Names of another kind, which no server answers to.
        assert!(!lacks(source, named(&["pod-1", "pod-2"]), &["a", "b"]));
        assert!(lacks(source, named(&["pod-1", "pod-2"]), &["a"]));
        assert!(lacks(source, named(&[]), &[]), "there is always one");
        assert!(!lacks(source, named(&[]), &["a"]));
    }

    #[test]
    fn responses_alone_ignore_leases() {
        assert_eq!(expected(ServerCountSource::Responses, None, Some(9)), 1);
        assert_eq!(expected(ServerCountSource::Responses, Some(3), Some(9)), 3);
    }

    #[test]
    fn leases_replace_responses() {
        assert_eq!(expected(ServerCountSource::Leases, Some(3), None), 1);
        assert_eq!(expected(ServerCountSource::Leases, Some(3), Some(2)), 2);
    }

    #[test]
    fn max_takes_the_larger() {
        assert_eq!(expected(ServerCountSource::Max, Some(3), None), 3);
        assert_eq!(expected(ServerCountSource::Max, Some(3), Some(2)), 3);
        assert_eq!(expected(ServerCountSource::Max, Some(3), Some(4)), 4);
    }

    #[test]
    fn less_than_one_is_one() {
        assert_eq!(expected(ServerCountSource::Responses, Some(0), None), 1);
        assert_eq!(expected(ServerCountSource::Responses, Some(-7), None), 1);
        assert_eq!(expected(ServerCountSource::Leases, None, Some(0)), 1);
        assert_eq!(expected(ServerCountSource::Max, Some(i64::MIN), Some(0)), 1);
    }
}
