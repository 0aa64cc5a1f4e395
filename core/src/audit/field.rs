//! The fields of a record.

use std::fmt;

/// Makes the enum, its names and the list of all from one table.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $name:ident = $path:literal,)+) => {
        /// A field of a record, in the order in which they are written. A dot in its name stands for an object around it.
        ///
        /// The names are part of the schema: none is ever changed or given another meaning; others may come.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Field {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name, such as `frontend.name`.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)+
                }
            }
        }
    };
}

fields! {
    /// Which version of the schema the record is of.
    Schema = "schema",
    /// When it was recorded, as RFC 3339 has it, in UTC, with microseconds.
    Time = "time",
    /// The number of the record since the server started, from 1. Where one is missing, it was dropped.
    Sequence = "sequence",
    /// What happened.
    Event = "event",
    /// Which server has recorded it, as `--server-id` names it.
    Server = "server",
    /// The number of the stream since the server started: the records of one stream have the same.
    Stream = "stream",
    /// What the frontend is called: see [`Identity::name`](crate::Identity::name).
    FrontendName = "frontend.name",
    /// Where its connection comes from; absent for a Unix socket.
    FrontendAddress = "frontend.address",
    /// What it speaks: `grpc` or `http-connect`.
    FrontendMode = "frontend.mode",
    /// The common name of its certificate.
    FrontendCommonName = "frontend.commonName",
    /// The organisations of its certificate.
    FrontendOrganizations = "frontend.organizations",
    /// The DNS names of its certificate.
    FrontendDnsNames = "frontend.dnsNames",
    /// The URIs of its certificate.
    FrontendUris = "frontend.uris",
    /// The user that its process runs as.
    FrontendUserId = "frontend.userId",
    /// The group that its process runs as.
    FrontendGroupId = "frontend.groupId",
    /// Its process.
    FrontendProcessId = "frontend.processId",
    /// The tenant that the stream, or the agent, belongs to.
    Tenant = "tenant",
    /// What the frontend asked for: `host:port`.
    Destination = "destination",
    /// The address that the agent connected to, where it tells.
    AddressDialled = "addressDialled",
    /// The labels that the frontend asked of the agent.
    Selector = "selector",
    /// The dial's id between the server and the agent.
    DialId = "dial.id",
    /// The dial's id between a gRPC frontend and the server.
    DialFrontendId = "dial.frontendId",
    /// The stream's connection id.
    DialConnectId = "dial.connectId",
    /// The trace that the frontend's request belongs to.
    TraceId = "trace.id",
    /// What in that trace has sent the request.
    TraceParentId = "trace.parentId",
    /// What the agent calls itself.
    AgentId = "agent.id",
    /// What it is called by what it has proved.
    AgentName = "agent.name",
    /// Where its connection comes from.
    AgentAddress = "agent.address",
    /// The common name of its certificate.
    AgentCommonName = "agent.commonName",
    /// The organisations of its certificate.
    AgentOrganizations = "agent.organizations",
    /// The DNS names of its certificate.
    AgentDnsNames = "agent.dnsNames",
    /// The URIs of its certificate.
    AgentUris = "agent.uris",
    /// The service account of its token.
    AgentServiceAccount = "agent.serviceAccount",
    /// The identifiers that it claims.
    AgentIdentifiers = "agent.identifiers",
    /// The number of its tunnel since the server started.
    AgentTunnel = "agent.tunnel",
    /// What a policy in mode audit would have denied, and why.
    WouldDeny = "wouldDeny",
    /// Who ended it: `frontend`, `server`, `agent` or `endpoint`.
    EndedBy = "endedBy",
    /// Why, in a word that stays the same.
    Reason = "reason",
    /// Why, in words for people, which may change.
    Message = "message",
    /// After how many seconds another attempt may have a chance.
    RetryAfterSeconds = "retryAfterSeconds",
    /// From the frontend's request to the answer.
    DialSeconds = "dialSeconds",
    /// From the answer to the end.
    DurationSeconds = "durationSeconds",
    /// Payload that was taken from the frontend for the endpoint.
    BytesToEndpoint = "bytes.toEndpoint",
    /// Payload that was given to the frontend from the endpoint.
    BytesToFrontend = "bytes.toFrontend",
    /// How many records were dropped, since there was no room for them.
    Records = "records",
    /// The version of Dialback.
    Version = "version",
}

impl Field {
    /// Whether a policy may leave it out.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        !matches!(
            self,
            Self::Schema | Self::Time | Self::Sequence | Self::Event | Self::Server
        )
    }

    /// The object that it is in, and its name there.
    #[must_use]
    pub const fn group(self) -> (Option<&'static str>, &'static str) {
        GROUPS[self as usize]
    }
}

/// [`Field::group`] of each, worked out once: it is asked for several times a record and field.
const GROUPS: [(Option<&str>, &str); Field::ALL.len()] = {
    let mut groups = [(None, ""); Field::ALL.len()];
    let mut at = 0;
    while at < groups.len() {
        groups[at] = split(Field::ALL[at].path());
        at += 1;
    }
    groups
};

/// A path before and behind its dot.
const fn split(path: &'static str) -> (Option<&'static str>, &'static str) {
    let mut at = 0;
    while at < path.len() {
        if path.as_bytes()[at] == b'.' {
            let (group, name) = path.split_at(at);
            return (Some(group), name.split_at(1).1);
        }
        at += 1;
    }
    (None, path)
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// Some fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u64);

const _: () = assert!(Field::ALL.len() <= 64, "a set has 64 bits");

impl FieldSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);

    /// Adds one.
    pub const fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u64;
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn contains(self, field: Field) -> bool {
        self.0 & (1 << field as u64) != 0
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        let mut set = Self::EMPTY;
        for field in fields {
            set.insert(field);
        }
        set
    }
}
