//! What a policy says, in the words of the test, and the same as a file.

use std::fmt::Write as _;
use std::net::IpAddr;

use dialback_core::policy::Policy;
use dialback_simulation::cast::{Names, SERVER_NAME};
use fastrand::Rng;

pub(super) const ENDPOINTS: usize = 2;
/// Who has a certificate is of one of these.
pub(super) const ORGANIZATIONS: [&str; 2] = ["blue", "red"];
const TENANTS: [&str; 2] = ["one", "two"];

/// Names a tenant.
type Tenant = usize;

/// A policy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Model {
    tenants: Option<Tenants>,
    denied: [Option<Whom>; ENDPOINTS],
    claims: Option<Claims>,
    audits: bool,
}

/// Whose frontends and agents belong to whom, by the index of their organisation.
#[derive(Clone, Copy, Debug)]
struct Tenants {
    frontends: [Option<Tenant>; 2],
    agents: [Option<Tenant>; 2],
    /// Known by their SPIFFE ids instead of their organisations.
    by_spiffe_id: bool,
}

/// Who may not dial an endpoint.
#[derive(Clone, Copy, Debug)]
enum Whom {
    Everybody,
    Organization(&'static str),
    Tenant(Tenant),
}

/// Agents have ids that begin with the name of their organisation, and nobody claims an endpoint but those of `owner`.
#[derive(Clone, Copy, Debug)]
struct Claims {
    owner: Option<&'static str>,
    /// Whoever claims more is refused.
    refuses: bool,
}

/// An agent, as far as policies look at it.
#[derive(Clone, Debug)]
pub(super) struct AgentFacts {
    /// What it has proved to be.
    pub(super) names: Option<Names>,
    /// What it calls itself.
    pub(super) id: String,
    /// Whether it says that endpoint 0 is its own.
    pub(super) claims: bool,
}

/// A frontend, by its certificate if it has one.
pub(super) type FrontendFacts = Option<Names>;

impl Model {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let tenants = (rng.u8(..4) > 0).then(|| Tenants::random(rng));
        let denied = [2, 4].map(|seldom| {
            let whom = match rng.u8(..3) {
                0 => Whom::Everybody,
                1 if tenants.is_some() => Whom::Tenant(rng.usize(..TENANTS.len())),
                _ => Whom::Organization(ORGANIZATIONS[rng.usize(..2)]),
            };
            (rng.u8(..seldom) == 0).then_some(whom)
        });
        let claims = rng.bool().then(|| Claims {
            owner: [None, Some("blue"), Some("blue"), Some("red")][rng.usize(..4)],
            refuses: rng.u8(..3) == 0,
        });
        Self {
            tenants,
            denied,
            claims,
            audits: rng.u8(..8) == 0,
        }
    }

    /// As a file, where the endpoints are at these addresses.
    pub(super) fn policy(&self, endpoints: [IpAddr; ENDPOINTS]) -> Policy {
        let mode = if self.audits { "audit" } else { "enforce" };
        let mut text = format!("apiVersion: dialback/v1\nkind: Policy\nmode: {mode}\n");
        if let Some(tenants) = &self.tenants {
            text.push_str("tenants:\n");
            for (tenant, name) in TENANTS.iter().enumerate() {
                writeln!(text, "- name: {name}").unwrap();
                for (peers, whose) in [("frontends", tenants.frontends), ("agents", tenants.agents)]
                {
                    let of = |(organization, whose)| {
                        (whose == Some(tenant)).then(|| tenants.identity(organization))
                    };
                    let members: Vec<_> = ORGANIZATIONS
                        .into_iter()
                        .zip(whose)
                        .filter_map(of)
                        .collect();
                    writeln!(text, "  {peers}: [{}]", members.join(", ")).unwrap();
                }
            }
        }
        if let Some(Claims { owner, refuses }) = self.claims {
            let otherwise = if refuses { "refuse" } else { "drop" };
            text.push_str("claims:\n");
            for organization in ORGANIZATIONS {
                writeln!(text, "- name: {organization}").unwrap();
                writeln!(text, "  agents: [{{organization: {organization}}}]").unwrap();
                writeln!(text, "  agentIDs: [{organization}-*]").unwrap();
                writeln!(text, "  otherwise: {otherwise}").unwrap();
                if owner == Some(organization) {
                    writeln!(text, "  cidrs: [\"{}\"]", endpoints[0]).unwrap();
                }
            }
            writeln!(text, "- {{name: others, otherwise: {otherwise}}}").unwrap();
        }
        text.push_str("rules:\n- {name: other, action: deny, to: [{ports: [9]}]}\n");
        for (index, address) in endpoints.into_iter().enumerate() {
            let whom = match self.denied[index] {
                None => continue,
                Some(Whom::Everybody) => String::new(),
                Some(Whom::Organization(name)) => format!(", from: [{{organization: {name}}}]"),
                Some(Whom::Tenant(tenant)) => format!(", tenants: [{}]", TENANTS[tenant]),
            };
            let to = format!("to: [{{cidr: \"{address}\"}}]");
            writeln!(text, "- {{name: no-{index}, action: deny, {to}{whom}}}").unwrap();
        }
        Policy::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// Whether a frontend may dial an endpoint, if there is an agent for it.
    pub(super) fn allows(&self, frontend: FrontendFacts, endpoint: usize) -> bool {
        let denied = match self.denied[endpoint] {
            None => false,
            Some(Whom::Everybody) => true,
            Some(Whom::Organization(name)) => frontend.is_some_and(|of| of.organization == name),
            Some(Whom::Tenant(tenant)) => self.tenant_of_frontend(frontend) == Some(tenant),
        };
        self.audits || !denied
    }

    /// Whether an agent is let in.
    pub(super) fn admits(&self, agent: &AgentFacts) -> bool {
        let refused = self.claims.is_some_and(|Claims { refuses, .. }| {
            let own = agent.names.is_none_or(|names| {
                let id = agent.id.strip_prefix(names.organization);
                id.is_some_and(|rest| rest.starts_with('-'))
            });
            !own || refuses && agent.claims && !self.owns(agent)
        });
        self.audits || !refused
    }

    /// Whether an agent, which is let in, gets the dials to endpoint 0 before others.
    pub(super) fn prefers(&self, agent: &AgentFacts) -> bool {
        agent.claims && (self.audits || self.claims.is_none() || self.owns(agent))
    }

    fn owns(&self, agent: &AgentFacts) -> bool {
        let owner = self.claims.and_then(|claims| claims.owner);
        owner.is_some() && owner == agent.names.map(|names| names.organization)
    }

    /// Whether bytes may go from the one to the other.
    pub(super) fn joins(&self, frontend: FrontendFacts, agent: &AgentFacts) -> bool {
        let theirs = self.tenant_of_agent(agent.names);
        self.audits || self.admits(agent) && self.tenant_of_frontend(frontend) == theirs
    }

    fn tenant_of_frontend(&self, frontend: FrontendFacts) -> Option<Tenant> {
        let tenants = self.tenants.as_ref()?;
        tenants.frontends[organization(frontend)?]
    }

    fn tenant_of_agent(&self, agent: Option<Names>) -> Option<Tenant> {
        let tenants = self.tenants.as_ref()?;
        tenants.agents[organization(agent)?]
    }
}

impl Tenants {
    fn random(rng: &mut Rng) -> Self {
        let by_spiffe_id = rng.bool();
        if rng.bool() {
            let each = [Some(0), Some(1)];
            return Self {
                frontends: each,
                agents: each,
                by_spiffe_id,
            };
        }
        let mut any = || [None, Some(0), Some(1)][rng.usize(..3)];
        Self {
            frontends: [any(), any()],
            agents: [any(), any()],
            by_spiffe_id,
        }
    }

    fn identity(&self, organization: &str) -> String {
        if self.by_spiffe_id {
            format!("{{spiffe: \"spiffe://{SERVER_NAME}/{organization}/*\"}}")
        } else {
            format!("{{organization: {organization}}}")
        }
    }
}

fn organization(names: Option<Names>) -> Option<usize> {
    let mut organizations = ORGANIZATIONS.iter();
    organizations.position(|one| names.is_some_and(|names| names.organization == *one))
}
