//! What an agent says it can reach: the `agentidentifiers` of its Connect call.

use super::query::{self, QueryError};

/// The identifiers of one agent, which the server's routing strategies match dials with.
///
/// On the wire a URL query string such as `ipv4=1.2.3.4&host=node1&host=a.b&default-route=true`
/// (Konnectivity server, `pkg/agent/agent_identifiers.go`). Values are not checked by anyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifiers {
    /// Addresses under the key `ipv4`.
    pub ipv4: Vec<String>,
    /// Addresses under the key `ipv6`.
    pub ipv6: Vec<String>,
    /// Names under the key `host`.
    pub host: Vec<String>,
    /// Networks under the key `cidr`, which the `destCIDR` strategy matches; the reference keeps them for nothing.
    pub cidr: Vec<String>,
    /// Labels under the key `label`, such as `zone:a`: ours, the reference's server ignores them.
    pub label: Vec<String>,
    /// `default-route=true`: the agent serves destinations that no other claims.
    pub default_route: bool,
}

/// Why the agent's `--agent-identifiers` is refused, in the reference's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierOptionError {
    /// A key that no server knows.
    #[error("agent address is invalid: unknown address type: {0}")]
    UnknownType(String),
    /// Not a URL query string.
    #[error("agent address is invalid: {0}")]
    Query(#[from] QueryError),
}

const IPV4: &[u8] = b"ipv4";
const IPV6: &[u8] = b"ipv6";
const HOST: &[u8] = b"host";
const CIDR: &[u8] = b"cidr";
const LABEL: &[u8] = b"label";
const DEFAULT_ROUTE: &[u8] = b"default-route";

impl Identifiers {
    /// Parses what an agent sent, as a server does: unknown keys (and `uid`) are ignored.
    ///
    /// Of `default-route` the first value counts; what Go's `strconv.ParseBool` does not take for true is
    /// false. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    ///
    /// When `query` is no query string to Go: a `;`, a bad escape, or more than 10,000 parameters.
    pub fn parse(query: &[u8]) -> Result<Self, QueryError> {
        let mut identifiers = Self::default();
        let mut default_route_seen = false;
        for (key, value) in query::parse(query)? {
            let text = || String::from_utf8_lossy(&value).into_owned();
            match key.as_slice() {
                IPV4 => identifiers.ipv4.push(text()),
                IPV6 => identifiers.ipv6.push(text()),
                HOST => identifiers.host.push(text()),
                CIDR => identifiers.cidr.push(text()),
                LABEL => identifiers.label.push(text()),
                DEFAULT_ROUTE if !default_route_seen => {
                    default_route_seen = true;
                    identifiers.default_route = is_true(&value);
                }
                _ => {}
            }
        }
        Ok(identifiers)
    }

    /// Parses the agent's own option, which also refuses keys that no server knows
    /// (Konnectivity agent, `cmd/agent/app/options`).
    ///
    /// # Errors
    ///
    /// As [`Identifiers::parse`], and on an unknown key.
    pub fn parse_option(option: &str) -> Result<Self, IdentifierOptionError> {
        for (key, _) in query::parse(option.as_bytes())? {
            if ![IPV4, IPV6, HOST, CIDR, LABEL, DEFAULT_ROUTE].contains(&key.as_slice()) {
                let key = String::from_utf8_lossy(&key).into_owned();
                return Err(IdentifierOptionError::UnknownType(key));
            }
        }
        Ok(Self::parse(option.as_bytes())?)
    }

    /// Labels, key and value; what has no colon is none.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.label.iter().filter_map(|label| label.split_once(':'))
    }

    /// What the `destHost` strategy matches: addresses and names, in no particular order.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        self.ipv4
            .iter()
            .chain(&self.ipv6)
            .chain(&self.host)
            .map(String::as_str)
    }
}

/// The spellings of true of Go's `strconv.ParseBool`.
fn is_true(value: &[u8]) -> bool {
    [&b"1"[..], b"t", b"T", b"TRUE", b"true", b"True"].contains(&value)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn keys_repeat_and_collect() {
        let identifiers = Identifiers::parse(
            b"ipv4=1.2.3.4&host=node1&host=a.b&cidr=10.0.0.0/8&ipv6=fd00::1&ipv4=5.6.7.8&default-route=true",
        )
        .unwrap();
        assert_eq!(
            identifiers,
            Identifiers {
                ipv4: vec!["1.2.3.4".into(), "5.6.7.8".into()],
                ipv6: vec!["fd00::1".into()],
                host: vec!["node1".into(), "a.b".into()],
                cidr: vec!["10.0.0.0/8".into()],
                label: vec![],
                default_route: true,
            }
        );
        assert_eq!(
            identifiers.destinations().collect::<Vec<_>>(),
            ["1.2.3.4", "5.6.7.8", "fd00::1", "node1", "a.b"]
        );
    }

    #[test]
    fn the_server_ignores_what_it_does_not_know() {
        let identifiers = Identifiers::parse(b"uid=1&colour=blue&IPv4=1.1.1.1&host=a").unwrap();
        assert_eq!(identifiers.destinations().collect::<Vec<_>>(), ["a"]);
        assert_eq!(Identifiers::parse(b"").unwrap(), Identifiers::default());
    }

    #[test]
    fn the_first_default_route_counts() {
        let route = |query: &str| Identifiers::parse(query.as_bytes()).unwrap().default_route;
        for yes in ["1", "t", "T", "TRUE", "true", "True"] {
            assert!(route(&format!("default-route={yes}")), "{yes}");
        }
        for no in ["", "0", "yes", "tRUE", "false", "maybe"] {
            assert!(!route(&format!("default-route={no}")), "{no}");
        }
        assert!(!route("default-route=false&default-route=true"));
        assert!(route("default-route=true&default-route=false"));
    }

    #[test]
    fn the_option_is_checked_strictly() {
        assert!(Identifiers::parse_option("ipv4=nonsense&default-route=1").is_ok());
        let error = |option| Identifiers::parse_option(option).unwrap_err().to_string();
        assert_eq!(
            error("ipv4=1.1.1.1&uid=7"),
            "agent address is invalid: unknown address type: uid"
        );
        assert_eq!(
            error("host=%zz"),
            "agent address is invalid: invalid URL escape \"%zz\""
        );
        assert_eq!(
            error("host=a;b"),
            "agent address is invalid: invalid semicolon separator in query"
        );
    }
}
