//! `EgressSelectorConfiguration`, as kube-apiserver knows it.
//!
//! Source: `k8s.io/apiserver`, `pkg/apis/apiserver/v1beta1/types.go` and `conversion.go`; `v1alpha1` has the same
//! fields.

use super::error::ConfigError;
use crate::yaml::Fields;
use crate::yaml::{self, Node};

/// The file behind kube-apiserver's `--egress-selector-config-file`.
///
/// [`parse`](Self::parse) decodes, [`validate`](Self::validate) checks; kube-apiserver does one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressSelectorConfiguration {
    /// `egressSelections`: the connection for each kind of destination.
    pub egress_selections: Vec<EgressSelection>,
}

/// How one kind of destination is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressSelection {
    /// `cluster`, `controlplane` or `etcd`; `master` was read as `controlplane`.
    pub name: String,
    /// The way there.
    pub connection: Connection,
}

/// The way to a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `GRPC`, `HTTPConnect` or `Direct`.
    pub proxy_protocol: String,
    /// The proxy server; absent for `Direct`.
    pub transport: Option<Transport>,
}

/// How the proxy server is reached: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// Over TCP.
    pub tcp: Option<TcpTransport>,
    /// Over a Unix socket.
    pub uds: Option<UdsTransport>,
}

/// A proxy server that listens on TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpTransport {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// Required for `https`, forbidden for `http`.
    pub tls_config: Option<TlsConfig>,
}

/// A proxy server that listens on a Unix socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdsTransport {
    /// The socket's path.
    pub uds_name: String,
}

/// Files for mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The CA of the proxy server; empty for those of the system.
    pub ca_bundle: String,
    /// This side's key.
    pub client_key: String,
    /// This side's certificate.
    pub client_cert: String,
    /// The name that the server's certificate has to be for, if not the URL's host.
    pub tls_server_name: String,
}

impl EgressSelectorConfiguration {
    /// Reads the file's text, strictly: unknown and repeated fields are errors.
    ///
    /// # Errors
    /// [`ConfigError`]: not YAML, another kind of object, unknown fields, or fields of another type.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let document = yaml::parse(text)?;
        match super::config::Kind::of(&document)? {
            super::config::Kind::EgressSelector => Self::read(&document),
            super::config::Kind::ConnectivityService { api_version, kind } => {
                Err(ConfigError::UnknownKind { kind, api_version })
            }
        }
    }

    pub(super) fn read(document: &Node) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut fields = Fields::of(document, String::new(), &mut problems);
        fields.text("apiVersion");
        fields.text("kind");
        let egress_selections = fields.objects("egressSelections", selection);
        fields.finish();
        if problems.is_empty() {
            Ok(Self { egress_selections })
        } else {
            Err(ConfigError::Fields(problems))
        }
    }
}

fn selection(mut fields: Fields<'_>) -> EgressSelection {
    let mut name = fields.text("name");
    // Only in this spelling (conversion.go).
    if name == "master" {
        "controlplane".clone_into(&mut name);
    }
    let connection = fields.object("connection", connection).unwrap_or_default();
    fields.finish();
    EgressSelection { name, connection }
}

fn connection(mut fields: Fields<'_>) -> Connection {
    let connection = Connection {
        proxy_protocol: fields.text("proxyProtocol"),
        transport: fields.object("transport", transport),
    };
    fields.finish();
    connection
}

fn transport(mut fields: Fields<'_>) -> Transport {
    let transport = Transport {
        tcp: fields.object("tcp", tcp),
        uds: fields.object("uds", uds),
    };
    fields.finish();
    transport
}

fn tcp(mut fields: Fields<'_>) -> TcpTransport {
    let tcp = TcpTransport {
        url: fields.text("url"),
        tls_config: fields.object("tlsConfig", tls),
    };
    fields.finish();
    tcp
}

fn uds(mut fields: Fields<'_>) -> UdsTransport {
    let uds = UdsTransport {
        uds_name: fields.text("udsName"),
    };
    fields.finish();
    uds
}

fn tls(mut fields: Fields<'_>) -> TlsConfig {
    let tls = TlsConfig {
        ca_bundle: fields.text("caBundle"),
        client_key: fields.text("clientKey"),
        client_cert: fields.text("clientCert"),
        tls_server_name: fields.text("tlsServerName"),
    };
    fields.finish();
    tls
}
