//! kube-apiserver's checks of an `EgressSelectorConfiguration`, in its order and words.
//!
//! Source: `k8s.io/apiserver`, `pkg/server/egressselector/config.go`. Slips in its texts are kept, for people
//! search for them.

use super::egress::{
    Connection, EgressSelectorConfiguration, TcpTransport, TlsConfig, Transport, UdsTransport,
};
use super::error::{FieldError, FieldErrors, FieldProblem};

/// What all paths begin with.
const ROOT: &str = "service.connection";
const PROTOCOLS: &[&str] = &["Direct", "HTTPConnect", "GRPC"];
const NAMES: &[&str] = &["cluster", "controlplane", "etcd"];

impl EgressSelectorConfiguration {
    /// Checks what kube-apiserver checks at its start; `exists` tells whether there is a file of that name.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn validate(&self, exists: impl Fn(&str) -> bool) -> Result<(), FieldErrors> {
        let mut errors = Errors {
            found: Vec::new(),
            exists: &exists,
        };
        for selection in &self.egress_selections {
            errors.connection(&selection.connection);
        }
        let mut seen: Vec<String> = Vec::new();
        for (at, selection) in self.egress_selections.iter().enumerate() {
            let name = selection.name.to_lowercase();
            if seen.contains(&name) {
                errors.push(format!("{ROOT}[{at}]"), FieldProblem::Duplicate(name));
                continue;
            }
            seen.push(name.clone());
            if !NAMES.contains(&name.as_str()) {
                let problem = FieldProblem::NotSupported {
                    value: name,
                    supported: NAMES,
                };
                errors.push(ROOT.to_owned(), problem);
            }
        }
        if errors.found.is_empty() {
            Ok(())
        } else {
            Err(FieldErrors(errors.found))
        }
    }
}

struct Errors<'a> {
    found: Vec<FieldError>,
    exists: &'a dyn Fn(&str) -> bool,
}

impl Errors<'_> {
    fn push(&mut self, path: String, problem: FieldProblem) {
        self.found.push(FieldError { path, problem });
    }

    fn required(&mut self, child: &str, why: &'static str) {
        self.push(format!("{ROOT}.{child}"), FieldProblem::Required(why));
    }

    fn invalid(&mut self, child: &str, value: &str, why: &'static str) {
        let value = format!("{value:?}");
        let problem = FieldProblem::Invalid { value, why };
        self.push(format!("{ROOT}.{child}"), problem);
    }

    fn connection(&mut self, connection: &Connection) {
        let transport = connection.transport.as_ref();
        match connection.proxy_protocol.as_str() {
            "Direct" => {
                if transport.is_some() {
                    let why = "config must be absent for direct connect";
                    self.invalid("transport", "direct", why);
                }
            }
            "HTTPConnect" => self.http_connect(transport),
            "GRPC" => self.grpc(transport),
            other => {
                let problem = FieldProblem::NotSupported {
                    value: other.to_owned(),
                    supported: PROTOCOLS,
                };
                self.push(format!("{ROOT}.protocol"), problem);
            }
        }
    }

    fn http_connect(&mut self, transport: Option<&Transport>) {
        let Some(transport) = transport else {
            return self.required("transport", "transport must be set for HTTPConnect");
        };
        match (&transport.tcp, &transport.uds) {
            (Some(tcp), Some(_)) => {
                let problem = FieldProblem::Invalid {
                    value: json(tcp),
                    why: "TCP and UDS cannot both be set",
                };
                self.push(format!("{ROOT}.tcp"), problem);
            }
            (None, None) => self.required("tcp", "One of TCP or UDS must be set"),
            (Some(tcp), None) => self.tcp(tcp),
            (None, Some(uds)) => self.uds(uds),
        }
    }

    fn grpc(&mut self, transport: Option<&Transport>) {
        let Some(transport) = transport else {
            return self.required("transport", "transport must be set for GRPC");
        };
        match &transport.uds {
            Some(uds) => self.uds(uds),
            None => self.required("uds", "UDS must be set with GRPC"),
        }
    }

    fn uds(&mut self, uds: &UdsTransport) {
        if uds.uds_name.is_empty() {
            self.invalid("udsName", "nil", "must be present for UDS connections");
        }
    }

    fn tcp(&mut self, tcp: &TcpTransport) {
        if tcp.url.starts_with("http://") {
            if tcp.tls_config.is_some() {
                let why = "config must not be present when using HTTP";
                self.invalid("tlsConfig", "nil", why);
            }
        } else if tcp.url.starts_with("https://") {
            match &tcp.tls_config {
                Some(tls) => self.tls(tls),
                None => self.required("tlsConfig", "TLSConfig must be present when using HTTPS"),
            }
        } else {
            let why = "supported connection protocols are http:// and https://";
            self.invalid("url", &tcp.url, why);
        }
    }

    fn tls(&mut self, tls: &TlsConfig) {
        if !tls.ca_bundle.is_empty() && !(self.exists)(&tls.ca_bundle) {
            let why = "TLS config ca bundle does not exist";
            self.invalid("tlsConfig.caBundle", &tls.ca_bundle, why);
        }
        let files = [
            (
                "tlsConfig.clientCert",
                &tls.client_cert,
                "Using TLS requires clientCert",
                "TLS client cert does not exist",
            ),
            (
                "tlsConfig.clientKey",
                &tls.client_key,
                "Using TLS requires requires clientKey",
                "TLS client key does not exist",
            ),
        ];
        for (child, file, required, missing) in files {
            if file.is_empty() {
                self.invalid(child, "nil", required);
            } else if !(self.exists)(file) {
                self.invalid(child, file, missing);
            }
        }
    }
}

/// As Go's encoder writes the internal type, whose fields have no names of their own.
fn json(tcp: &TcpTransport) -> String {
    let tls = tcp.tls_config.as_ref().map_or("null".to_owned(), |tls| {
        format!(
            "{{\"CABundle\":{:?},\"ClientKey\":{:?},\"ClientCert\":{:?},\"TLSServerName\":{:?}}}",
            tls.ca_bundle, tls.client_key, tls.client_cert, tls.tls_server_name
        )
    });
    format!("{{\"URL\":{:?},\"TLSConfig\":{tls}}}", tcp.url)
}
