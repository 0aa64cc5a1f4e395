//! The metadata of a Connect call: who the agent is, which server answers.
//!
//! Values come as plain bytes, since HTTP is the driver's. Their size is bounded by the header list that the
//! driver accepts.

use super::identifiers::Identifiers;
use super::query::QueryError;
use super::status::{Code, Status};

/// Request header: the agent's id, exactly one.
pub const AGENT_ID: &str = "agentid";
/// Request header: what the agent can reach, at most one; see [`Identifiers`].
pub const AGENT_IDENTIFIERS: &str = "agentidentifiers";
/// Request header: `Bearer ` and a service account token, where agents are authenticated by token.
pub const AUTHORIZATION: &str = "authorization";
/// Initial response header: the server's id, exactly one.
pub const SERVER_ID: &str = "serverid";
/// Initial response header: how many servers the agent should find, a decimal integer.
pub const SERVER_COUNT: &str = "servercount";

/// Request header of a Proxy call or a CONNECT request, with any value: the frontend wants to know which agent serves
/// it. Response header: the id of that agent. No Konnectivity peer sends or heeds it.
pub const SERVED_BY: &str = "dialback-agent";

/// By this header, or metadata, a frontend asks for an agent with these labels, `zone=a,disk=fast`; see
/// [`Selector`](crate::server::Selector).
pub const SELECT_AGENT: &str = "dialback-select";

/// Request header of a Connect call, with any value: this is no agent, but somebody who asks whether one would be let
/// in. Response header: the server knows, and answers without taking the caller for an agent. No Konnectivity peer
/// sends or heeds it.
pub const PROBE: &str = "dialback-probe";

/// What an agent says about itself when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentMetadata {
    /// Any text, also the empty one; several connections may share it.
    pub agent_id: String,
    /// What the agent can reach.
    pub identifiers: Identifiers,
}

/// Why the metadata of a Connect request is refused, in the reference's words
/// (Konnectivity server, `pkg/server/server.go`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentMetadataError {
    /// None or several values of `agentid`.
    #[error("expected one agent ID in the context, got {}", go_list(.0))]
    AgentIds(Vec<String>),
    /// Several values of `agentidentifiers`.
    #[error("expected at most one set of agent identifiers in the context, got {}", go_list(.0))]
    IdentifierSets(Vec<String>),
    /// The identifiers are no query string.
    #[error("fail to parse url encoded string: {0}")]
    Identifiers(#[from] QueryError),
}

impl AgentMetadataError {
    /// The status that ends the call.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::new(Code::Unknown, self.to_string())
    }
}

impl AgentMetadata {
    /// Reads all values of `agentid` and of `agentidentifiers` in a Connect request.
    ///
    /// Bytes that are not UTF-8, which gRPC allows in no such value, become U+FFFD.
    ///
    /// # Errors
    ///
    /// When there is not exactly one id, when there is more than one set of identifiers, or when those do not
    /// parse.
    pub fn parse<V: AsRef<[u8]>>(
        agent_ids: impl IntoIterator<Item = V>,
        identifiers: impl IntoIterator<Item = V>,
    ) -> Result<Self, AgentMetadataError> {
        let agent_id = exactly_one(texts(agent_ids)).map_err(AgentMetadataError::AgentIds)?;
        let mut sets = identifiers.into_iter();
        let identifiers = match (sets.next(), sets.next()) {
            (None, _) => Identifiers::default(),
            (Some(set), None) => Identifiers::parse(set.as_ref())?,
            (Some(first), Some(second)) => {
                let all = [first, second].into_iter().chain(sets);
                return Err(AgentMetadataError::IdentifierSets(texts(all)));
            }
        };
        Ok(Self {
            agent_id,
            identifiers,
        })
    }
}

/// What a server says about itself in the initial headers of a Connect response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMetadata {
    /// Names one server instance; any text.
    pub server_id: String,
    /// How many servers there are, in this one's view; not checked, so zero and less are possible.
    pub server_count: i64,
}

/// Why a Connect response is not one of a server, in the reference's words
/// (Konnectivity agent, `pkg/agent/client.go`).
///
/// The first is also what every rejection looks like to a Go agent, since it carries no headers: look at the
/// status first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerMetadataError {
    /// None or several values of `serverid`.
    #[error("expected one server ID in the context, got {}", go_list(.0))]
    ServerIds(Vec<String>),
    /// None or several values of `servercount`; how many.
    #[error("expected one server count, got {0}")]
    ServerCounts(usize),
    /// `servercount` is no decimal integer.
    #[error("strconv.Atoi: parsing \"{0}\": invalid syntax")]
    CountSyntax(String),
    /// `servercount` does not fit 64 bits.
    #[error("strconv.Atoi: parsing \"{0}\": value out of range")]
    CountRange(String),
}

impl ServerMetadata {
    /// Reads all values of `serverid` and of `servercount` in the initial headers of a Connect response.
    ///
    /// # Errors
    ///
    /// When there is not exactly one of each, or when the count is no integer.
    pub fn parse<V: AsRef<[u8]>>(
        server_ids: impl IntoIterator<Item = V>,
        server_counts: impl IntoIterator<Item = V>,
    ) -> Result<Self, ServerMetadataError> {
        let server_id = exactly_one(texts(server_ids)).map_err(ServerMetadataError::ServerIds)?;
        let count = exactly_one(texts(server_counts))
            .map_err(|all| ServerMetadataError::ServerCounts(all.len()))?;
        Ok(Self {
            server_id,
            server_count: atoi(count)?,
        })
    }
}

/// Go's `strconv.Atoi`: an optional sign and decimal digits.
fn atoi(text: String) -> Result<i64, ServerMetadataError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ServerMetadataError::CountSyntax(text));
    }
    text.parse()
        .map_err(|_| ServerMetadataError::CountRange(text))
}

fn texts<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Vec<String> {
    values
        .into_iter()
        .map(|value| String::from_utf8_lossy(value.as_ref()).into_owned())
        .collect()
}

/// The only value, or all of them.
fn exactly_one(mut values: Vec<String>) -> Result<String, Vec<String>> {
    match values.pop() {
        Some(only) if values.is_empty() => Ok(only),
        Some(last) => {
            values.push(last);
            Err(values)
        }
        None => Err(values),
    }
}

/// A list as Go's `%v` prints it: `[a b]`.
fn go_list(values: &[String]) -> String {
    format!("[{}]", values.join(" "))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn agent(ids: &[&str], identifiers: &[&str]) -> Result<AgentMetadata, String> {
        AgentMetadata::parse(ids, identifiers).map_err(|error| error.status().to_string())
    }

    #[test]
    fn an_agent_has_one_id_and_at_most_one_set_of_identifiers() {
        let metadata = agent(&["node-7"], &["host=a"]).unwrap();
        assert_eq!(metadata.agent_id, "node-7");
        assert_eq!(metadata.identifiers.host, ["a"]);
        assert_eq!(agent(&[""], &[]), Ok(AgentMetadata::default()));
        assert_eq!(agent(&[""], &[""]), Ok(AgentMetadata::default()));
    }

    #[test]
    fn faulty_agent_metadata_is_refused_in_the_reference_words() {
        let unknown = |text: &str| Err(format!("rpc error: code = Unknown desc = {text}"));
        assert_eq!(
            agent(&[], &[]),
            unknown("expected one agent ID in the context, got []")
        );
        assert_eq!(
            agent(&["a", "b"], &[]),
            unknown("expected one agent ID in the context, got [a b]")
        );
        assert_eq!(
            agent(&["a"], &["host=a", "host=b"]),
            unknown(
                "expected at most one set of agent identifiers in the context, got [host=a host=b]"
            )
        );
        assert_eq!(
            agent(&["a"], &["host=a;b"]),
            unknown("fail to parse url encoded string: invalid semicolon separator in query")
        );
    }

    fn server(ids: &[&str], counts: &[&str]) -> Result<ServerMetadata, String> {
        ServerMetadata::parse(ids, counts).map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_has_one_id_and_one_count() {
        let count = |text| server(&["s"], &[text]).map(|server| server.server_count);
        assert_eq!(count("3"), Ok(3));
        assert_eq!(count("+3"), Ok(3));
        assert_eq!(count("-1"), Ok(-1));
        assert_eq!(count("007"), Ok(7));
        assert_eq!(server(&["s"], &["0"]).unwrap().server_id, "s");
    }

    #[test]
    fn faulty_server_metadata_is_refused_in_the_reference_words() {
        let error = |ids: &[&str], counts: &[&str]| server(ids, counts).unwrap_err();
        assert_eq!(
            error(&[], &["1"]),
            "expected one server ID in the context, got []"
        );
        assert_eq!(
            error(&["a", "b"], &["1"]),
            "expected one server ID in the context, got [a b]"
        );
        assert_eq!(error(&["a"], &[]), "expected one server count, got 0");
        assert_eq!(
            error(&["a"], &["1", "2"]),
            "expected one server count, got 2"
        );
        for bad in ["", "+", "1 ", "0x1", "1_0", "three"] {
            assert_eq!(
                error(&["a"], &[bad]),
                format!("strconv.Atoi: parsing \"{bad}\": invalid syntax")
            );
        }
        assert_eq!(
            error(&["a"], &["9223372036854775808"]),
            "strconv.Atoi: parsing \"9223372036854775808\": value out of range"
        );
    }
}
