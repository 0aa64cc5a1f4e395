//! What can be wrong with a configuration.

use std::fmt;

use thiserror::Error;

use crate::yaml::{Problem, YamlError};

/// A configuration that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is no YAML, or too much of it.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// There is no `kind`.
    #[error("object 'kind' is missing: this is no configuration")]
    MissingKind,
    /// There is no `apiVersion`.
    #[error("object 'apiVersion' is missing: this is no configuration")]
    MissingApiVersion,
    /// Some other object.
    #[error(
        "no kind {kind:?} is registered for version {api_version:?}: expected \
         EgressSelectorConfiguration or ConnectivityServiceConfiguration of apiserver.k8s.io/v1beta1 or v1alpha1"
    )]
    UnknownKind {
        /// Its `kind`.
        kind: String,
        /// Its `apiVersion`.
        api_version: String,
    },
    /// Fields that don't belong there or hold something else than they should: all of them.
    #[error("strict decoding error: {}", Listed(.0))]
    Fields(Vec<Problem>),
    /// Values that make no sense, all of them, in kube-apiserver's words.
    #[error("failed to validate egress selector configuration: {0}")]
    Invalid(FieldErrors),
    /// A service has a URL or a connection that leads nowhere.
    #[error("connectivity service {name:?}: {error}")]
    Route {
        /// Its name.
        name: String,
        /// What is wrong.
        error: RouteError,
    },
    /// Two services have the same name, differences in case aside.
    #[error("connectivity service {0:?} is given twice")]
    DuplicateService(String),
    /// A service without a name.
    #[error("connectivity service {0} has no name")]
    UnnamedService(usize),
}

/// Why a service's connection leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The URL is of no kind that is supported.
    #[error("url {0:?}: supported connection protocols are http:// and https://")]
    Scheme(String),
    /// The URL has no host and port, or more than that.
    #[error("url {0:?} is to be a scheme, a host and a port, such as https://127.0.0.1:8131")]
    Url(String),
    /// Neither a URL nor a Unix socket, or both.
    #[error("exactly one of url and udsName is to be set")]
    Transport,
    /// The type and the block that describes it don't fit together.
    #[error("type {0:?} needs its own block, and no other")]
    Block(&'static str),
    /// The type is unknown.
    #[error("unknown type {0:?}, supported are \"direct\", \"http-connect\", \"grpc\"")]
    Type(String),
    /// TLS files without TLS.
    #[error("certificates are given, but the connection is without TLS")]
    TlsWithoutHttps,
    /// TLS without a client certificate, or half of one.
    #[error("https needs clientCert and clientKey")]
    ClientCertificate,
    /// A file that is named is not there.
    #[error("file {0:?} does not exist")]
    MissingFile(String),
}

/// All that kube-apiserver's validation finds wrong, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct FieldErrors(pub(super) Vec<FieldError>);

impl FieldErrors {
    /// One by one.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0
    }
}

impl fmt::Display for FieldErrors {
    /// As Kubernetes' aggregated errors print: one bare, several in brackets, no text twice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = Vec::with_capacity(self.0.len());
        for error in &self.0 {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        match &texts[..] {
            [one] => f.write_str(one),
            several => write!(f, "[{}]", several.join(", ")),
        }
    }
}

/// One value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {problem}")]
pub struct FieldError {
    /// Where, as kube-apiserver calls it: `service.connection.tlsConfig`.
    pub path: String,
    /// What is wrong.
    pub problem: FieldProblem,
}

/// Source: apimachinery, `pkg/util/validation/field/errors.go`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FieldProblem {
    /// It has to be there.
    #[error("Required value: {0}")]
    Required(&'static str),
    /// It has a value that it can't have; the value as JSON.
    #[error("Invalid value: {value}: {why}")]
    Invalid {
        /// As JSON.
        value: String,
        /// What it would have to be.
        why: &'static str,
    },
    /// It has a value that is not among those known.
    #[error("Unsupported value: {value:?}: supported values: {}", Quoted(.supported))]
    NotSupported {
        /// What it is.
        value: String,
        /// What it could be.
        supported: &'static [&'static str],
    },
    /// It has a value that another has too.
    #[error("Duplicate value: {0:?}")]
    Duplicate(String),
}

struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{problem}")?;
        }
        Ok(())
    }
}

struct Quoted<'a>(&'a [&'static str]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, value) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{value:?}")?;
        }
        Ok(())
    }
}
