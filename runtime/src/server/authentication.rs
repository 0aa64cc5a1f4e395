//! Agents that show a token: who asks whether it is good, and what a refused agent is told.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use dialback_core::ServiceAccount;
use dialback_core::wire::{AUTHORIZATION, Code, Status};
use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::metadata::header_values;

/// What stands before the token in `authorization`; upper and lower case matter.
const BEARER: &str = "Bearer ";

/// Decides which agents are who they say, by the token that each shows in its Connect call.
///
/// Where the answer comes from, a Kubernetes API server for example, is nothing that a proxy server knows. Every
/// call is authenticated once, when it begins (Konnectivity server, `pkg/server/server.go`, `Connect`). The call
/// waits for the future, within the time for handshakes; every other call goes on meanwhile. When the agent has
/// gone away the future is dropped.
pub trait AgentAuthenticator: fmt::Debug + Send + Sync {
    /// Finds out who holds this token.
    fn authenticate(&self, token: &BearerToken) -> Authentication;
}

/// An answer that may take its time: whose the token is, or why its holder is refused.
pub type Authentication = Pin<Box<dyn Future<Output = Result<AgentIdentity, AgentRefused>> + Send>>;

/// A token that an agent has shown. Its `Debug` form keeps it secret.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

impl BearerToken {
    /// The token itself, without `Bearer `.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Puts it into the metadata of a call, as [`from_metadata`](Self::from_metadata) reads it.
    ///
    /// # Errors
    /// It holds characters that no header can carry.
    pub(crate) fn show(&self, metadata: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
        let mut value = HeaderValue::from_str(&[BEARER, &self.0].concat())?;
        value.set_sensitive(true);
        metadata.insert(HeaderName::from_static(AUTHORIZATION), value);
        Ok(())
    }

    /// The one token in the metadata of a call.
    ///
    /// # Errors
    /// There is none, there are several, or it is of another kind; the texts are the reference's
    /// (`pkg/server/server.go`, `authenticateAgentViaToken`).
    pub(super) fn from_metadata(metadata: &HeaderMap) -> Result<Self, AgentRefused> {
        let mut values = header_values(metadata, AUTHORIZATION);
        let value = values.next().ok_or(AgentRefused::NoToken)?;
        match values.count() {
            0 => {}
            more => return Err(AgentRefused::TooManyTokens(more + 1)),
        }
        let token = value
            .strip_prefix(BEARER.as_bytes())
            .ok_or(AgentRefused::NotBearer)?;
        // gRPC allows no other bytes than ASCII there.
        let token = std::str::from_utf8(token).map_err(|_| AgentRefused::NotBearer)?;
        Ok(Self(token.to_owned()))
    }
}

impl From<&str> for BearerToken {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

/// Who an agent has proved to be: a text that is the same whenever the agent comes, and nobody else's.
///
/// Only the agent that opened a session may resume it, which is told by this and the id that it gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentIdentity {
    name: String,
    service_account: Option<ServiceAccount>,
}

impl AgentIdentity {
    /// An identity of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            service_account: None,
        }
    }

    /// The same, of an agent whose token belongs to `account`.
    #[must_use]
    pub fn with_service_account(mut self, account: ServiceAccount) -> Self {
        self.service_account = Some(account);
        self
    }

    /// The account that the agent's token belongs to, where it is known.
    #[must_use]
    pub const fn service_account(&self) -> Option<&ServiceAccount> {
        self.service_account.as_ref()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.name.as_bytes()
    }
}

impl fmt::Display for AgentIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why an authenticator refused, in its words; one answer may be told to many calls.
pub type RefusalReason = Arc<dyn Error + Send + Sync>;

/// Why an agent's call is refused. What it displays is what the agent is told, in the reference's words.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AgentRefused {
    /// The call has no `authorization`.
    #[error("Authentication context was not found in metadata")]
    NoToken,
    /// It has so many of them.
    #[error("too many ({0}) tokens are received")]
    TooManyTokens(usize),
    /// Its `authorization` is something else than a bearer token.
    #[error("received token does not have \"Bearer \" prefix")]
    NotBearer,
    /// The token is not one that lets an agent in.
    #[error("Failed to validate authentication token, err:{0}")]
    Rejected(RefusalReason),
    /// Nobody could be asked; the agent may come again.
    #[error("Failed to validate authentication token, err:{0}")]
    Unavailable(RefusalReason),
    /// There was no answer within the time for handshakes; the agent may come again.
    #[error("Failed to validate authentication token, err:no answer in time")]
    TimedOut,
}

impl AgentRefused {
    /// Every value of [`AgentRefused::label`].
    pub const LABELS: [&str; 6] = [
        "no_token",
        "too_many_tokens",
        "not_bearer",
        "rejected",
        "unavailable",
        "timed_out",
    ];

    /// The `cause` label of `dialback_agent_authentication_failures_total`.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        let [
            no_token,
            too_many,
            not_bearer,
            rejected,
            unavailable,
            timed_out,
        ] = Self::LABELS;
        match self {
            Self::NoToken => no_token,
            Self::TooManyTokens(_) => too_many,
            Self::NotBearer => not_bearer,
            Self::Rejected(_) => rejected,
            Self::Unavailable(_) => unavailable,
            Self::TimedOut => timed_out,
        }
    }

    /// The status that ends the call: always UNKNOWN, as a Go handler's plain error.
    pub(super) fn status(&self) -> Status {
        Status::new(Code::Unknown, self.to_string())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn token(values: &[&[u8]]) -> Result<BearerToken, String> {
        let mut metadata = HeaderMap::new();
        for value in values {
            metadata.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        BearerToken::from_metadata(&metadata).map_err(|refused| refused.to_string())
    }

    #[test]
    fn one_bearer_token_is_taken_as_it_is() {
        assert_eq!(token(&[b"Bearer abc"]), Ok(BearerToken::from("abc")));
        assert_eq!(token(&[b"Bearer  a b"]), Ok(BearerToken::from(" a b")));
    }

    #[test]
    fn other_metadata_is_refused_in_the_references_words() {
        let refused = |text: &str| Err(text.to_owned());
        assert_eq!(
            token(&[]),
            refused("Authentication context was not found in metadata")
        );
        assert_eq!(
            token(&[b"Bearer a", b"Bearer b"]),
            refused("too many (2) tokens are received")
        );
        let prefix = "received token does not have \"Bearer \" prefix";
        for other in [&b"bearer a"[..], b"Basic a", b"Bearer", b"Bearer \xff", b""] {
            assert_eq!(token(&[other]), refused(prefix), "{other:?}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let printed = format!("{:?}", token(&[b"Bearer abc"]).unwrap());
        assert!(!printed.contains("abc"), "{printed}");
    }

    #[test]
    fn an_authenticators_words_follow_the_references() {
        let reason: RefusalReason = Arc::new(std::io::Error::other("lookup failed: no"));
        let status = AgentRefused::Rejected(reason).status();
        assert_eq!(
            status.to_string(),
            "rpc error: code = Unknown desc = Failed to validate authentication token, err:lookup failed: no"
        );
    }
}
