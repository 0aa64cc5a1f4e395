//! Where the API server is and who we are there: from a kubeconfig, or from what a pod finds around it.

use std::env;
use std::path::Path;

use dialback_runtime::dial::{InvalidProxy, ProxyEnvironment};
use http::Uri;
use http::uri::{InvalidUri, Scheme};
use kube::Config;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;

use super::token_file::TokenFileError;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Server,
    Agent,
}

impl Program {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Server => "proxy-server",
            Self::Agent => "proxy-agent",
        }
    }
}

/// The kubeconfig's current context, or without one the cluster that this runs in.
pub(super) async fn load(
    kubeconfig: Option<&Path>,
    program: Program,
) -> Result<Config, ClientError> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    match kubeconfig {
        Some(path) => from_file(path, variable).await,
        None => from_pod(program, variable),
    }
}

async fn from_file(
    path: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Config, ClientError> {
    let failed = |error| ClientError::Kubeconfig(Box::new(error));
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    let names_proxy = names_proxy(&kubeconfig);
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(failed)?;
    if !names_proxy {
        config.proxy_url = proxy(&config.cluster_url, variable)?;
    }
    Ok(config)
}

/// Whether the current context's cluster has a `proxy-url`, which comes before the environment's.
fn names_proxy(kubeconfig: &Kubeconfig) -> bool {
    let current = kubeconfig.current_context.as_ref();
    let contexts = kubeconfig.contexts.iter();
    let context = contexts
        .filter(|context| Some(&context.name) == current)
        .find_map(|context| context.context.as_ref());
    let clusters = kubeconfig.clusters.iter();
    let cluster = clusters
        .filter(|cluster| context.is_some_and(|context| context.cluster == cluster.name))
        .find_map(|cluster| cluster.cluster.as_ref());
    let url = cluster.and_then(|cluster| cluster.proxy_url.as_deref());
    url.is_some_and(|url| !url.is_empty())
}

fn from_pod(
    program: Program,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Config, ClientError> {
    let set = |name| variable(name).is_some();
    if !set("KUBERNETES_SERVICE_HOST") || !set("KUBERNETES_SERVICE_PORT") {
        return Err(match program {
            Program::Server => ClientError::Nothing,
            Program::Agent => ClientError::NotInCluster,
        });
    }
    let mut config = Config::incluster().map_err(ClientError::InCluster)?;
    config.proxy_url = proxy(&config.cluster_url, variable)?;
    Ok(config)
}

/// The environment's proxy to the API server, found as client-go finds it: `HTTPS_PROXY`, unless `NO_PROXY` says
/// otherwise or the API server is on this machine. kube leaves `NO_PROXY` out of account.
fn proxy(
    server: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, ClientError> {
    if server.scheme() != Some(&Scheme::HTTPS) {
        return Ok(None);
    }
    let environment = ProxyEnvironment::from_variables(&variable)?;
    let host = server.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if environment
        .route(host, server.port_u16().unwrap_or(443))
        .is_none()
    {
        return Ok(None);
    }
    let url = variable("HTTPS_PROXY").or_else(|| variable("https_proxy"));
    let parsed = url.map(|url| match url.contains("://") {
        true => url.parse(),
        false => format!("http://{url}").parse(),
    });
    Ok(parsed.transpose()?)
}

/// Why there is no client, in the reference's words where it has some.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The server was given no kubeconfig, and is not in a cluster.
    #[error(
        "failed to load kubernetes client config: invalid configuration: no configuration has been provided, try \
         setting KUBERNETES_MASTER environment variable"
    )]
    Nothing,
    /// The agent was given no kubeconfig, and is not in a cluster.
    #[error(
        "failed to load in cluster kubernetes client config: unable to load in-cluster configuration, \
         KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
    )]
    NotInCluster,
    /// What a pod finds about its cluster is of no use.
    #[error("failed to load in cluster kubernetes client config: {0}")]
    InCluster(#[source] InClusterError),
    /// The kubeconfig is of no use.
    #[error("failed to load kubernetes client config: {0}")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// `HTTPS_PROXY` is of no use.
    #[error("failed to load kubernetes client config: {0}")]
    Proxy(#[from] InvalidProxy),
    /// `HTTPS_PROXY` is no URL.
    #[error("failed to load kubernetes client config: HTTPS_PROXY: {0}")]
    ProxyUrl(#[from] InvalidUri),
    /// The user's token can't be had.
    #[error("failed to load kubernetes client config: {0}")]
    Token(#[from] TokenFileError),
    /// The client can't be set up with it.
    #[error("failed to create kubernetes clientset: {0}")]
    Set(#[source] Box<kube::Error>),
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn proxied(server: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        match proxy(&server.parse().unwrap(), variable) {
            Ok(proxy) => Ok(proxy.map(|proxy| proxy.to_string()).unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_environments_proxy_is_taken_as_client_go_takes_it() {
        let set = ("HTTPS_PROXY", "http://user:pw@proxy:3128");
        let taken = Ok("http://user:pw@proxy:3128/".to_owned());
        let direct = Ok(String::new());
        assert_eq!(proxied("https://10.96.0.1", &[]), direct);
        assert_eq!(proxied("https://10.96.0.1", &[set]), taken);
        let exempt = ("NO_PROXY", "10.96.0.0/12");
        assert_eq!(proxied("https://10.96.0.1", &[set, exempt]), direct);
        assert_eq!(proxied("https://10.1.0.1:6443", &[set, exempt]), taken);
        assert_eq!(proxied("https://127.0.0.1:6443", &[set]), direct);
        assert_eq!(proxied("https://[::1]:6443", &[set]), direct);
        assert_eq!(proxied("http://10.96.0.1", &[set]), direct);
        assert_eq!(
            proxied("https://10.96.0.1", &[("https_proxy", "proxy:3128")]),
            Ok("http://proxy:3128/".to_owned())
        );
        let error = proxied("https://10.96.0.1", &[("HTTPS_PROXY", "ftp://proxy")]).unwrap_err();
        assert!(
            error.contains(r#"scheme "ftp" are not supported"#),
            "{error}"
        );
    }

    #[test]
    fn without_a_kubeconfig_this_has_to_be_a_pod() {
        let words = |program| from_pod(program, |_| None).unwrap_err().to_string();
        assert_eq!(
            words(Program::Server),
            "failed to load kubernetes client config: invalid configuration: no configuration has been provided, \
             try setting KUBERNETES_MASTER environment variable"
        );
        assert_eq!(
            words(Program::Agent),
            "failed to load in cluster kubernetes client config: unable to load in-cluster configuration, \
             KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
        );
    }

    #[test]
    fn a_kubeconfigs_own_proxy_is_found() {
        let kubeconfig = |cluster: &str| {
            let text = format!(
                r#"{{"current-context": "b", "clusters": [
                    {{"name": "one", "cluster": {{"server": "https://a", "proxy-url": "http://p"}}}},
                    {{"name": "two", "cluster": {{"server": "https://a"}}}}],
                   "contexts": [{{"name": "a", "context": {{"cluster": "one"}}}},
                    {{"name": "b", "context": {{"cluster": "{cluster}"}}}}]}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        assert!(names_proxy(&kubeconfig("one")));
        assert!(!names_proxy(&kubeconfig("two")));
        assert!(!names_proxy(&Kubeconfig::default()));
    }
}
