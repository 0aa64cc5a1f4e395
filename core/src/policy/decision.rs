//! What a policy says of a dial, and of each agent that could serve it.

use std::fmt;

use super::destination::{Destination, Holds};
use super::{Action, Effect, Policy, Rule, TenantId};
use crate::identity::Identity;
use crate::wire::AgentMetadata;

/// What a policy says of one dial.
#[derive(Clone, Debug)]
pub struct Dial<'p> {
    policy: &'p Policy,
    tenant: Option<TenantId>,
    /// The rules that are for this frontend and destination, up to the first that is for every agent.
    rules: Vec<&'p Rule>,
}

/// An agent that could serve a dial.
#[derive(Clone, Copy, Debug)]
pub struct Agent<'a> {
    /// What it has proved to be.
    pub identity: &'a Identity,
    /// What it says that it is.
    pub claimed: &'a AgentMetadata,
    /// What [`Policy::tenant_of_agent`] says of it.
    pub tenant: Option<TenantId>,
}

/// Why a policy denies something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied<'p> {
    /// This rule says so.
    Rule(&'p str),
    /// No rule is for it, and the default is to deny.
    Default,
    /// The agent belongs to another tenant.
    Tenant,
    /// The agent claims what it may not.
    Claims,
    /// This rule routes the dial to other agents.
    Route(&'p str),
}

impl Policy {
    /// What is said of a dial by `frontend` to `destination`.
    #[must_use]
    pub fn dial(&self, frontend: &Identity, destination: &Destination) -> Dial<'_> {
        let tenant = self.tenant_of_frontend(frontend);
        let mut rules = Vec::new();
        for rule in &self.rules {
            if rule.is_for(frontend, tenant, destination) {
                rules.push(rule);
                if rule.agents.is_empty() {
                    break;
                }
            }
        }
        Dial {
            policy: self,
            tenant,
            rules,
        }
    }
}

impl<'p> Dial<'p> {
    /// Why no agent may serve it, if that can be said without looking at agents.
    #[must_use]
    pub fn refusal(&self) -> Option<Denied<'p>> {
        let mut may_be_served = false;
        for rule in &self.rules {
            may_be_served |= rule.action != Action::Deny;
            if rule.agents.is_empty() {
                return (!may_be_served).then_some(Denied::Rule(&rule.name));
            }
        }
        (!may_be_served && self.policy.default == Effect::Deny).then_some(Denied::Default)
    }

    /// Whether any agent may serve it, so that none needs to be looked at.
    #[must_use]
    pub fn any_agent(&self) -> bool {
        self.policy.tenants.is_empty()
            && match self.rules.as_slice() {
                [] => self.policy.default == Effect::Allow,
                [rule, ..] => rule.agents.is_empty() && rule.action == Action::Allow,
            }
    }

    /// Whether this agent may serve it.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, agent: Agent<'_>) -> Result<(), Denied<'p>> {
        if agent.tenant != self.tenant {
            return Err(Denied::Tenant);
        }
        let mut rules = self.rules.iter();
        let rule = rules.find(|rule| rule.agents.is_empty() || any(&rule.agents, agent));
        match rule.map(|rule| (&rule.action, rule.name.as_str())) {
            Some((Action::Allow, _)) => Ok(()),
            Some((Action::Deny, name)) => Err(Denied::Rule(name)),
            Some((Action::Route(to), _)) if any(to, agent) => Ok(()),
            Some((Action::Route(_), name)) => Err(Denied::Route(name)),
            None if self.policy.default == Effect::Allow => Ok(()),
            None => Err(Denied::Default),
        }
    }

    /// The tenant that it is for.
    #[must_use]
    pub const fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    /// The rules that are for it, in their order: what each does, and whether it looks at agents. The last one decides
    /// for whoever none before is for; without one that is for every agent, the default does.
    pub fn rules(&self) -> impl Iterator<Item = (&'p str, &'static str, bool)> + '_ {
        self.rules.iter().map(|rule| {
            let action = match rule.action {
                Action::Allow => "allow",
                Action::Deny => "deny",
                Action::Route(_) => "route",
            };
            (rule.name.as_str(), action, !rule.agents.is_empty())
        })
    }
}

fn any(matches: &[super::AgentMatch], agent: Agent<'_>) -> bool {
    let mut matches = matches.iter();
    matches.any(|one| one.matches(agent.identity, agent.claimed))
}

impl Rule {
    fn is_for(&self, from: &Identity, tenant: Option<TenantId>, to: &Destination) -> bool {
        let tenant_is =
            self.tenants.is_empty() || tenant.is_some_and(|tenant| self.tenants.contains(&tenant));
        let from_is = self.from.is_empty() || self.from.iter().any(|one| one.matches(from));
        let holds = if self.to.is_empty() {
            Some(Holds::Yes)
        } else {
            self.to.iter().map(|one| one.holds(to)).max()
        };
        let least = match self.action {
            Action::Deny => Holds::Perhaps,
            Action::Allow | Action::Route(_) => Holds::Yes,
        };
        tenant_is && from_is && holds >= Some(least)
    }
}

impl fmt::Display for Denied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) => write!(f, "rule {name:?} denies it"),
            Self::Default => f.write_str("no rule allows it"),
            Self::Tenant => f.write_str("the agents that could serve it belong to other tenants"),
            Self::Claims => f.write_str("the agents that could serve it claim what they may not"),
            Self::Route(name) => {
                write!(
                    f,
                    "rule {name:?} routes it to agents that are not connected"
                )
            }
        }
    }
}
