//! Who a peer is, as far as it has proved it.

use std::fmt;

/// What a frontend or an agent has authenticated as: the names in its certificate, the service account of its token, the
/// credentials of its process.
///
/// A peer without any of them is anonymous. Nothing that a peer merely says of itself, an agent id for example, is here.
/// `Display` is the one short name for logs and audit records: see [`Identity::name`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The common name of the certificate's subject (RFC 5280, section 4.1.2.6).
    pub common_name: Option<String>,
    /// Its organisations, which Kubernetes takes for groups.
    pub organizations: Vec<String>,
    /// The DNS names among its subject alternative names (RFC 5280, section 4.2.1.6).
    pub dns_names: Vec<String>,
    /// The URIs among them, a SPIFFE id for example.
    pub uris: Vec<String>,
    /// The account that the peer's token belongs to.
    pub service_account: Option<ServiceAccount>,
    /// The process at the other end of a Unix socket.
    pub unix: Option<UnixCredentials>,
}

/// A Kubernetes service account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAccount {
    /// The namespace that it is in.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

/// What the system says of a process that connected to a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnixCredentials {
    /// The effective user id.
    pub user_id: u32,
    /// The effective group id.
    pub group_id: u32,
    /// The process id, where the system tells it.
    pub process_id: Option<u32>,
}

/// The name of a peer that has proved nothing.
const ANONYMOUS: &str = "anonymous";
/// What a SPIFFE id begins with (SPIFFE-ID, section 2).
const SPIFFE: &str = "spiffe://";

impl Identity {
    /// The SPIFFE id among the URIs: the only one, as X509-SVID (section 2) has it. A certificate with several has none.
    #[must_use]
    pub fn spiffe_id(&self) -> Option<&str> {
        let mut ids = self.uris.iter().filter(|uri| {
            uri.get(..SPIFFE.len())
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case(SPIFFE))
        });
        match (ids.next(), ids.next()) {
            (Some(id), None) => Some(id),
            (None | Some(_), _) => None,
        }
    }

    /// One name that stays the same whenever the peer comes: its SPIFFE id, else `system:serviceaccount:NAMESPACE:NAME`, else
    /// the common name, else the first DNS name, else `unix:uid=N`, else `anonymous`.
    ///
    /// For people and for tables, not for decisions: a certificate may bear any of these as its common name.
    #[must_use]
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// Whether the peer has proved nothing at all.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.spiffe_id() {
            f.write_str(id)
        } else if let Some(account) = &self.service_account {
            account.fmt(f)
        } else if let Some(name) = self.common_name.as_ref().or(self.dns_names.first()) {
            f.write_str(name)
        } else if let Some(unix) = &self.unix {
            unix.fmt(f)
        } else {
            f.write_str(ANONYMOUS)
        }
    }
}

/// The user name that Kubernetes gives the account.
impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl fmt::Display for UnixCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:uid={}", self.user_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_strongest_thing_that_was_proved() {
        let mut identity = Identity::default();
        assert_eq!(identity.name(), "anonymous");
        assert!(identity.is_anonymous());
        identity.unix = Some(UnixCredentials {
            user_id: 7,
            group_id: 8,
            process_id: Some(9),
        });
        assert_eq!(identity.name(), "unix:uid=7");
        identity.dns_names = vec!["a.example".to_owned(), "b.example".to_owned()];
        assert_eq!(identity.name(), "a.example");
        identity.common_name = Some("agent".to_owned());
        assert_eq!(identity.name(), "agent");
        identity.service_account = Some(ServiceAccount {
            namespace: "kube-system".to_owned(),
            name: "konnectivity-agent".to_owned(),
        });
        assert_eq!(
            identity.name(),
            "system:serviceaccount:kube-system:konnectivity-agent"
        );
        identity.uris = vec![
            "https://a.example".to_owned(),
            "SPIFFE://example.org/agent".to_owned(),
        ];
        assert_eq!(identity.name(), "SPIFFE://example.org/agent");
        assert!(!identity.is_anonymous());
    }

    #[test]
    fn two_spiffe_ids_are_none() {
        let identity = Identity {
            uris: vec!["spiffe://a/b".to_owned(), "spiffe://a/c".to_owned()],
            ..Identity::default()
        };
        assert_eq!(identity.spiffe_id(), None);
        assert_eq!(identity.name(), "anonymous");
    }
}
