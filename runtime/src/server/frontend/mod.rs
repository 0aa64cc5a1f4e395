//! Frontends: who dials through the server, over gRPC or HTTP-CONNECT.

mod connect;
mod grpc;
mod hedge;
mod port;
mod socket;

use std::sync::Arc;

use dialback_core::Identity;
use dialback_core::audit::{TRACE_PARENT, TraceParent};
use dialback_core::wire::{EXTENSIONS, Extensions, SELECT_AGENT, SERVED_BY};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) use self::port::FrontendStream;
use self::socket::FrontendSocket;
use super::Server;
use super::stop::Stage;
use crate::grpc::{Call, ConnectionError, MethodName, ServerConnection};
use crate::listen::accept_loop;
use crate::metadata::{header_values, insert};
use crate::metrics::{Limit, TlsListener};
use crate::net::{Listener, PeerAddr, Socket, TcpOptions};
use crate::runtime::Runtime;
use crate::tls::{Reloadable, certified_names};

/// What a frontend listener speaks; one protocol a listener, as in the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontendMode {
    /// `ProxyService` over gRPC.
    Grpc,
    /// HTTP/1.1 CONNECT.
    HttpConnect,
}

/// Who is at the other end of a frontend's connection.
#[derive(Clone, Debug)]
pub struct Frontend {
    /// Where it comes from.
    pub peer: PeerAddr,
    /// What it has proved to be: by its certificate, or as the process at the other end of a Unix socket.
    pub identity: Arc<Identity>,
    /// What it speaks.
    pub mode: FrontendMode,
}

impl<R: Runtime> Server<R> {
    /// Accepts frontends until the server stops: over TLS when given, each connection using what it is when that
    /// comes, else in plain text (Unix sockets).
    pub async fn serve_frontends<L: Listener>(
        self: &Arc<Self>,
        listener: L,
        tls: Option<Reloadable<rustls::ServerConfig>>,
        mode: FrontendMode,
    ) {
        let mut stop = self.stop_signal();
        let accepting = accept_loop(
            &self.runtime,
            &listener,
            self.config.max_frontends,
            || self.metrics.limit_reached(Limit::Frontends),
            |socket, peer| {
                let server = Arc::clone(self);
                let tls = tls.as_ref().map(Reloadable::current);
                async move { server.serve_frontend_socket(socket, peer, tls, mode).await }
            },
        );
        tokio::select! {
            biased;
            () = stop.reached(Stage::Draining) => {}
            () = accepting => {}
        }
    }

    async fn serve_frontend_socket<S: Socket>(
        self: Arc<Self>,
        socket: S,
        peer: PeerAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        mode: FrontendMode,
    ) {
        let options = if mode == FrontendMode::Grpc {
            TcpOptions::grpc()
        } else {
            TcpOptions::default()
        };
        if let Err(error) = socket.set_tcp_options(&options) {
            tracing::debug!(%peer, %error, "socket options of a frontend's connection");
        }
        let mut identity = Identity {
            unix: socket.unix_credentials(),
            ..Identity::default()
        };
        let Some(tls) = tls else {
            let frontend = Frontend {
                peer,
                identity: Arc::new(identity),
                mode,
            };
            return self.serve_frontend(socket, frontend).await;
        };
        let deadline = self.runtime.now() + self.config.handshake_timeout;
        let accepted = self.accept_tls(TlsListener::Frontend, tls, socket, peer, deadline);
        let Some(tls) = accepted.await else { return };
        if mode == FrontendMode::Grpc && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            return tracing::warn!(%peer, "frontend did not negotiate HTTP/2 (ALPN h2)");
        }
        let unix = identity.unix;
        identity = Identity {
            unix,
            ..certified_names(tls.get_ref().1.peer_certificates())
        };
        let frontend = Frontend {
            peer,
            identity: Arc::new(identity),
            mode,
        };
        // The TLS state is big and lives as long as the connection: not on every task's stack.
        Box::pin(self.serve_frontend(tls, frontend)).await;
    }

    async fn serve_frontend<S: FrontendSocket>(self: Arc<Self>, socket: S, frontend: Frontend) {
        let frontend = Arc::new(frontend);
        let mut stop = self.stop_signal();
        let _served = self.stop.frontend();
        let serving = async {
            match frontend.mode {
                FrontendMode::HttpConnect => connect::serve(&self, socket, frontend).await,
                FrontendMode::Grpc => Box::pin(self.serve_grpc(socket, frontend)).await,
            }
        };
        tokio::select! {
            biased;
            () = serving => {}
            () = stop.reached(Stage::Cut) => {}
        }
    }

    /// What a frontend and this server both have for a Proxy call.
    fn proxy_extensions(&self, call: &Call) -> Extensions {
        if self.config.disable_extensions {
            return Extensions::NONE;
        }
        let ours = Extensions {
            half_close: true,
            ..Extensions::NONE
        };
        ours.accept(Extensions::parse(header_values(
            call.metadata(),
            EXTENSIONS,
        )))
    }

    async fn serve_grpc<T: AsyncRead + AsyncWrite + Unpin>(
        self: &Arc<Self>,
        socket: T,
        frontend: Arc<Frontend>,
    ) {
        let peer = frontend.peer;
        let mut config = crate::grpc::ServerConfig::frontends(self.config.frontend_keepalive_time);
        config.http2.max_header_list = self.config.max_grpc_metadata_bytes;
        config.any_authority = peer == PeerAddr::Unix;
        let deadline = self.runtime.now() + self.config.handshake_timeout;
        let mut connection =
            match ServerConnection::handshake(&self.runtime, socket, &config, deadline).await {
                Ok(connection) => connection,
                Err(error) => {
                    return tracing::info!(%peer, %error, "HTTP/2 connection of a frontend failed");
                }
            };
        let mut stop = self.stop_signal();
        let mut draining = false;
        loop {
            let call = tokio::select! {
                biased;
                () = stop.reached(Stage::Draining), if !draining => {
                    draining = true;
                    connection.graceful_shutdown();
                    continue;
                }
                call = connection.accept() => call,
            };
            match call {
                None => return,
                // Frontends come and go, also in the middle of things; what they do wrong is worth a word.
                Some(Err(error @ ConnectionError::Io(_))) => {
                    return tracing::debug!(%peer, %error, "connection of a frontend ended");
                }
                Some(Err(error)) => {
                    return tracing::info!(%peer, %error, "connection of a frontend ended");
                }
                Some(Ok(call)) => match call.route(&MethodName::PROXY) {
                    Err(status) => tracing::info!(%peer, %status, "call refused"),
                    Ok(call) => {
                        let (server, frontend) = (Arc::clone(self), Arc::clone(&frontend));
                        self.runtime.spawn(async move {
                            let _served = server.stop.frontend();
                            let _counted = server.metrics.call("Proxy");
                            let timeout = call.timeout();
                            let accepted = server.proxy_extensions(&call);
                            let mut headers = HeaderMap::new();
                            if !accepted.is_empty() {
                                insert(&mut headers, EXTENSIONS, &accepted.to_string());
                            }
                            let asks_for_agent = !server.config.disable_extensions
                                && call.metadata().contains_key(SERVED_BY);
                            let selector = header_values(call.metadata(), SELECT_AGENT).next();
                            let selector =
                                selector.map(|value| String::from_utf8_lossy(value).into_owned());
                            let trace = header_values(call.metadata(), TRACE_PARENT);
                            let trace = TraceParent::from_headers(trace);
                            let stream = call.accept_lazily(headers);
                            grpc::serve_proxy_stream(
                                Arc::clone(&server),
                                stream,
                                frontend,
                                timeout,
                                grpc::ProxyOptions {
                                    half_close: accepted.half_close,
                                    asks_for_agent,
                                    selector,
                                    trace,
                                },
                            )
                            .await;
                        });
                    }
                },
            }
        }
    }
}
