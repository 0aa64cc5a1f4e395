//! Rules about who a peer is.

use super::glob::Glob;
use crate::identity::Identity;
use crate::server::Selector;
use crate::wire::AgentMetadata;

/// Some identities: those that have all of what is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct IdentityMatch {
    pub(super) common_name: Option<Glob>,
    /// For one of the organisations.
    pub(super) organization: Option<Glob>,
    /// For one of the DNS names, in lower case.
    pub(super) dns_name: Option<Glob>,
    /// For the SPIFFE id, with its scheme and its trust domain in lower case.
    pub(super) spiffe: Option<Glob>,
    /// For the namespace of the service account.
    pub(super) namespace: Option<Glob>,
    /// For `NAMESPACE:NAME` of the service account.
    pub(super) service_account: Option<Glob>,
    /// The user of a process behind a Unix socket.
    pub(super) uid: Option<u32>,
}

impl IdentityMatch {
    pub(super) fn matches(&self, identity: &Identity) -> bool {
        let one = |glob: &Option<Glob>, name: Option<&str>| {
            let is_for = |glob: &Glob| name.is_some_and(|name| glob.matches(name));
            glob.as_ref().is_none_or(is_for)
        };
        let account = identity.service_account.as_ref();
        one(&self.common_name, identity.common_name.as_deref())
            && self.organization.as_ref().is_none_or(|glob| {
                let mut organizations = identity.organizations.iter();
                organizations.any(|organization| glob.matches(organization))
            })
            && self.dns_name.as_ref().is_none_or(|glob| {
                let mut names = identity.dns_names.iter();
                names.any(|name| glob.matches(&name.trim_end_matches('.').to_ascii_lowercase()))
            })
            && self.spiffe.as_ref().is_none_or(|glob| {
                let id = identity.spiffe_id().map(canonical_spiffe_id);
                id.is_some_and(|id| glob.matches(&id))
            })
            && one(
                &self.namespace,
                account.map(|account| account.namespace.as_str()),
            )
            && self.service_account.as_ref().is_none_or(|glob| {
                let name = account.map(|account| format!("{}:{}", account.namespace, account.name));
                name.is_some_and(|name| glob.matches(&name))
            })
            && self.uid.is_none_or(|uid| {
                let unix = identity.unix.as_ref();
                unix.is_some_and(|unix| unix.user_id == uid)
            })
    }
}

/// The scheme and the trust domain don't tell case, the path does (SPIFFE-ID, section 2).
fn canonical_spiffe_id(id: &str) -> String {
    let path = id
        .match_indices('/')
        .nth(2)
        .map_or(id.len(), |(slash, _)| slash);
    let (authority, path) = id.split_at(path);
    format!("{}{path}", authority.to_ascii_lowercase())
}

/// Some agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AgentMatch {
    pub(super) identity: IdentityMatch,
    /// For what the agent calls itself, which is not proved.
    pub(super) agent_id: Option<Glob>,
    /// Labels, which are not proved either, unless claims are bound.
    pub(super) labels: Option<Selector>,
}

impl AgentMatch {
    pub(super) fn matches(&self, identity: &Identity, claimed: &AgentMetadata) -> bool {
        let id = self.agent_id.as_ref();
        let labels = self.labels.as_ref();
        self.identity.matches(identity)
            && id.is_none_or(|glob| glob.matches(&claimed.agent_id))
            && labels.is_none_or(|labels| labels.selects(&claimed.identifiers))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::identity::ServiceAccount;

    #[test]
    fn all_that_is_given_has_to_be_there() {
        let both = IdentityMatch {
            common_name: Some("a*".parse().unwrap()),
            organization: Some("blue".parse().unwrap()),
            ..IdentityMatch::default()
        };
        let mut identity = Identity {
            common_name: Some("agent".to_owned()),
            organizations: vec!["red".to_owned(), "blue".to_owned()],
            ..Identity::default()
        };
        assert!(both.matches(&identity));
        identity.organizations.pop();
        assert!(!both.matches(&identity));
        assert!(!both.matches(&Identity::default()));
    }

    #[test]
    fn a_certificate_is_no_service_account_whatever_its_name_is() {
        let account = IdentityMatch {
            service_account: Some("kube-system:*".parse().unwrap()),
            ..IdentityMatch::default()
        };
        let mut identity = Identity {
            common_name: Some("system:serviceaccount:kube-system:agent".to_owned()),
            ..Identity::default()
        };
        assert!(!account.matches(&identity));
        identity.service_account = Some(ServiceAccount {
            namespace: "kube-system".to_owned(),
            name: "agent".to_owned(),
        });
        assert!(account.matches(&identity));
    }

    #[test]
    fn spiffe_ids_are_compared_as_they_are_meant() {
        let spiffe = IdentityMatch {
            spiffe: Some("spiffe://example.org/blue/*".parse().unwrap()),
            ..IdentityMatch::default()
        };
        let of = |uri: &str| Identity {
            uris: vec![uri.to_owned()],
            ..Identity::default()
        };
        assert!(spiffe.matches(&of("SPIFFE://Example.org/blue/a")));
        assert!(!spiffe.matches(&of("spiffe://example.org/Blue/a")));
        assert!(!spiffe.matches(&of("spiffe://example.org.evil/blue/a")));
    }
}
