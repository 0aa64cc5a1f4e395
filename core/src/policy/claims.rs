//! What agents may say of themselves.

use std::net::IpAddr;

use thiserror::Error;

use super::Policy;
use super::glob::Glob;
use super::network::Network;
use super::peers::IdentityMatch;
use crate::identity::Identity;
use crate::wire::AgentMetadata;

/// What some agents may claim: nothing but this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) name: String,
    /// Whose claims these are; empty for everybody's.
    pub(super) agents: Vec<IdentityMatch>,
    /// Agent ids; empty for all.
    pub(super) agent_ids: Vec<Glob>,
    /// Names, in lower case.
    pub(super) hosts: Vec<Glob>,
    /// Addresses and networks.
    pub(super) networks: Vec<Network>,
    /// Labels, as agents write them: `zone:a`.
    pub(super) labels: Vec<Glob>,
    pub(super) default_route: bool,
    /// Whether an agent that claims more is refused, instead of having the rest dropped.
    pub(super) refuse: bool,
}

/// An agent that may serve, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What it says of itself, without what it may not claim.
    pub metadata: AgentMetadata,
    /// What it may not claim, as it says it, such as `host=a.example`.
    pub dropped: Vec<String>,
}

/// An agent that claims what it may not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("claims {binding:?} do not allow {claim}")]
pub struct ClaimRefused {
    binding: String,
    claim: String,
}

impl Policy {
    /// What of its claims an agent may keep.
    ///
    /// # Errors
    /// [`ClaimRefused`] when it may not serve at all. An agent id can't be dropped: one that is not allowed is refused.
    pub fn admit(
        &self,
        identity: &Identity,
        claimed: &AgentMetadata,
    ) -> Result<Admitted, ClaimRefused> {
        let binding = self.bindings.iter().find(|binding| {
            binding.agents.is_empty() || binding.agents.iter().any(|one| one.matches(identity))
        });
        let mut metadata = claimed.clone();
        let mut dropped = Vec::new();
        let Some(binding) = binding else {
            return Ok(Admitted { metadata, dropped });
        };
        let refused = |claim: String| ClaimRefused {
            binding: binding.name.clone(),
            claim,
        };
        let id = &claimed.agent_id;
        if !binding.agent_ids.is_empty() && !binding.agent_ids.iter().any(|glob| glob.matches(id)) {
            return Err(refused(format!("the agent id {id:?}")));
        }
        let identifiers = &mut metadata.identifiers;
        for (key, values) in [
            ("ipv4", &mut identifiers.ipv4),
            ("ipv6", &mut identifiers.ipv6),
            ("host", &mut identifiers.host),
            ("cidr", &mut identifiers.cidr),
        ] {
            values.retain(|value| {
                let allowed = binding.allows(value);
                if !allowed {
                    dropped.push(format!("{key}={value}"));
                }
                allowed
            });
        }
        identifiers.label.retain(|label| {
            let allowed = binding.labels.iter().any(|glob| glob.matches(label));
            if !allowed {
                dropped.push(format!("label={label}"));
            }
            allowed
        });
        if identifiers.default_route && !binding.default_route {
            identifiers.default_route = false;
            dropped.push("default-route=true".to_owned());
        }
        match dropped.first() {
            Some(claim) if binding.refuse => Err(refused(claim.clone())),
            Some(_) | None => Ok(Admitted { metadata, dropped }),
        }
    }
}

impl Binding {
    /// Strategies take a value for an address, or a network, wherever it reads as one, whatever its key is.
    fn allows(&self, value: &str) -> bool {
        let network = match value.parse::<IpAddr>() {
            Ok(address) => Some(Network::from(address)),
            Err(_) => value.parse::<Network>().ok(),
        };
        match network {
            Some(network) => self.networks.iter().any(|own| own.covers(&network)),
            None => {
                let name = value.to_ascii_lowercase();
                let name = name.trim_end_matches('.');
                self.hosts.iter().any(|glob| glob.matches(name))
            }
        }
    }
}
