//! The work of `proxy-agent`, from its options to its end.

use std::sync::Arc;
use std::time::Duration;

use dialback_core::agent::fleet::{FleetConfigError, ServerCountSource};
use dialback_core::agent::{FleetConfig, LinkConfig};
use dialback_runtime::agent::{Agent, AgentConfig, AgentConfigError};
use dialback_runtime::dial::{InvalidProxy, ProxyEnvironment};
use dialback_runtime::metrics::{AgentMetrics, CertificateMetrics};
use dialback_runtime::tls::{ClientTls, KeyPairFiles, Reloadable, TlsError};
use dialback_runtime::{Runtime, timeout_at};
use thiserror::Error;

use crate::daemon::listener::{ListenerError, bind};
use crate::daemon::{DaemonSignals, Tasks, Work, descriptors, service};
use crate::flags::AgentOptions;
use crate::kubernetes::{ApiServer, ClientError, LeaseCounter, Program};
use crate::reload::{Reloads, Source};

/// How long dialling an endpoint may take (Konnectivity agent, `pkg/agent/client.go`); it has no flag there.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a draining agent stays without a stream: dials that a server sent before it knew find it there.
const DRAIN_QUIET: Duration = Duration::from_secs(1);

impl Work for AgentOptions {
    type Error = StartError;

    async fn run<R: Runtime>(self, runtime: R, signals: DaemonSignals) -> Result<(), StartError> {
        serve(runtime, self, signals).await
    }
}

/// Serves until a signal, then drains: what runs goes on, and once nothing does, or `--drain-timeout` has passed, the
/// agent ends. The reference's waits for a second signal, which ends this one at once, too.
///
/// Everything that can fail is done before anything is served: files read, listeners bound.
///
/// # Errors
/// Why it could not start.
async fn serve<R: Runtime>(
    runtime: R,
    options: AgentOptions,
    signals: DaemonSignals,
) -> Result<(), StartError> {
    let (source, tls) = tls(&options)?;
    let config = config(&options, tls)?;
    // Each stream is a connection to an endpoint.
    descriptors::reserve(config.link.mux.max_streams);
    for host in &config.server_hosts {
        if let Some(proxy) = config.proxy.route(host, config.server_port) {
            tracing::info!(host, proxy, "a proxy server is reached through HTTPS_PROXY");
        }
    }
    let metrics = Arc::new(AgentMetrics::new());
    let certificates = CertificateMetrics::new(metrics.registry());
    let reloads = Reloads::new(
        vec![source],
        certificates.clone(),
        options.certificate_reload_interval,
    );
    let leases = lease_counter(&options, &metrics).await?;
    let agent = Agent::new(runtime.clone(), config, metrics)?;
    let health = bind(&runtime, &options.health).map_err(StartError::Health)?;
    let admin = bind(&runtime, &options.admin).map_err(StartError::Admin)?;

    let mut tasks = Tasks::new(&runtime);
    super::health::serve(
        &mut tasks,
        &runtime,
        &agent,
        health,
        admin,
        certificates,
        &options,
    );
    tracing::info!(
        agent_id = options.agent_id, servers = options.server_hosts.join(" "), health = %options.health,
        admin = %options.admin, "serving"
    );
    service::ready(format_args!(
        "looking for servers at {}",
        options.server_hosts.join(" ")
    ));
    let mut stop = signals.stop;
    let draining = async {
        stop.requested().await;
        tracing::info!(
            streams = agent.stream_count(),
            "draining; a second signal ends the agent at once"
        );
        service::stopping(format_args!("draining {} streams", agent.stream_count()));
        agent.drain();
        drained(&runtime, &agent, options.drain_timeout).await;
        agent.stop();
        std::future::pending::<()>().await;
    };
    let counting = async {
        match leases {
            Some(leases) => leases.run(|leases| agent.leases_read(leases)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = draining => Ok(()),
        never = reloads.run(runtime.clone(), signals.reload) => match never {},
        never = counting => match never {},
        ended = agent.run() => Ok(ended?),
    }
}

/// Waits until nobody needs a draining agent any more, or for `limit`.
async fn drained<R: Runtime>(runtime: &R, agent: &Agent<R>, limit: Option<Duration>) {
    let idle = agent.idle(DRAIN_QUIET);
    let Some(limit) = limit else {
        return idle.await;
    };
    let deadline = runtime.now() + limit;
    if timeout_at(runtime, deadline, idle).await.is_err() {
        let streams = agent.stream_count();
        tracing::warn!(?limit, streams, "drain timeout has passed, streams are cut");
    }
}

async fn lease_counter(
    options: &AgentOptions,
    metrics: &Arc<AgentMetrics>,
) -> Result<Option<LeaseCounter>, StartError> {
    let Some(leases) = &options.leases else {
        return Ok(None);
    };
    let api = ApiServer::new(&options.kubernetes, Program::Agent).await?;
    Ok(Some(LeaseCounter::new(api, leases, Arc::clone(metrics))))
}

/// TLS towards the servers, and what keeps it up to date.
fn tls(options: &AgentOptions) -> Result<(Source, Reloadable<rustls::ClientConfig>), TlsError> {
    let pair = options.certificate.as_ref().map(|pair| KeyPairFiles {
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
    });
    let tls = ClientTls {
        ca: options.authority.clone(),
        pair,
        alpn: options.alpn_protocols.clone(),
    };
    Source::client("servers", tls, "agent-cert", "ca-cert")
}

fn config(
    options: &AgentOptions,
    tls: Reloadable<rustls::ClientConfig>,
) -> Result<AgentConfig, StartError> {
    Ok(AgentConfig {
        server_hosts: options.server_hosts.clone(),
        server_port: options.server_port,
        agent_id: options.agent_id.clone(),
        identifiers: options.identifiers.clone(),
        token_path: options.token_path.clone(),
        tls,
        fleet: FleetConfig {
            sync_interval: options.sync_interval,
            sync_interval_cap: options.sync_interval_cap,
            sync_forever: options.sync_forever,
            server_count_source: options
                .leases
                .as_ref()
                .map_or_else(ServerCountSource::default, |leases| leases.source),
            ..FleetConfig::default()
        },
        link: LinkConfig {
            mux: options.tunnel.mux(),
            session: options.tunnel.session(),
        },
        keepalive_time: options.keepalive_time,
        dial_timeout: DIAL_TIMEOUT,
        proxy: ProxyEnvironment::from_variables(|name| std::env::var(name).ok())?,
        destinations: options.destinations.clone(),
        disable_extensions: false,
    })
}

/// Why the agent could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no way to the Kubernetes API.
    #[error("failed to run proxy connection with {0}")]
    Kubernetes(#[from] ClientError),
    /// Certificates, keys or CAs.
    #[error("failed to run proxy connection with {0}")]
    Tls(#[from] TlsError),
    /// `HTTPS_PROXY` can't be used.
    #[error("HTTPS_PROXY: {0}")]
    Proxy(#[from] InvalidProxy),
    /// The server's address can't be used.
    #[error(transparent)]
    Config(#[from] AgentConfigError),
    /// The intervals make no sense together.
    #[error(transparent)]
    Fleet(#[from] FleetConfigError),
    /// The health listener could not be set up.
    #[error("failed to run the health server: {0}")]
    Health(#[source] ListenerError),
    /// The admin listener could not be set up.
    #[error("failed to run the admin server: {0}")]
    Admin(#[source] ListenerError),
}
