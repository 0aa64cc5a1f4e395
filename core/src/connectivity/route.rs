//! What a configuration comes to: the way to the endpoints.

use std::path::PathBuf;

use super::egress::{Connection, TcpTransport, TlsConfig};
use super::error::RouteError;

/// How the connections of a service are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// From here, without a proxy server.
    Direct,
    /// Through a proxy server in http-connect mode.
    HttpConnect(ProxyAddress),
    /// Through a proxy server in grpc mode.
    Grpc(ProxyAddress),
}

/// Where a proxy server takes frontends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAddress {
    /// On a Unix socket.
    Unix(PathBuf),
    /// On TCP.
    Tcp(TcpProxy),
}

/// A proxy server that listens on TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpProxy {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `None` for a connection in the clear.
    pub tls: Option<TlsFiles>,
}

/// Files of a TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM of the CAs that may have signed the server's certificate; `None` for those of the system.
    pub ca: Option<PathBuf>,
    /// PEM of this side's certificate and of its key, if it has one.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate has to be for, if not the host.
    pub server_name: Option<String>,
}

impl Route {
    /// The route of a connection that has been validated.
    pub(super) fn of(connection: &Connection) -> Result<Self, RouteError> {
        let address = || {
            let transport = connection.transport.as_ref();
            let transport = transport.ok_or(RouteError::Transport)?;
            match (&transport.uds, &transport.tcp) {
                (Some(uds), _) => Ok(ProxyAddress::Unix(PathBuf::from(&uds.uds_name))),
                (None, Some(tcp)) => TcpProxy::of(tcp).map(ProxyAddress::Tcp),
                (None, None) => Err(RouteError::Transport),
            }
        };
        match connection.proxy_protocol.as_str() {
            "Direct" => Ok(Self::Direct),
            "HTTPConnect" => address().map(Self::HttpConnect),
            "GRPC" => address().map(Self::Grpc),
            other => Err(RouteError::Type(other.to_owned())),
        }
    }
}

impl TcpProxy {
    fn of(tcp: &TcpTransport) -> Result<Self, RouteError> {
        let proxy = Self::from_url(&tcp.url)?;
        let tls = tcp.tls_config.as_ref().map(TlsFiles::of);
        Ok(Self {
            tls: proxy.tls.and(tls),
            ..proxy
        })
    }

    /// The server at `url`, `http://host:port` or `https://host:port`; with TLS, no files are named yet.
    ///
    /// # Errors
    /// [`RouteError::Scheme`] or [`RouteError::Url`].
    pub fn from_url(url: &str) -> Result<Self, RouteError> {
        let refused = || RouteError::Url(url.to_owned());
        let (rest, tls) = if let Some(rest) = url.strip_prefix("http://") {
            (rest, None)
        } else if let Some(rest) = url.strip_prefix("https://") {
            (rest, Some(TlsFiles::default()))
        } else {
            return Err(RouteError::Scheme(url.to_owned()));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = authority.rsplit_once(':').ok_or_else(refused)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let bare = bracketed.unwrap_or(host);
        let is_odd = |c: char| {
            c.is_whitespace() || c.is_control() || "/?#@[]\\".contains(c) || !c.is_ascii()
        };
        if bare.is_empty()
            || bare.contains(is_odd)
            || bare.contains(':') != bracketed.is_some()
            || !port.bytes().all(|digit| digit.is_ascii_digit())
        {
            return Err(refused());
        }
        let port = port.parse().ok().filter(|port| *port != 0);
        Ok(Self {
            host: bare.to_owned(),
            port: port.ok_or_else(refused)?,
            tls,
        })
    }
}

impl TlsFiles {
    fn of(tls: &TlsConfig) -> Self {
        let named = |name: &String| (!name.is_empty()).then(|| PathBuf::from(name));
        Self {
            ca: named(&tls.ca_bundle),
            client: named(&tls.client_cert).zip(named(&tls.client_key)),
            server_name: Some(tls.tls_server_name.clone()).filter(|name| !name.is_empty()),
        }
    }
}
