//! `ConnectivityServiceConfiguration`, the format of the original design, with gRPC over TCP added.

use std::path::PathBuf;

use super::config::Service;
use super::error::{ConfigError, RouteError};
use super::route::{ProxyAddress, Route, TcpProxy, TlsFiles};
use crate::yaml::Fields;
use crate::yaml::Node;

/// Reads the services of a document of that kind.
pub(super) fn read(
    document: &Node,
    exists: &dyn Fn(&str) -> bool,
) -> Result<Vec<Service>, ConfigError> {
    let mut problems = Vec::new();
    let mut fields = Fields::of(document, String::new(), &mut problems);
    fields.text("apiVersion");
    fields.text("kind");
    let listed = fields.objects("connectionServices", listed);
    fields.finish();
    if !problems.is_empty() {
        return Err(ConfigError::Fields(problems));
    }
    let mut services: Vec<Service> = Vec::with_capacity(listed.len());
    for (at, Listed { name, connection }) in listed.into_iter().enumerate() {
        if name.is_empty() {
            return Err(ConfigError::UnnamedService(at));
        }
        let name = super::config::canonical(&name);
        if services.iter().any(|service| service.name == name) {
            return Err(ConfigError::DuplicateService(name));
        }
        match connection.route(exists) {
            Ok(route) => services.push(Service { name, route }),
            Err(error) => return Err(ConfigError::Route { name, error }),
        }
    }
    Ok(services)
}

struct Listed {
    name: String,
    connection: Described,
}

#[derive(Default)]
struct Described {
    kind: String,
    http_connect: Option<Block>,
    grpc: Option<Block>,
}

struct Block {
    url: String,
    uds_name: String,
    ca: String,
    client_cert: String,
    client_key: String,
    server_name: String,
}

fn listed(mut fields: Fields<'_>) -> Listed {
    let listed = Listed {
        name: fields.text("name"),
        connection: fields.object("connection", described).unwrap_or_default(),
    };
    fields.finish();
    listed
}

fn described(mut fields: Fields<'_>) -> Described {
    let described = Described {
        kind: fields.text("type"),
        http_connect: fields.object("httpConnect", block),
        grpc: fields.object("grpc", block),
    };
    fields.finish();
    described
}

fn block(mut fields: Fields<'_>) -> Block {
    let block = Block {
        url: fields.text("url"),
        uds_name: fields.text("udsName"),
        ca: fields.text_under(&["caBundle", "caFile"]),
        client_cert: fields.text_under(&["clientCert", "clientCertFile"]),
        client_key: fields.text_under(&["clientKey", "clientKeyFile"]),
        server_name: fields.text("tlsServerName"),
    };
    fields.finish();
    block
}

impl Described {
    fn route(self, exists: &dyn Fn(&str) -> bool) -> Result<Route, RouteError> {
        match (self.kind.as_str(), self.http_connect, self.grpc) {
            ("direct", None, None) => Ok(Route::Direct),
            ("http-connect", Some(block), None) => block.address(exists).map(Route::HttpConnect),
            ("grpc", None, Some(block)) => block.address(exists).map(Route::Grpc),
            ("direct", ..) => Err(RouteError::Block("direct")),
            ("http-connect", ..) => Err(RouteError::Block("http-connect")),
            ("grpc", ..) => Err(RouteError::Block("grpc")),
            (other, ..) => Err(RouteError::Type(other.to_owned())),
        }
    }
}

impl Block {
    fn address(self, exists: &dyn Fn(&str) -> bool) -> Result<ProxyAddress, RouteError> {
        let files = [&self.ca, &self.client_cert, &self.client_key];
        let has_tls = !self.server_name.is_empty() || files.iter().any(|file| !file.is_empty());
        match (self.url.is_empty(), self.uds_name.is_empty()) {
            (true, false) if has_tls => Err(RouteError::TlsWithoutHttps),
            (true, false) => Ok(ProxyAddress::Unix(PathBuf::from(self.uds_name))),
            (false, true) => {
                let proxy = TcpProxy::from_url(&self.url)?;
                if proxy.tls.is_none() {
                    return if has_tls {
                        Err(RouteError::TlsWithoutHttps)
                    } else {
                        Ok(ProxyAddress::Tcp(proxy))
                    };
                }
                if self.client_cert.is_empty() || self.client_key.is_empty() {
                    return Err(RouteError::ClientCertificate);
                }
                let missing = files.into_iter().find(|f| !f.is_empty() && !exists(f));
                if let Some(file) = missing {
                    return Err(RouteError::MissingFile(file.clone()));
                }
                let tls = TlsFiles {
                    ca: (!self.ca.is_empty()).then(|| PathBuf::from(self.ca)),
                    client: Some((self.client_cert.into(), self.client_key.into())),
                    server_name: (!self.server_name.is_empty()).then_some(self.server_name),
                };
                Ok(ProxyAddress::Tcp(TcpProxy {
                    tls: Some(tls),
                    ..proxy
                }))
            }
            (true, true) | (false, false) => Err(RouteError::Transport),
        }
    }
}
