//! How many servers there are to connect to.

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

/// The expected number of servers; never less than one.
#[derive(Clone, Debug)]
pub(super) struct ServerCount {
    source: ServerCountSource,
    /// `None` until a server said it.
    responses: Option<u64>,
    /// `None` until leases were first counted.
    leases: Option<u64>,
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

    pub(super) const fn set_leases(&mut self, count: Option<u64>) {
        self.leases = count;
    }

    /// The combination of both sources (Konnectivity agent, `pkg/agent/clientset.go`, `ServerCount`).
    pub(super) fn expected(&self) -> u64 {
        // Nothing known yet, and no valid lease, both count as one server.
        let responses = self.responses.unwrap_or(1).max(1);
        let leases = self.leases.unwrap_or(1).max(1);
        match self.source {
            ServerCountSource::Responses => responses,
            ServerCountSource::Leases => leases,
            ServerCountSource::Max => responses.max(leases),
        }
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
        count.set_leases(leases);
        count.expected()
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
