//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open beside connections: listeners, the log, the runtime's own.
const OTHERS: u64 = 100;

/// Raises the soft limit of descriptors (RLIMIT_NOFILE) to the hard one, as Go programs do, and says so in the log if
/// that is too few for the `connections` that the process means to serve.
pub(crate) fn reserve(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files can't be raised");
            limit.current
        }
    };
    let wanted = wanted(connections);
    // None is no limit.
    if let Some(current) = current.filter(|current| *current < wanted) {
        tracing::warn!(
            limit = current,
            wanted,
            "fewer files may be open (RLIMIT_NOFILE) than there may be connections; raise it (LimitNOFILE= of systemd) or lower the limits of connections"
        );
    }
}

fn wanted(connections: usize) -> u64 {
    u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS)
}
