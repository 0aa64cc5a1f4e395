//! From a configuration to dialers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use dialback_core::connectivity::{ConnectivityConfig, Route};

use super::dialer::Dialer;
use super::error::ConnectivityError;
use crate::metrics::ClientMetrics;
use crate::runtime::Runtime;

/// One byte more than a configuration may have.
const MAX_FILE: u64 = 1024 * 1024 + 1;

/// The connectivity services of a configuration, each with its dialer.
#[derive(Clone, Debug)]
pub struct Connectivity<R: Runtime> {
    dialers: BTreeMap<String, Dialer<R>>,
    config: ConnectivityConfig,
    metrics: Arc<ClientMetrics>,
}

/// Where traffic is meant to go.
///
/// Source: the Connectivity service of KEP-1281; `NetworkContext` in `k8s.io/apiserver`,
/// `pkg/server/egressselector`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkContext {
    /// The service by its name in the configuration: `cluster`, `controlplane` (or `master`), `etcd`.
    pub connectivity_service_name: String,
}

impl NetworkContext {
    /// A context of that name.
    #[must_use]
    pub fn new(connectivity_service_name: impl Into<String>) -> Self {
        Self {
            connectivity_service_name: connectivity_service_name.into(),
        }
    }

    /// The name as configurations have it.
    fn service(&self) -> String {
        match self.connectivity_service_name.to_lowercase() {
            name if name == "master" => "controlplane".to_owned(),
            name => name,
        }
    }
}

impl<R: Runtime> Connectivity<R> {
    /// Reads the configuration at `path` and the certificates that it names. Relative names are relative to
    /// the working directory, as for kube-apiserver.
    ///
    /// # Errors
    /// A file can't be read, or its content can't be used.
    pub fn from_file(runtime: R, path: impl AsRef<Path>) -> Result<Self, ConnectivityError> {
        let path = path.as_ref();
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            .map_err(|error| ConnectivityError::File {
                path: path.to_owned(),
                error,
            })?;
        let config = ConnectivityConfig::parse(&text, |file| Path::new(file).exists())?;
        Self::new(runtime, config)
    }

    /// Reads the certificates that `config` names.
    ///
    /// # Errors
    /// [`ConnectivityError::Tls`].
    pub fn new(runtime: R, config: ConnectivityConfig) -> Result<Self, ConnectivityError> {
        let metrics = Arc::new(ClientMetrics::new());
        let mut dialers = BTreeMap::new();
        for service in config.services() {
            let name = service.name.clone();
            match Dialer::new(runtime.clone(), &service.route, Arc::clone(&metrics)) {
                Ok(dialer) => dialers.insert(name, dialer),
                Err(error) => {
                    let error = Box::new(error);
                    return Err(ConnectivityError::Tls { name, error });
                }
            };
        }
        Ok(Self {
            dialers,
            config,
            metrics,
        })
    }

    /// The dialer of the service that `context` names; the same one each time.
    ///
    /// # Errors
    /// [`ConnectivityError::UnknownService`].
    pub fn lookup(&self, context: &NetworkContext) -> Result<Dialer<R>, ConnectivityError> {
        let dialer = self.dialers.get(&context.service()).cloned();
        dialer.ok_or_else(|| self.unknown(context))
    }

    /// The way that dials of the service take that `context` names.
    ///
    /// # Errors
    /// [`ConnectivityError::UnknownService`].
    pub fn route(&self, context: &NetworkContext) -> Result<&Route, ConnectivityError> {
        let name = context.service();
        let mut services = self.config.services().iter();
        let service = services.find(|service| service.name == name);
        let service = service.ok_or_else(|| self.unknown(context))?;
        Ok(&service.route)
    }

    fn unknown(&self, context: &NetworkContext) -> ConnectivityError {
        ConnectivityError::UnknownService {
            name: context.connectivity_service_name.clone(),
            known: self.dialers.keys().cloned().collect(),
        }
    }

    /// What the dialers are made from.
    #[must_use]
    pub const fn config(&self) -> &ConnectivityConfig {
        &self.config
    }

    /// What all dialers count, under the names of Konnectivity's client.
    #[must_use]
    pub fn metrics(&self) -> &ClientMetrics {
        &self.metrics
    }
}
