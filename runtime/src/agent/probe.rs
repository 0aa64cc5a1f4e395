//! Asking a proxy server whether it would let an agent in, without becoming one.
//!
//! No dial that matters may be given to a probe:
//!
//! - The call carries [`PROBE`]. A Dialback server then answers as it would an agent, and ends the call; the probe is never a
//!   candidate for a dial.
//! - A Konnectivity server does not know the header and takes the probe for an agent, so the call is already over when it
//!   arrives: behind the request headers, in the same segment, come `DRAIN` and the end of the stream. The server finds both
//!   when it first reads from its new agent and takes it out again (Konnectivity server, `pkg/server/server.go`,
//!   `readBackendToChannel`), whatever the time a packet takes to it.
//! - In the instant between, a fifth of a millisecond in Konnectivity v0.36, the probe has no identifiers, so that only the
//!   strategy `default` could choose it, and then with the odds of one agent among all. Such a dial is lost as one to any agent
//!   that goes.

use std::time::{Duration, Instant};

use dialback_core::MuxConfig;
use dialback_core::wire::{
    AGENT_ID, AUTHORIZATION, EXTENSIONS, Extensions, Frame, PROBE, Packet, SERVER_COUNT, SERVER_ID,
    ServerMetadata, ServerMetadataError,
};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::grpc::{ClientConfig, ClientConnection, ConnectionError, MethodName, NoAnswer, Target};
use crate::metadata::{header_values, set};
use crate::runtime::Runtime;
use crate::server::BearerToken;
use crate::timer::timeout_at;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What the server logs; not the id of an agent.
    pub agent_id: String,
    /// The token of an agent.
    pub token: Option<BearerToken>,
}

/// What a server tells agents that it lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// Its id.
    pub server_id: String,
    /// How many servers there are, in its view.
    pub server_count: i64,
    /// What it has beyond Konnectivity.
    pub extensions: Extensions,
    /// Whether it knows what a probe is, as every Dialback server does.
    pub knows_probes: bool,
}

/// Why there is no [`ProbeAnswer`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// Its id or token can't be sent.
    #[error("{0} can't be sent in a header")]
    Header(&'static str),
    /// There is no HTTP/2 connection to be had.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The server refused, or went away.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// What answered is no proxy server.
    #[error(transparent)]
    Metadata(#[from] ServerMetadataError),
    /// The server said nothing.
    #[error("no answer in time")]
    TimedOut,
}

impl Probe {
    /// Asks the server `target` over `io`, a fresh connection on which nothing was sent but TLS, until `deadline`.
    ///
    /// The server has forgotten the probe when this returns an answer, unless time ran out before it said so.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub async fn ask<R, T>(
        &self,
        runtime: &R,
        io: T,
        target: Target,
        deadline: Instant,
    ) -> Result<ProbeAnswer, ProbeError>
    where
        R: Runtime,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let metadata = self.metadata()?;
        let config = ClientConfig::agent(NO_PINGS);
        let (mut caller, mut connection) =
            ClientConnection::handshake(runtime, io, target, &config, deadline).await?;
        let mut stream = caller
            .call(&MethodName::CONNECT, metadata, None)
            .map_err(NoAnswer::from)?;
        // A stream that is refused takes neither, and its status tells more.
        let _ = stream.send(Frame::from(Packet::Drain));
        stream.half_close();
        let answered = timeout_at(runtime, deadline, connection.response_headers(&mut stream));
        let headers = answered.await.map_err(|_| ProbeError::TimedOut)??;
        let server = ServerMetadata::parse(
            header_values(&headers, SERVER_ID),
            header_values(&headers, SERVER_COUNT),
        )?;
        let ended = async {
            tokio::select! {
                // What a server sends to an agent that has ended means nothing.
                () = async { while let Some(Ok(_)) = stream.recv().await {} } => {}
                _ = connection.closed() => {}
            }
        };
        // The answer is known: a server that does not end the call sees the connection close.
        let _ = timeout_at(runtime, deadline, ended).await;
        Ok(ProbeAnswer {
            server_id: server.server_id,
            server_count: server.server_count,
            extensions: Extensions::parse(header_values(&headers, EXTENSIONS)),
            knows_probes: headers.contains_key(PROBE),
        })
    }

    fn metadata(&self) -> Result<HeaderMap, ProbeError> {
        let mut metadata = HeaderMap::new();
        let offer = Extensions::all(MuxConfig::default().receive_window_bytes);
        for (name, value) in [
            (PROBE, "1"),
            (AGENT_ID, &self.agent_id),
            (EXTENSIONS, &offer.to_string()),
        ] {
            set(&mut metadata, name, value).map_err(|_| ProbeError::Header(name))?;
        }
        if let Some(token) = &self.token {
            token
                .show(&mut metadata)
                .map_err(|_| ProbeError::Header(AUTHORIZATION))?;
        }
        Ok(metadata)
    }
}

/// A probe is over before a PING would be due.
const NO_PINGS: Duration = Duration::from_secs(3600);
