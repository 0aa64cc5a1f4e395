//! An event as it is written down.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::civil::Timestamp;
use super::event::{
    AgentChange, AgentEvent, AuditedAgent, AuditedFrontend, AuditedStream, Event, StreamChange,
    StreamEvent,
};
use super::field::{Field, FieldSet};
use crate::close::{CloseReason, Initiator};
use crate::identity::Identity;
use crate::server::{DialError, retry_after_seconds};

/// The version of the schema: within it, fields are only ever added.
pub const SCHEMA: &str = "dialback.audit/v1";

/// The names, of each kind, that are written of one certificate at most, and the identifiers of an agent.
const MOST_NAMES: usize = 32;

/// An event with its time and number.
///
/// It serialises as an object of the fields that are there, those with a dot in their name in objects of their own.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When it was recorded.
    pub time: SystemTime,
    /// Its number, from 1.
    pub sequence: u64,
    /// The server that recorded it.
    pub server: &'a str,
    /// What happened.
    pub event: &'a Event,
    /// What is left out.
    pub omitted: FieldSet,
}

/// The value of a field, lent by the record. `Display` writes it as text, several ones with commas between them.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// Something that is written as a text.
    Shown(&'a dyn fmt::Display),
    /// A number that is written as a text: a reader of JSON may keep 53 bits of one.
    Id(i64),
    /// A moment: RFC 3339 in UTC, with microseconds.
    Time(SystemTime),
    /// An address. An IPv4 peer of a socket that listens for both kinds is written as what it is.
    Address(&'a SocketAddr),
    /// A count.
    Count(u64),
    /// Seconds.
    Seconds(f64),
    /// Some texts; never empty.
    Texts(&'a [String]),
}

impl<'a> Record<'a> {
    /// The fields that are there, in the order of [`Field`].
    #[must_use]
    pub fn fields(&self) -> Vec<(Field, Value<'a>)> {
        let mut fields = Fields {
            omitted: self.omitted,
            found: Vec::with_capacity(32),
        };
        fields.text(Field::Schema, SCHEMA);
        fields.add(Field::Time, Value::Time(self.time));
        fields.count(Field::Sequence, self.sequence);
        fields.text(Field::Event, self.event.kind().name());
        fields.text(Field::Server, self.server);
        match self.event {
            Event::Started { version } => fields.text(Field::Version, version),
            Event::Dropped { records } => fields.count(Field::Records, *records),
            Event::Stopped => {}
            Event::Agent(event) => fields.agent_event(event),
            Event::Stream(event) => fields.stream_event(event),
        }
        debug_assert!(
            fields.found.is_sorted_by_key(|(field, _)| *field),
            "fields of one object are neighbours"
        );
        fields.found
    }
}

/// Fields as they are found, in the order of [`Field`].
struct Fields<'a> {
    omitted: FieldSet,
    found: Vec<(Field, Value<'a>)>,
}

impl<'a> Fields<'a> {
    fn add(&mut self, field: Field, value: Value<'a>) {
        if !(field.is_optional() && self.omitted.contains(field)) {
            self.found.push((field, value));
        }
    }

    fn text(&mut self, field: Field, text: &'a str) {
        self.add(field, Value::Text(text));
    }

    fn shown(&mut self, field: Field, value: &'a dyn fmt::Display) {
        self.add(field, Value::Shown(value));
    }

    fn present(&mut self, field: Field, text: Option<&'a str>) {
        if let Some(text) = text {
            self.text(field, text);
        }
    }

    fn count(&mut self, field: Field, count: u64) {
        self.add(field, Value::Count(count));
    }

    fn id(&mut self, field: Field, id: Option<i64>) {
        if let Some(id) = id {
            self.add(field, Value::Id(id));
        }
    }

    fn seconds(&mut self, field: Field, duration: Duration) {
        self.add(field, Value::Seconds(duration.as_secs_f64()));
    }

    fn names(&mut self, field: Field, names: &'a [String]) {
        let names = names.get(..MOST_NAMES).unwrap_or(names);
        if !names.is_empty() {
            self.add(field, Value::Texts(names));
        }
    }

    fn address(&mut self, field: Field, address: Option<&'a SocketAddr>) {
        if let Some(address) = address {
            self.add(field, Value::Address(address));
        }
    }

    fn frontend(&mut self, frontend: &'a AuditedFrontend) {
        let identity: &Identity = &frontend.identity;
        self.shown(Field::FrontendName, identity);
        self.address(Field::FrontendAddress, frontend.address.as_ref());
        self.text(Field::FrontendMode, frontend.mode);
        self.present(Field::FrontendCommonName, identity.common_name.as_deref());
        self.names(Field::FrontendOrganizations, &identity.organizations);
        self.names(Field::FrontendDnsNames, &identity.dns_names);
        self.names(Field::FrontendUris, &identity.uris);
        if let Some(unix) = identity.unix {
            self.count(Field::FrontendUserId, unix.user_id.into());
            self.count(Field::FrontendGroupId, unix.group_id.into());
            if let Some(process) = unix.process_id {
                self.count(Field::FrontendProcessId, process.into());
            }
        }
    }

    fn agent(&mut self, agent: &'a AuditedAgent, identifiers: &'a [String]) {
        let identity = agent.identity.as_deref();
        self.present(Field::AgentId, agent.id.as_deref());
        if let Some(identity) = identity {
            self.shown(Field::AgentName, identity);
        }
        self.address(Field::AgentAddress, agent.address.as_ref());
        if let Some(identity) = identity {
            self.present(Field::AgentCommonName, identity.common_name.as_deref());
            self.names(Field::AgentOrganizations, &identity.organizations);
            self.names(Field::AgentDnsNames, &identity.dns_names);
            self.names(Field::AgentUris, &identity.uris);
            if let Some(account) = &identity.service_account {
                self.shown(Field::AgentServiceAccount, account);
            }
        }
        self.names(Field::AgentIdentifiers, identifiers);
        if let Some(tunnel) = agent.tunnel {
            self.count(Field::AgentTunnel, tunnel.0);
        }
    }

    fn agent_event(&mut self, event: &'a AgentEvent) {
        self.present(Field::Tenant, event.tenant.as_deref());
        self.agent(&event.agent, &event.identifiers);
        match &event.change {
            AgentChange::Connected | AgentChange::Suspended | AgentChange::Resumed => {}
            AgentChange::Lost(reason) => self.end(reason),
            AgentChange::Refused { reason, message } => {
                self.text(Field::EndedBy, Initiator::Server.name());
                self.text(Field::Reason, reason);
                self.text(Field::Message, message);
            }
        }
    }

    fn stream_event(&mut self, event: &'a StreamEvent) {
        let AuditedStream {
            number,
            frontend,
            tenant,
            destination,
            selector,
            frontend_dial,
            trace,
            would_deny,
            agent,
            dial,
            connect_id,
            dialled,
        } = &*event.stream;
        self.count(Field::Stream, *number);
        self.frontend(frontend);
        self.present(Field::Tenant, tenant.as_deref());
        self.text(Field::Destination, destination);
        self.address(Field::AddressDialled, dialled.as_ref());
        self.present(Field::Selector, selector.as_deref());
        self.id(Field::DialId, dial.map(|dial| dial.0));
        self.id(Field::DialFrontendId, frontend_dial.map(|dial| dial.0));
        self.id(Field::DialConnectId, connect_id.map(|id| id.value()));
        if let Some(trace) = trace {
            self.shown(Field::TraceId, trace.trace_id());
            self.shown(Field::TraceParentId, trace.parent_id());
        }
        self.agent(agent, &[]);
        self.present(Field::WouldDeny, would_deny.as_deref());
        match &event.change {
            StreamChange::Opened { took } => self.seconds(Field::DialSeconds, *took),
            StreamChange::Failed { error, took } => {
                self.failure(error.as_ref());
                self.seconds(Field::DialSeconds, *took);
            }
            StreamChange::Closed {
                reason,
                lived,
                bytes_to_endpoint,
                bytes_to_frontend,
            } => {
                self.end(reason);
                self.seconds(Field::DurationSeconds, *lived);
                self.count(Field::BytesToEndpoint, *bytes_to_endpoint);
                self.count(Field::BytesToFrontend, *bytes_to_frontend);
            }
        }
    }

    fn failure(&mut self, error: Option<&'a DialError>) {
        let Some(error) = error else {
            self.text(Field::EndedBy, Initiator::Frontend.name());
            self.text(Field::Reason, "frontend_close");
            return self.text(Field::Message, "the frontend gave the dial up");
        };
        self.text(Field::EndedBy, error.initiator().name());
        self.text(Field::Reason, error.failure().label());
        self.shown(Field::Message, error);
        if let DialError::Throttled { retry_after, .. } = error {
            self.count(Field::RetryAfterSeconds, retry_after_seconds(*retry_after));
        }
    }

    fn end(&mut self, reason: &'a CloseReason) {
        self.text(Field::EndedBy, reason.initiator().name());
        self.text(Field::Reason, reason.label());
        self.shown(Field::Message, reason);
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields();
        let mut map = serializer.serialize_map(None)?;
        // The fields of one object are neighbours.
        for fields in fields.chunk_by(|(one, _), (other, _)| {
            one.group().0.is_some() && one.group().0 == other.group().0
        }) {
            match fields {
                [(field, value)] if field.group().0.is_none() => {
                    map.serialize_entry(field.path(), value)?;
                }
                [(first, _), ..] => {
                    map.serialize_entry(first.group().0.unwrap_or_default(), &Group(fields))?;
                }
                [] => {}
            }
        }
        map.end()
    }
}

/// The fields of one object.
struct Group<'a>(&'a [(Field, Value<'a>)]);

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.0.iter();
        serializer.collect_map(members.map(|(field, value)| (field.group().1, value)))
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Shown(_) | Self::Id(_) | Self::Time(_) | Self::Address(_) => {
                serializer.collect_str(self)
            }
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Seconds(seconds) => serializer.serialize_f64(*seconds),
            Self::Texts(texts) => serializer.collect_seq(*texts),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Shown(value) => value.fmt(f),
            Self::Id(id) => id.fmt(f),
            Self::Time(time) => Timestamp(*time).fmt(f),
            Self::Address(address) => {
                SocketAddr::new(address.ip().to_canonical(), address.port()).fmt(f)
            }
            Self::Count(count) => count.fmt(f),
            Self::Seconds(seconds) => seconds.fmt(f),
            Self::Texts(texts) => f.write_str(&texts.join(",")),
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({self})")
    }
}
