//! One attempt to connect to a server: TCP, TLS, HTTP/2, the Connect call, its response headers.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use dialback_core::agent::fleet::ServerHello;
use dialback_core::wire::{
    AGENT_ID, AGENT_IDENTIFIERS, EXTENSIONS, Extensions, NO_SESSION, RESUME, ResumeAnswer,
    ResumeOffer, SERVER_COUNT, SERVER_ID, SESSION, ServerMetadata, ServerMetadataError,
    SessionGrant,
};
use dialback_core::{LinkId, Negotiated};
use http::HeaderMap;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Agent;
use super::token::read_token;
use crate::dial::{ProxyDialError, dial_server};
use crate::grpc::{
    Caller, ClientConfig, ClientConnection, ConnectionError, MessageStream, MethodName, NoAnswer,
};
use crate::metadata::{append_secret, header_values, set};
use crate::net::{Socket, TcpOptions};
use crate::runtime::Runtime;

/// A Connect stream that the server has accepted.
pub(super) struct Established<R: Runtime> {
    /// Where it leads: the host's position, and the address unless an HTTP proxy hides it.
    pub(super) host: usize,
    pub(super) address: Option<SocketAddr>,
    pub(super) hello: ServerHello,
    /// The tunnel that goes on over it; else it is the start of one.
    pub(super) resumed: Option<Resumed>,
    /// How the tunnel can be resumed from now on.
    pub(super) session: Option<SessionGrant>,
    pub(super) negotiated: Negotiated,
    pub(super) caller: Caller,
    pub(super) connection: ClientConnection<R, TlsStream<R::TcpStream>>,
    pub(super) stream: MessageStream,
}

/// A server goes on with one of our sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resumed {
    pub(super) link: LinkId,
    /// Packets that the server took.
    pub(super) received: u64,
    /// Packets that it was told we took, and goes on behind.
    pub(super) offered: u64,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error("service account token {path}: {error}")]
    Token { path: PathBuf, error: io::Error },
    #[error("{name} {value:?} can't be sent in a header")]
    Header { name: &'static str, value: String },
    #[error("{0}")]
    Dial(Box<ProxyDialError>),
    #[error("TLS handshake: {0}")]
    Tls(#[source] io::Error),
    #[error("server did not negotiate HTTP/2 (ALPN)")]
    Alpn,
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    Metadata(#[from] ServerMetadataError),
}

impl<R: Runtime> Agent<R> {
    /// Connects to one of the servers at a host, which is known by its position.
    pub(super) async fn connect(&self, host: usize) -> Result<Established<R>, AttemptError> {
        let config = &self.config;
        let server = &self.servers[host];
        let offers = self.resume_offers();
        let metadata = self.request_metadata(&offers)?;
        let deadline = self.runtime.now() + config.fleet.attempt_timeout;
        let (address, socket) = dial_server(
            &self.runtime,
            &config.proxy,
            &server.host,
            config.server_port,
            |addresses| self.targets().order(host, addresses),
        )
        .await
        .map_err(|error| AttemptError::Dial(Box::new(error)))?;
        if let Err(error) = socket.set_tcp_options(&TcpOptions::grpc()) {
            tracing::debug!(%error, "socket options of a connection to a server");
        }
        let connector = TlsConnector::from(config.tls.current());
        let tls = connector
            .connect(server.name.clone(), socket)
            .await
            .map_err(AttemptError::Tls)?;
        if tls.get_ref().1.alpn_protocol().is_none() {
            return Err(AttemptError::Alpn);
        }
        let client = ClientConfig::agent(config.keepalive_time);
        let (mut caller, mut connection) = ClientConnection::handshake(
            &self.runtime,
            tls,
            server.target.clone(),
            &client,
            deadline,
        )
        .await?;
        let mut stream = caller
            .call(&MethodName::CONNECT, metadata, None)
            .map_err(NoAnswer::from)?;
        let headers = connection.response_headers(&mut stream).await?;
        let server = ServerMetadata::parse(
            header_values(&headers, SERVER_ID),
            header_values(&headers, SERVER_COUNT),
        )?;
        let accepted = Extensions::parse(header_values(&headers, EXTENSIONS));
        let resumed = header_values(&headers, RESUME)
            .find_map(ResumeAnswer::parse)
            .and_then(|answer| {
                let (link, offer) = offers.iter().find(|(_, offer)| offer.id == answer.id)?;
                Some(Resumed {
                    link: *link,
                    received: answer.received,
                    offered: offer.received,
                })
            });
        let negotiated = Negotiated::new(self.extensions(), accepted);
        let session = header_values(&headers, SESSION)
            .find_map(SessionGrant::parse)
            .filter(|_| negotiated.resume || resumed.is_some());
        Ok(Established {
            host,
            address,
            hello: ServerHello {
                server_id: server.server_id,
                server_count: server.server_count,
            },
            resumed,
            // A session that nobody told the way into cannot be resumed.
            negotiated: Negotiated {
                resume: negotiated.resume && session.is_some(),
                ..negotiated
            },
            session,
            caller,
            connection,
            stream,
        })
    }

    /// What this agent has beyond plain Konnectivity.
    fn extensions(&self) -> Extensions {
        let config = &self.config;
        if config.disable_extensions {
            return Extensions::NONE;
        }
        Extensions {
            resume: !config.link.session.timeout.is_zero(),
            ..Extensions::all(config.link.mux.receive_window_bytes)
        }
    }

    fn request_metadata(
        &self,
        offers: &[(LinkId, ResumeOffer)],
    ) -> Result<HeaderMap, AttemptError> {
        let config = &self.config;
        let mut metadata = HeaderMap::new();
        put(&mut metadata, AGENT_ID, &config.agent_id)?;
        put(&mut metadata, AGENT_IDENTIFIERS, &config.identifiers)?;
        let extensions = self.extensions();
        if !extensions.is_empty() {
            put(&mut metadata, EXTENSIONS, &extensions.to_string())?;
        }
        if extensions.resume && !self.holds_sessions() {
            put(&mut metadata, RESUME, NO_SESSION)?;
        }
        for (_, offer) in offers {
            append_secret(&mut metadata, RESUME, &offer.to_string());
        }
        if let Some(path) = &config.token_path {
            let token = read_token(path).map_err(|error| AttemptError::Token {
                path: path.clone(),
                error,
            })?;
            token.show(&mut metadata).map_err(|_| AttemptError::Token {
                path: path.clone(),
                error: io::Error::new(
                    io::ErrorKind::InvalidData,
                    "holds characters that no token has",
                ),
            })?;
        }
        Ok(metadata)
    }
}

fn put(metadata: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), AttemptError> {
    set(metadata, name, value).map_err(|_| AttemptError::Header {
        name,
        value: value.to_owned(),
    })
}
