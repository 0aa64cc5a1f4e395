//! The policy file: YAML to typed rules, all that is wrong told at once.

use std::ops::RangeInclusive;

use super::claims::Binding;
use super::destination::{DestinationMatch, Hosts};
use super::error::PolicyError;
use super::glob::Glob;
use super::peers::{AgentMatch, IdentityMatch};
use super::{Action, Effect, Mode, Policy, Rule, Tenant, TenantId};
use crate::yaml::{self, Fields};

const KIND: &str = "Policy";

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`], with the lines and the paths of all fields that are unknown or make no sense.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document = yaml::parse(text)?;
        let mut problems = Vec::new();
        let mut fields = Fields::of(&document, String::new(), &mut problems);
        fields.is_to_be(KIND);
        let mode = fields.value("mode", mode).unwrap_or_default();
        let default = fields.value("default", effect).unwrap_or_default();
        let tenants = fields.objects("tenants", tenant);
        let names: Vec<&str> = tenants.iter().map(|tenant| tenant.name.as_str()).collect();
        let bindings = fields.objects("claims", binding);
        let rules = fields.objects("rules", |fields| rule(fields, &names));
        unique(&mut fields, "tenants", &names);
        let rule_names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        unique(&mut fields, "rules", &rule_names);
        fields.finish();
        if !problems.is_empty() {
            return Err(PolicyError::Fields(problems));
        }
        Ok(Self {
            mode,
            default,
            tenants,
            bindings,
            rules,
        })
    }
}

/// What is told of things has to tell them apart.
fn unique(fields: &mut Fields<'_>, list: &str, names: &[&str]) {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        if let [one, other] = pair
            && one == other
            && !one.is_empty()
        {
            fields.refuse(list, format!("the name {one:?} is given twice"));
        }
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "enforce" => Ok(Mode::Enforce),
        "audit" => Ok(Mode::Audit),
        other => Err(format!("{other:?} is to be enforce or audit")),
    }
}

fn effect(text: &str) -> Result<Effect, String> {
    match text {
        "allow" => Ok(Effect::Allow),
        "deny" => Ok(Effect::Deny),
        other => Err(format!("{other:?} is to be allow or deny")),
    }
}

fn name(fields: &mut Fields<'_>) -> String {
    let name = fields.text("name");
    if name.is_empty() {
        fields.refuse("name", "is needed");
    }
    name
}

fn tenant(mut fields: Fields<'_>) -> Tenant {
    let tenant = Tenant {
        name: name(&mut fields),
        frontends: fields.objects("frontends", identity),
        agents: fields.objects("agents", identity),
    };
    fields.finish();
    tenant
}

fn rule(mut fields: Fields<'_>, tenants: &[&str]) -> Rule {
    let name = name(&mut fields);
    let is_given = fields.has("action");
    let action = fields.value("action", |text| match text {
        "allow" | "deny" | "route" => Ok(text.to_owned()),
        other => Err(format!("{other:?} is to be allow, deny or route")),
    });
    if !is_given {
        fields.refuse("action", "is to be allow, deny or route");
    }
    // A list that is there and empty would be for everybody, where its author may have meant nobody.
    for list in ["from", "tenants", "to", "agents"] {
        if fields.is_empty_list(list) {
            fields.refuse(list, "names nothing: leave it out to restrict nothing");
        }
    }
    let is_route = action.as_deref() == Some("route");
    let via = fields.objects("via", agent);
    if is_route && via.is_empty() {
        fields.refuse("via", "is needed to route");
    } else if !is_route && !via.is_empty() {
        fields.refuse("via", "is for the action route alone");
    }
    let action = match action.as_deref() {
        Some("allow") => Action::Allow,
        Some("route") => Action::Route(via),
        Some(_) | None => Action::Deny,
    };
    let known = |text: &str| {
        let found = tenants.iter().position(|tenant| *tenant == text);
        found
            .map(TenantId)
            .ok_or_else(|| format!("there is no tenant {text:?}"))
    };
    let rule = Rule {
        name,
        action,
        from: fields.objects("from", identity),
        tenants: fields.values("tenants", known),
        to: fields.objects("to", destination),
        agents: fields.objects("agents", agent),
    };
    fields.finish();
    rule
}

fn identity(mut fields: Fields<'_>) -> IdentityMatch {
    let one = identity_fields(&mut fields);
    if one == IdentityMatch::default() {
        fields.refuse("", "says nothing of who is meant");
    }
    fields.finish();
    one
}

fn agent(mut fields: Fields<'_>) -> AgentMatch {
    let one = AgentMatch {
        identity: identity_fields(&mut fields),
        agent_id: fields.value("agentID", str::parse),
        labels: fields.value("labels", str::parse),
    };
    if one == AgentMatch::default() {
        fields.refuse("", "says nothing of which agents are meant");
    }
    fields.finish();
    one
}

fn identity_fields(fields: &mut Fields<'_>) -> IdentityMatch {
    IdentityMatch {
        common_name: fields.value("commonName", str::parse),
        organization: fields.value("organization", str::parse),
        dns_name: fields.value("dnsName", |text| {
            text.parse().map(|glob: Glob| glob.to_lowercase())
        }),
        spiffe: fields.value("spiffe", spiffe),
        namespace: fields.value("namespace", str::parse),
        service_account: fields.value("serviceAccount", |text| {
            if text.contains(':') {
                text.parse::<Glob>().map_err(|error| error.to_string())
            } else {
                Err(format!("{text:?} is to be NAMESPACE:NAME"))
            }
        }),
        uid: fields.value("uid", |text| {
            text.parse().map_err(|_| format!("{text:?} is no user id"))
        }),
    }
}

fn spiffe(text: &str) -> Result<Glob, String> {
    let (scheme, rest) = text.split_at_checked(9).unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("spiffe://") {
        return Err(format!("{text:?} is to begin with spiffe://"));
    }
    let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // A star in it would go on into paths that anybody may choose.
    if domain.contains('*') && !path.is_empty() {
        return Err(format!("{text:?} has a star in its trust domain"));
    }
    let glob = format!("spiffe://{}{path}", domain.to_ascii_lowercase());
    glob.parse()
        .map_err(|error: super::InvalidGlob| error.to_string())
}

fn destination(mut fields: Fields<'_>) -> DestinationMatch {
    let named = fields.value("host", host_pattern);
    let network = fields.value("cidr", str::parse);
    let ports = fields.values("ports", port_range);
    let hosts = match (named, network) {
        (Some(_), Some(_)) => {
            fields.refuse("", "has both a host and a cidr: make two entries of them");
            Hosts::All
        }
        (Some(glob), None) => Hosts::Named(glob),
        (None, Some(network)) => Hosts::In(network),
        (None, None) => Hosts::All,
    };
    if hosts == Hosts::All && ports.is_empty() {
        fields.refuse("", "says nothing of which destinations are meant");
    }
    fields.finish();
    DestinationMatch { hosts, ports }
}

fn binding(mut fields: Fields<'_>) -> Binding {
    if fields.is_empty_list("agents") {
        fields.refuse("agents", "names nothing: leave it out for all agents");
    }
    let binding = Binding {
        name: name(&mut fields),
        agents: fields.objects("agents", identity),
        agent_ids: fields.values("agentIDs", str::parse),
        hosts: fields.values("hosts", host_pattern),
        networks: fields.values("cidrs", str::parse),
        labels: fields.values("labels", str::parse),
        default_route: fields.value("defaultRoute", effect) == Some(Effect::Allow),
        refuse: fields.value("otherwise", |text| match text {
            "drop" => Ok(false),
            "refuse" => Ok(true),
            other => Err(format!("{other:?} is to be drop or refuse")),
        }) == Some(true),
    };
    fields.finish();
    binding
}

/// A pattern for names, in lower case.
pub(super) fn host_pattern(text: &str) -> Result<Glob, String> {
    let glob: Glob = text
        .parse()
        .map_err(|error: super::InvalidGlob| error.to_string())?;
    let is_usual = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'*');
    let last = text.trim_end_matches('.').rsplit('.').next();
    let last = last.unwrap_or_default();
    let is_number =
        last.starts_with(|c: char| c.is_ascii_digit()) && last.bytes().all(|c| c.is_ascii_digit());
    let looks_like_address = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|c| !c.is_ascii_alphabetic() && c != b'-');
    if !text.bytes().all(is_usual) || last.is_empty() || is_number || looks_like_address {
        return Err(format!(
            "{text:?} is no pattern for names; for addresses there are networks such as 10.0.0.0/8"
        ));
    }
    let trimmed: Glob = glob
        .as_str()
        .trim_end_matches('.')
        .parse()
        .map_err(|error: super::InvalidGlob| error.to_string())?;
    Ok(trimmed.to_lowercase())
}

/// A port, or a first and a last one.
pub(super) fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| {
        let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_number)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!(
            "{text:?} is no port, nor a range of ports such as 8000-8080"
        )),
    }
}
