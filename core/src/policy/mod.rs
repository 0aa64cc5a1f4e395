//! Who may reach what: rules over frontends, destinations and agents, tenants, and what agents may claim.
//!
//! A [`Policy`] is read from a file and asked once a dial, and once when an agent connects. It is pure: whoever asks does
//! what it says. An agent has rules of its own, [`DestinationRules`], which hold for the address that it connects to.
//!
//! # What can't be known
//!
//! Names are resolved at the agent, so the server does not know which address a name leads to. A rule that denies a
//! network or a port therefore also holds for every destination that may turn out to be in it: for every name, and for
//! what only resolvers understand (`0x7f.1`). A rule that allows something holds only for what certainly is in it.
//!
//! ```
//! use dialback_core::Identity;
//! use dialback_core::policy::{Destination, Policy};
//!
//! let policy = Policy::parse("
//! apiVersion: dialback/v1
//! kind: Policy
//! default: deny
//! rules:
//! - name: kubelets
//!   action: allow
//!   to: [{cidr: 10.0.0.0/8, ports: [10250]}]
//! ")?;
//! let frontend = Identity::default();
//! let refusal = |address| policy.dial(&frontend, &Destination::parse(address)).refusal();
//! assert!(refusal("10.1.2.3:10250").is_none());
//! assert_eq!(refusal("10.1.2.3:22").unwrap().to_string(), "no rule allows it");
//! # Ok::<(), dialback_core::policy::PolicyError>(())
//! ```

mod claims;
mod decision;
mod destination;
mod error;
mod glob;
mod guard;
mod network;
mod peers;
mod read;
#[cfg(test)]
mod tests;

use claims::Binding;
pub use claims::{Admitted, ClaimRefused};
pub use decision::{Agent, Denied, Dial};
pub use destination::Destination;
use destination::DestinationMatch;
pub use error::PolicyError;
pub use glob::{Glob, InvalidGlob};
pub use guard::{DestinationRules, InvalidRule, Refused};
pub use network::{InvalidNetwork, Network};
use peers::{AgentMatch, IdentityMatch};

use crate::identity::Identity;

/// What a policy file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    mode: Mode,
    default: Effect,
    tenants: Vec<Tenant>,
    bindings: Vec<Binding>,
    rules: Vec<Rule>,
}

/// What comes of a policy's decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What it denies does not happen.
    #[default]
    Enforce,
    /// All is as if there were no policy, and what would have been denied is told.
    Audit,
}

/// Names a tenant of one policy; another policy counts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(usize);

/// Frontends and agents that belong together: no dial goes from those of one tenant to those of another, nor between a
/// tenant and who belongs to none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tenant {
    name: String,
    frontends: Vec<IdentityMatch>,
    agents: Vec<IdentityMatch>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Effect {
    #[default]
    Allow,
    Deny,
}

/// One rule; whatever is empty restricts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    name: String,
    action: Action,
    from: Vec<IdentityMatch>,
    tenants: Vec<TenantId>,
    to: Vec<DestinationMatch>,
    agents: Vec<AgentMatch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Allow,
    Deny,
    /// Allow by these agents, and by no others.
    Route(Vec<AgentMatch>),
}

impl Policy {
    /// Whether decisions are enforced.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The tenant of a frontend: the first whose rules are for it.
    #[must_use]
    pub fn tenant_of_frontend(&self, frontend: &Identity) -> Option<TenantId> {
        self.tenant(|tenant| &tenant.frontends, frontend)
    }

    /// The tenant of an agent: the first whose rules are for it.
    #[must_use]
    pub fn tenant_of_agent(&self, agent: &Identity) -> Option<TenantId> {
        self.tenant(|tenant| &tenant.agents, agent)
    }

    /// As the file calls it; `None` for a tenant of another policy.
    #[must_use]
    pub fn tenant_name(&self, tenant: TenantId) -> Option<&str> {
        let tenant = self.tenants.get(tenant.0);
        tenant.map(|tenant| tenant.name.as_str())
    }

    /// Whether a tenant is called so.
    #[must_use]
    pub fn has_tenant(&self, name: &str) -> bool {
        self.tenants.iter().any(|tenant| tenant.name == name)
    }

    /// How many rules there are.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// How many tenants there are.
    #[must_use]
    pub fn tenant_count(&self) -> usize {
        self.tenants.len()
    }

    fn tenant(
        &self,
        peers: impl Fn(&Tenant) -> &Vec<IdentityMatch>,
        identity: &Identity,
    ) -> Option<TenantId> {
        let of = |tenant: &Tenant| peers(tenant).iter().any(|peer| peer.matches(identity));
        self.tenants.iter().position(of).map(TenantId)
    }
}
