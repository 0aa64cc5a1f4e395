//! The rules of an agent about where it connects to, whatever servers say.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use thiserror::Error;

use super::destination::{Destination, DestinationMatch, Holds, Hosts};
use super::glob::{Glob, InvalidGlob};
use super::network::{InvalidNetwork, Network};
use super::read::{host_pattern, port_range};

/// Where an agent may connect to: `--allow-destination` and `--deny-destination`.
///
/// They hold for the address that a connection is really made to, and for the name that it was found by. What is denied
/// stays so, whatever is allowed. Without rules that allow something, all else is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationRules {
    allow: Vec<Named>,
    deny: Vec<Named>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    /// As the operator wrote it.
    name: String,
    matches: Vec<DestinationMatch>,
}

/// Text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidRule {
    /// The network makes no sense.
    #[error(transparent)]
    Network(#[from] InvalidNetwork),
    /// The pattern makes no sense.
    #[error(transparent)]
    Glob(#[from] InvalidGlob),
    /// The pattern is for names that look like addresses.
    #[error("{0}")]
    Host(String),
    /// The ports make no sense.
    #[error("{0}")]
    Ports(String),
    /// There is no such list.
    #[error("there is no list {0:?}: the one that there is is @metadata")]
    List(String),
}

/// Why an agent does not connect somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This rule denies it, as the operator wrote it.
    Denied(String),
    /// None of the rules allows it.
    NotAllowed,
}

/// The list of link-local addresses and of those where clouds tell machines their credentials.
const METADATA: &str = "@metadata";
/// Link-local addresses of both families (RFC 3927, RFC 4291), then the metadata services that are elsewhere: AWS and
/// GCP over IPv6, Oracle over IPv6, Alibaba, Oracle's older one, Azure's fabric.
const METADATA_NETWORKS: [&str; 8] = [
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
];
const METADATA_NAMES: [&str; 2] = ["metadata.google.internal", "metadata.goog"];

impl DestinationRules {
    /// Rules as they are given on a command line: `HOST[:PORTS]`, where the host is a network, an address (IPv6 in
    /// brackets if ports follow) or a pattern for names, and the ports a number or a range; or `@metadata`.
    ///
    /// # Errors
    /// [`InvalidRule`], and which rule it is.
    pub fn parse<T: AsRef<str>>(allow: &[T], deny: &[T]) -> Result<Self, (String, InvalidRule)> {
        let named = |rules: &[T]| {
            let rules = rules.iter().map(|rule| {
                let name = rule.as_ref().to_owned();
                match parse(&name) {
                    Ok(matches) => Ok(Named { name, matches }),
                    Err(error) => Err((name, error)),
                }
            });
            rules.collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            allow: named(allow)?,
            deny: named(deny)?,
        })
    }

    /// Whether there are no rules, so that all is allowed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a connection may be made to `address`, which `dialled` (`host:port`) has led to.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, dialled: &str, address: SocketAddr) -> Result<(), Refused> {
        let dialled = Destination::parse(dialled);
        let holds = |rules: &Named| {
            let matches = rules.matches.iter();
            matches.map(|one| one.holds_for(&dialled, address)).max()
        };
        let denied = self
            .deny
            .iter()
            .find(|rule| holds(rule) >= Some(Holds::Perhaps));
        if let Some(rule) = denied {
            return Err(Refused::Denied(rule.name.clone()));
        }
        let allowed = |rule: &Named| holds(rule) == Some(Holds::Yes);
        if self.allow.is_empty() || self.allow.iter().any(allowed) {
            Ok(())
        } else {
            Err(Refused::NotAllowed)
        }
    }
}

fn parse(rule: &str) -> Result<Vec<DestinationMatch>, InvalidRule> {
    if rule == METADATA {
        return metadata();
    }
    if rule.starts_with('@') {
        return Err(InvalidRule::List(rule.to_owned()));
    }
    let (host, ports) = split(rule);
    let ports = ports.map(ports_of).transpose()?;
    Ok(vec![DestinationMatch {
        hosts: hosts_of(host)?,
        ports: ports.into_iter().collect(),
    }])
}

/// The host, and the ports if there are any.
fn split(rule: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = rule.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(ports) => (host, Some(ports)),
            None if rest.is_empty() => (host, None),
            // No host has a bracket.
            None => (rule, None),
        };
    }
    match rule.split_once(':') {
        Some((host, ports)) if !ports.contains(':') => (host, Some(ports)),
        Some(_) | None => (rule, None),
    }
}

fn ports_of(ports: &str) -> Result<RangeInclusive<u16>, InvalidRule> {
    port_range(ports).map_err(InvalidRule::Ports)
}

fn hosts_of(host: &str) -> Result<Hosts, InvalidRule> {
    if host.contains('/') || host.contains(':') || host.parse::<IpAddr>().is_ok() {
        return Ok(Hosts::In(host.parse::<Network>()?));
    }
    host.parse::<Glob>()?;
    let glob = host_pattern(host).map_err(InvalidRule::Host)?;
    Ok(Hosts::Named(glob))
}

fn metadata() -> Result<Vec<DestinationMatch>, InvalidRule> {
    let hosts = METADATA_NETWORKS.iter().chain(&METADATA_NAMES);
    hosts
        .map(|host| {
            Ok(DestinationMatch {
                hosts: hosts_of(host)?,
                ports: Vec::new(),
            })
        })
        .collect()
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(rule) => {
                write!(
                    f,
                    "this agent does not connect there (--deny-destination={rule})"
                )
            }
            Self::NotAllowed => {
                f.write_str("this agent does not connect there (no --allow-destination is for it)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn check(allow: &[&str], deny: &[&str], dialled: &str, address: &str) -> Result<(), Refused> {
        let rules = DestinationRules::parse(allow, deny).unwrap();
        rules.check(dialled, address.parse().unwrap())
    }

    #[test]
    fn metadata_services_are_denied_by_whatever_way() {
        for (dialled, address) in [
            ("169.254.169.254:80", "169.254.169.254:80"),
            ("[::ffff:169.254.169.254]:80", "[::ffff:169.254.169.254]:80"),
            ("innocent.example:80", "169.254.169.254:80"),
            ("0xa9fea9fe:80", "169.254.169.254:80"),
            ("[64:ff9b::a9fe:a9fe]:80", "[64:ff9b::a9fe:a9fe]:80"),
            ("[fe80::1%eth0]:80", "[fe80::1%2]:80"),
            ("Metadata.Google.Internal.:80", "10.0.0.1:80"),
            ("[fd00:ec2::254]:80", "[fd00:ec2::254]:80"),
        ] {
            assert_eq!(
                check(&[], &["@metadata"], dialled, address),
                Err(Refused::Denied("@metadata".to_owned())),
                "{dialled}"
            );
        }
        assert_eq!(
            check(&[], &["@metadata"], "10.0.0.1:80", "10.0.0.1:80"),
            Ok(())
        );
    }

    #[test]
    fn what_is_allowed_is_all_that_is() {
        let allow = ["10.0.0.0/8:10250", "*.example:443-445", "[fd00::/8]:22"];
        for (dialled, address, allowed) in [
            ("10.1.1.1:10250", "10.1.1.1:10250", true),
            ("10.1.1.1:22", "10.1.1.1:22", false),
            ("node:10250", "10.1.1.1:10250", true),
            ("node:10250", "11.1.1.1:10250", false),
            ("a.example:445", "11.1.1.1:445", true),
            ("a.example:446", "11.1.1.1:446", false),
            ("a.example:https", "11.1.1.1:443", true),
            ("[fd00::1]:22", "[fd00::1]:22", true),
        ] {
            let result = check(&allow, &[], dialled, address);
            assert_eq!(result.is_ok(), allowed, "{dialled} {address}");
        }
    }

    #[test]
    fn denial_wins_and_local_hosts_are_one() {
        for (dialled, address) in [
            (":80", "0.0.0.0:80"),
            ("[::]:80", "[::]:80"),
            ("localhost:80", "127.0.0.1:80"),
        ] {
            let result = check(
                &["*", "0.0.0.0/0", "::/0"],
                &["127.0.0.0/8"],
                dialled,
                address,
            );
            assert!(result.is_err(), "{dialled}");
        }
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for rule in [
            "",
            "10.0.0.1/8",
            "10.0.*",
            "a:0-",
            "a:9-8",
            "a:x",
            "@meta",
            "[::1",
            "::1/x",
            ":80",
            "127.1",
            "a b",
        ] {
            let parsed = DestinationRules::parse(&[rule], &[]);
            assert_eq!(parsed.unwrap_err().0, rule);
        }
    }
}
