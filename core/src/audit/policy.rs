//! Which events are recorded, and with which fields.

use std::borrow::Cow;

use super::event::{AgentEvent, Event, EventKind};
use super::field::{Field, FieldSet};
use crate::policy::Glob;
use crate::yaml::{self, Fields, Listed, Problem, YamlError};

const KIND: &str = "AuditPolicy";
/// Each event is held against all of them, at worst.
const MOST_RULES: usize = 256;

/// Which events are recorded, and with which fields: the first rule that is for an event decides. What no rule is for is
/// recorded as a whole; so the default records everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPolicy {
    rules: Vec<Rule>,
}

/// A file that is no audit policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditPolicyError {
    /// The file is no YAML, or too much of it.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// Fields that don't belong there or make no sense: all of them.
    #[error("{}", Listed(.0))]
    Fields(Vec<Problem>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// By [`EventKind`].
    events: [bool; EventKind::ALL.len()],
    /// Empty for all, here and below.
    frontends: Vec<Glob>,
    tenants: Vec<Glob>,
    agents: Vec<Glob>,
    destinations: Vec<Glob>,
    record: bool,
    omit: FieldSet,
}

impl AuditPolicy {
    /// Reads an audit policy file.
    ///
    /// # Errors
    /// [`AuditPolicyError`], with the lines and the paths of all fields that are unknown or make no sense.
    pub fn parse(text: &str) -> Result<Self, AuditPolicyError> {
        let document = yaml::parse(text)?;
        let mut problems = Vec::new();
        let mut fields = Fields::of(&document, String::new(), &mut problems);
        fields.is_to_be(KIND);
        let rules = fields.objects("rules", rule);
        if rules.len() > MOST_RULES {
            fields.refuse("rules", format!("are more than {MOST_RULES}"));
        }
        fields.finish();
        if problems.is_empty() {
            Ok(Self { rules })
        } else {
            Err(AuditPolicyError::Fields(problems))
        }
    }

    /// What is left out of the record of an event; `None` where it is not recorded.
    #[must_use]
    pub fn omitted(&self, event: &Event) -> Option<FieldSet> {
        if event.kind().is_of_audit() {
            return Some(FieldSet::EMPTY);
        }
        let mut rules = self.rules.iter();
        match rules.find(|rule| rule.is_for(event)) {
            Some(rule) => rule.record.then_some(rule.omit),
            None => Some(FieldSet::EMPTY),
        }
    }
}

impl Rule {
    fn is_for(&self, event: &Event) -> bool {
        if !self.events[event.kind() as usize] {
            return false;
        }
        let (frontend, tenant, agent, destination) = match event {
            Event::Stream(event) => {
                let stream = &event.stream;
                let frontend = named(&self.frontends, || stream.frontend.identity.name().into());
                let destination = named(&self.destinations, || (&stream.destination).into());
                (frontend, &stream.tenant, &stream.agent, destination)
            }
            Event::Agent(event) => {
                let AgentEvent { tenant, agent, .. } = &**event;
                let none = self.frontends.is_empty();
                (none, tenant, agent, self.destinations.is_empty())
            }
            Event::Started { .. } | Event::Dropped { .. } | Event::Stopped => return false,
        };
        let of_tenant = named(&self.tenants, || {
            tenant.as_deref().unwrap_or_default().into()
        });
        let of_agent = named(&self.agents, || {
            agent.id.as_deref().unwrap_or_default().into()
        });
        frontend && of_tenant && of_agent && destination
    }
}

/// Whether one of the patterns is for the name, or there is none.
fn named<'a>(patterns: &[Glob], name: impl FnOnce() -> Cow<'a, str>) -> bool {
    if patterns.is_empty() {
        return true;
    }
    let name = name();
    patterns.iter().any(|pattern| pattern.matches(&name))
}

fn rule(mut fields: Fields<'_>) -> Rule {
    let mut events = [false; EventKind::ALL.len()];
    let named = fields.has("events");
    for kinds in fields.values("events", kinds) {
        for kind in kinds {
            events[kind as usize] = true;
        }
    }
    if !named {
        events.fill(true);
    }
    let mut globs = |name: &str| fields.values(name, str::parse::<Glob>);
    let (frontends, tenants) = (globs("frontends"), globs("tenants"));
    let (agents, destinations) = (globs("agents"), globs("destinations"));
    let record = fields.value("record", |text| match text {
        "all" => Ok(true),
        "none" => Ok(false),
        other => Err(format!("{other:?} is to be all or none")),
    });
    let record = record.unwrap_or(true);
    let omit: FieldSet = fields
        .values("omit", omitted)
        .into_iter()
        .flatten()
        .collect();
    if !record && omit != FieldSet::EMPTY {
        fields.refuse("omit", "there is nothing to leave out where record is none");
    }
    fields.finish();
    Rule {
        events,
        frontends,
        tenants,
        agents,
        destinations,
        record,
        omit,
    }
}

/// The events that a pattern such as `stream.*` is for.
fn kinds(text: &str) -> Result<Vec<EventKind>, String> {
    let pattern: Glob = text.parse().map_err(|error| format!("{error}"))?;
    let of_peers = EventKind::ALL
        .into_iter()
        .filter(|kind| !kind.is_of_audit());
    let kinds: Vec<_> = of_peers
        .filter(|kind| pattern.matches(kind.name()))
        .collect();
    if kinds.is_empty() {
        return Err(format!("{text:?} is no event of agents or streams"));
    }
    Ok(kinds)
}

/// The fields that a name is for: one, or those of an object.
fn omitted(text: &str) -> Result<Vec<Field>, String> {
    let is_named = |field: &Field| field.path() == text || field.group().0 == Some(text);
    let fields: Vec<_> = Field::ALL.iter().copied().filter(is_named).collect();
    match fields.iter().find(|field| !field.is_optional()) {
        Some(field) => Err(format!("{field} is in every record")),
        None if fields.is_empty() => Err(format!("{text:?} is no field of a record")),
        None => Ok(fields),
    }
}
