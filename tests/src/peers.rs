//! Agents and servers that tests play by hand, to misbehave as no real one would.

use std::net::SocketAddr;

use bytes::Bytes;
use dialback_core::{ConnectId, DialId, Packet};
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::call::{CONNECT, Call, Connection, Driver, End};
use crate::pki::Pki;
use crate::wait::within;

/// TLS to a server, as an agent has it.
pub async fn agent_tls(
    pki: &Pki,
    server: SocketAddr,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let socket = TcpStream::connect(server).await.unwrap();
    TlsConnector::from(pki.client(&["h2"]))
        .connect(ServerName::try_from("localhost").unwrap(), socket)
        .await
        .unwrap()
}

/// An agent's certificate, to come with again.
pub struct AgentTls(TlsConnector);

impl AgentTls {
    #[must_use]
    pub fn new(pki: &Pki) -> Self {
        Self(TlsConnector::from(pki.client(&["h2"])))
    }
}

/// An agent that does what the test says. Dropped, its connection is cut.
pub struct PlayedAgent {
    pub connection: Connection,
    pub call: Call,
    /// What the server knows it by, for its log.
    pub address: SocketAddr,
}

impl PlayedAgent {
    /// Connects and is accepted. Plain Konnectivity.
    pub async fn connect(pki: &Pki, server: SocketAddr, agent_id: &str) -> Self {
        Self::connect_with(pki, server, &[("agentid", agent_id)])
            .await
            .unwrap()
    }

    /// Connects with any metadata.
    ///
    /// # Errors
    /// How the server refused.
    pub async fn connect_with(
        pki: &Pki,
        server: SocketAddr,
        metadata: &[(&'static str, &str)],
    ) -> Result<Self, End> {
        let tls = agent_tls(pki, server).await;
        let address = tls.get_ref().0.local_addr().unwrap();
        let mut connection = Connection::start(tls).await;
        let mut call = connection.call(CONNECT, metadata).await;
        call.receiver.headers().await?;
        Ok(Self {
            connection,
            call,
            address,
        })
    }

    /// Connects as the owner of a certificate, with these extensions and offers to resume.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn offer(
        identity: &AgentTls,
        server: SocketAddr,
        extensions: &str,
        offers: &[&str],
    ) -> Self {
        let socket = TcpStream::connect(server).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = identity.0.connect(name, socket).await.unwrap();
        let address = tls.get_ref().0.local_addr().unwrap();
        let mut connection = Connection::start(tls).await;
        let mut metadata = vec![("agentid", "owner"), ("dialback-extensions", extensions)];
        metadata.extend(offers.iter().map(|offer| ("dialback-resume", *offer)));
        let mut call = connection.call(CONNECT, &metadata).await;
        call.receiver.headers().await.unwrap();
        Self {
            connection,
            call,
            address,
        }
    }

    /// The id and the token of the session that the server granted.
    pub async fn session(&mut self) -> (String, String) {
        let value = self.header("dialback-session").await.unwrap();
        let field = |key: &str| {
            let mut fields = value.split(';').filter_map(|field| field.split_once('='));
            let (_, value) = fields.find(|(name, _)| *name == key).unwrap();
            value.to_owned()
        };
        (field("id"), field("token"))
    }

    /// The server's word that it goes on with a session.
    pub async fn resumed(&mut self) -> Option<String> {
        self.header("dialback-resume").await
    }

    async fn header(&mut self, name: &str) -> Option<String> {
        let headers = self.call.receiver.headers().await.unwrap();
        let value = headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    /// The next packet, which must be a dial.
    pub async fn next_dial(&mut self) -> DialId {
        match self.call.recv().await.unwrap() {
            Packet::DialRequest { dial, .. } => dial,
            other => panic!("not a dial: {other:?}"),
        }
    }

    /// Takes the next dial and answers that it succeeded.
    pub async fn accept_dial(&mut self, connect_id: i64) -> ConnectId {
        let dial = self.next_dial().await;
        let connect_id = ConnectId::new(connect_id).unwrap();
        self.call
            .send(Packet::dial_succeeded(dial, connect_id))
            .await;
        connect_id
    }
}

/// A server that does what the test says with the agents that connect to it.
pub struct PlayedServer {
    pub address: SocketAddr,
    listener: TcpListener,
    tls: TlsAcceptor,
}

/// An agent's connection at a [`PlayedServer`]. Dropped, it is cut.
pub struct PlayedLink {
    pub call: Call,
    /// The metadata of the agent's request.
    pub metadata: HeaderMap,
    _driver: Driver,
}

impl PlayedServer {
    pub async fn start(pki: &Pki) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            listener,
            tls: TlsAcceptor::from(pki.server(&["h2"])),
        }
    }

    /// The next agent's socket.
    pub async fn accept_tcp(&self) -> TcpStream {
        within("an agent connects", self.listener.accept())
            .await
            .unwrap()
            .0
    }

    /// The next agent's connection once TLS stands.
    pub async fn accept_tls(&self) -> tokio_rustls::server::TlsStream<TcpStream> {
        let socket = self.accept_tcp().await;
        within("TLS", self.tls.accept(socket)).await.unwrap()
    }

    /// The next agent's call, not answered yet.
    pub async fn accept_call(&self) -> (Request<h2::RecvStream>, SendResponse<Bytes>, Driver) {
        let tls = self.accept_tls().await;
        let mut connection = h2::server::Builder::new()
            .initial_window_size(1 << 20)
            .handshake(tls)
            .await
            .unwrap();
        let (request, respond) = within("a call", connection.accept())
            .await
            .unwrap()
            .unwrap();
        let driver =
            Driver::new(async move { while let Some(Ok(_)) = connection.accept().await {} });
        (request, respond, driver)
    }

    /// The next agent, accepted as by a plain Konnectivity server named `server_id`, one of `count`.
    pub async fn accept(&self, server_id: &str, count: &str) -> PlayedLink {
        let (request, mut respond, driver) = self.accept_call().await;
        let (head, body) = request.into_parts();
        let response = Response::builder()
            .header("content-type", "application/grpc")
            .header("serverid", server_id)
            .header("servercount", count)
            .body(())
            .unwrap();
        let send = respond.send_response(response, false).unwrap();
        PlayedLink {
            call: Call::accepted(send, body),
            metadata: head.headers,
            _driver: driver,
        }
    }

    /// The next agent, refused with a status before any header (trailers-only).
    pub async fn refuse(&self, code: &str, message: &str) -> Driver {
        let (_, mut respond, driver) = self.accept_call().await;
        let response = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", code)
            .header("grpc-message", message)
            .body(())
            .unwrap();
        respond.send_response(response, true).unwrap();
        driver
    }
}
