//! Either format, and what is asked of it.

use super::egress::EgressSelectorConfiguration;
use super::error::ConfigError;
use super::route::Route;
use super::service;
use crate::yaml::{self, Node, Value};

/// The connectivity services of a configuration in either format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectivityConfig {
    services: Vec<Service>,
}

/// A connectivity service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// In lower case; `controlplane` also for what was called `master`.
    pub name: String,
    /// How its connections are made.
    pub route: Route,
}

impl ConnectivityConfig {
    /// Reads and checks a configuration; `exists` tells whether there is a file of that name.
    ///
    /// # Errors
    /// [`ConfigError`]. An `EgressSelectorConfiguration` is refused whenever kube-apiserver refuses it, and
    /// besides when a URL has no port, with which no connection would ever be made.
    pub fn parse(text: &str, exists: impl Fn(&str) -> bool) -> Result<Self, ConfigError> {
        let document = yaml::parse(text)?;
        let services = match Kind::of(&document)? {
            Kind::EgressSelector => {
                let config = EgressSelectorConfiguration::read(&document)?;
                config.validate(exists).map_err(ConfigError::Invalid)?;
                from_egress(&config)?
            }
            Kind::ConnectivityService { .. } => service::read(&document, &exists)?,
        };
        Ok(Self { services })
    }

    /// The service called `name`, in any case; `master` is `controlplane`.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Route> {
        let name = canonical(name);
        let service = self.services.iter().find(|service| service.name == name);
        service.map(|service| &service.route)
    }

    /// All services, in the file's order.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }
}

fn from_egress(config: &EgressSelectorConfiguration) -> Result<Vec<Service>, ConfigError> {
    let services = config.egress_selections.iter().map(|selection| {
        let name = canonical(&selection.name);
        match Route::of(&selection.connection) {
            Ok(route) => Ok(Service { name, route }),
            Err(error) => Err(ConfigError::Route { name, error }),
        }
    });
    services.collect()
}

/// As services are compared.
pub(super) fn canonical(name: &str) -> String {
    let name = name.to_lowercase();
    if name == "master" {
        "controlplane".to_owned()
    } else {
        name
    }
}

/// What a document says that it is.
pub(super) enum Kind {
    EgressSelector,
    ConnectivityService { api_version: String, kind: String },
}

impl Kind {
    pub(super) fn of(document: &Node) -> Result<Self, ConfigError> {
        let kind = text(document, "kind").ok_or(ConfigError::MissingKind)?;
        let api_version = text(document, "apiVersion").ok_or(ConfigError::MissingApiVersion)?;
        let versions = ["apiserver.k8s.io/v1alpha1", "apiserver.k8s.io/v1beta1"];
        match (kind.as_str(), versions.contains(&api_version.as_str())) {
            ("EgressSelectorConfiguration", true) => Ok(Self::EgressSelector),
            ("ConnectivityServiceConfiguration", true) => {
                Ok(Self::ConnectivityService { api_version, kind })
            }
            _ => Err(ConfigError::UnknownKind { kind, api_version }),
        }
    }
}

fn text(document: &Node, name: &str) -> Option<String> {
    let Value::Mapping(entries) = &document.value else {
        return None;
    };
    let entry = entries.iter().find(|entry| entry.key == name)?;
    match &entry.value.value {
        Value::Text(text) if !text.is_empty() => Some(text.clone()),
        Value::Text(_)
        | Value::Null
        | Value::Boolean
        | Value::Number(_)
        | Value::Sequence(_)
        | Value::Mapping(_) => None,
    }
}
