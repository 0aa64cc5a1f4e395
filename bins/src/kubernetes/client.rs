//! Requests to the API server: how often, and for how long.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::{AUTHORIZATION, USER_AGENT};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use thiserror::Error;
use tower::util::MapRequestLayer;

use super::config::{self, ClientError, Program};
use super::limiter::Limiter;
use super::token_file::TokenFile;
use crate::flags::KubernetesOptions;

/// How long one request may take. client-go has no limit there, so that a silent API server holds it for ever.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests a second, and at once, where `--kubeconfig-qps` says nothing. client-go's are 5 and 10, with which 5,000
/// agents that come back at once would wait for a quarter of an hour.
const DEFAULT_RATE: (f64, f64) = (50.0, 100.0);

/// An API server; cheap to clone, and clones share the rate of requests.
#[derive(Clone)]
pub(crate) struct ApiServer {
    client: Client,
    rate: (f64, f64),
    limiter: Arc<Limiter>,
}

impl ApiServer {
    /// Reads the configuration; nothing is sent yet. To be called on tokio.
    ///
    /// # Errors
    /// There is none that could be used.
    pub(crate) async fn new(
        options: &KubernetesOptions,
        program: Program,
    ) -> Result<Self, ClientError> {
        let mut config = config::load(options.kubeconfig.as_deref(), program).await?;
        // We try again ourselves, at a pace that fits the purpose.
        config.default_retry = false;
        let version = env!("CARGO_PKG_VERSION");
        let (name, os, machine) = (program.name(), env::consts::OS, env::consts::ARCH);
        let agent = format!("{name}/v{version} ({os}/{machine}) dialback");
        if let Ok(agent) = HeaderValue::try_from(agent) {
            config.headers.push((USER_AGENT, agent));
        }
        tracing::info!(url = %config.cluster_url, "Kubernetes API");
        Ok(Self::with_rate(client(config)?, rate(options)))
    }

    fn with_rate(client: Client, (per_second, burst): (f64, f64)) -> Self {
        Self {
            client,
            rate: (per_second, burst),
            limiter: Arc::new(Limiter::new(per_second, burst)),
        }
    }

    /// The same one, with the whole rate of requests for another purpose: Leases must not expire while a storm of
    /// agents has its tokens looked at. client-go has a rate for each group of the API too, unless one is set.
    pub(crate) fn apart(&self) -> Self {
        Self::with_rate(self.client.clone(), self.rate)
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Sends a request when it is its turn.
    pub(super) async fn ask<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, RequestError> {
        self.limiter.turn().await;
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(answer) => answer.map_err(RequestError::from),
            Err(_) => Err(RequestError::NoAnswer(REQUEST_TIMEOUT)),
        }
    }
}

fn client(mut config: Config) -> Result<Client, ClientError> {
    let failed = |error| ClientError::Set(Box::new(error));
    let Some(path) = config.auth_info.token_file.take() else {
        return Client::try_from(config).map_err(failed);
    };
    // The file comes first, since it is kept up to date.
    config.auth_info.token = None;
    let file = Arc::new(TokenFile::open(&path)?);
    let show_token = move |mut request: http::Request<Body>| {
        request.headers_mut().insert(AUTHORIZATION, file.header());
        request
    };
    let builder = ClientBuilder::try_from(config).map_err(failed)?;
    Ok(builder
        .with_layer(&MapRequestLayer::new(show_token))
        .build())
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer").finish_non_exhaustive()
    }
}

/// Requests a second, and at once.
fn rate(options: &KubernetesOptions) -> (f64, f64) {
    let (per_second, burst) = DEFAULT_RATE;
    match (f64::from(options.qps), options.burst) {
        (0.0, 0) => (per_second, burst),
        (0.0, burst) => (per_second, burst.into()),
        (per_second, burst) => (per_second, burst.into()),
    }
}

/// Why a request had no good answer.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    /// The API server's own words, as client-go prints them.
    #[error("{}", .0.message)]
    Refused(Box<kube::core::Status>),
    /// It could not be reached, or what came back is no answer.
    #[error("{}", chain(.0))]
    Failed(#[source] Box<kube::Error>),
    /// It did not answer.
    #[error("no answer from the Kubernetes API within {0:?}")]
    NoAnswer(Duration),
}

impl RequestError {
    /// The answer's HTTP status, if there was an answer.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(status) => Some(status.code),
            Self::Failed(_) | Self::NoAnswer(_) => None,
        }
    }

    /// Kubernetes' reason, if there was an answer.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Refused(status) => &status.reason,
            Self::Failed(_) | Self::NoAnswer(_) => "",
        }
    }
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "kube has many, and may get more"
        )]
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            other => Self::Failed(Box::new(other)),
        }
    }
}

/// An error with what caused it, which kube's own text leaves out at times.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
