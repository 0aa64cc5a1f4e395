//! The work of `proxy-server`, from its options to its end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dialback_core::MuxConfig;
use dialback_core::audit::AuditPolicy;
use dialback_core::policy::Policy;
use dialback_core::server::LinkConfig;
use dialback_core::throttle::ThrottleConfig;
use dialback_runtime::Runtime;
use dialback_runtime::listen::{ExistingFile, SocketFile, bind_unix};
use dialback_runtime::metrics::{AuditMetrics, CertificateMetrics, ServerMetrics};
use dialback_runtime::server::{AgentAuthenticator, FrontendMode, Server, ServerConfig, Stopped};
use dialback_runtime::tls::{KeyPairFiles, Reloadable, ServerTls, TlsPolicy, TlsProtocol};
use thiserror::Error;
use tokio::runtime::Handle;

use super::health;
use crate::audit::{AuditFileError, AuditLog};
use crate::daemon::listener::{ListenerError, bind};
use crate::daemon::{DaemonSignals, StopSignal, Tasks, Work, descriptors, service};
use crate::flags::{CertificatePair, FrontendListener, ServerOptions};
use crate::kubernetes::{
    ApiServer, CachingAuthenticator, ClientError, LeaseController, Program, TokenReviews,
};
use crate::reload::{ReadRules, Reloads, RuleFileError, RuleSource, Source};

impl Work for ServerOptions {
    type Error = StartError;

    async fn run<R: Runtime>(self, runtime: R, signals: DaemonSignals) -> Result<(), StartError> {
        serve(runtime, self, signals).await
    }
}

/// Serves until a stop is asked for and done.
///
/// Everything that can fail is done before anything is served: files read, listeners bound.
///
/// # Errors
/// Why it could not start; once it serves, it ends only by being stopped.
async fn serve<R: Runtime>(
    runtime: R,
    options: ServerOptions,
    signals: DaemonSignals,
) -> Result<(), StartError> {
    let policy = options.policy.as_deref().map(ReadRules::open);
    let policy = policy.transpose().map_err(StartError::Policy)?;
    let throttle = options.throttle.as_deref().map(ReadRules::open);
    let throttle: Option<ReadRules<ThrottleConfig>> =
        throttle.transpose().map_err(StartError::Throttle)?;
    let audit_policy = options
        .audit
        .as_ref()
        .and_then(|audit| audit.policy.as_deref());
    let audit_policy = audit_policy.map(ReadRules::open);
    let audit_policy = audit_policy.transpose().map_err(StartError::AuditPolicy)?;
    let api = kubernetes(&options).await?;
    let limits = &options.limits;
    descriptors::reserve(limits.max_frontends.saturating_add(limits.max_agents));
    let mut sources = Vec::new();
    let frontends =
        Frontends::bind(&runtime, &options, &mut sources).map_err(StartError::Frontend)?;
    let agents = Agents::bind(&runtime, &options, &mut sources).map_err(StartError::Agent)?;
    let admin = bind(&runtime, &options.admin).map_err(StartError::Admin)?;
    let health = bind(&runtime, &options.health).map_err(StartError::Health)?;

    let metrics = Arc::new(ServerMetrics::new());
    let audit = audit(&options, audit_policy.as_ref(), &metrics)?;
    let certificates = CertificateMetrics::new(metrics.registry());
    let reloads = Reloads::new(
        sources,
        certificates.clone(),
        options.certificate_reload_interval,
    );
    let config = ServerConfig {
        authenticator: authenticator(&options, api.as_ref(), &metrics),
        throttle: throttle.as_ref().map(|read| read.rules.clone()),
        audit: audit.clone().map(|audit| audit as _),
        ..config(&options)
    };
    let strategies = options.strategies.clone();
    let server = Server::new(runtime.clone(), config, strategies, Arc::clone(&metrics));
    let mut sources = rules(&server, policy, throttle);
    sources.extend(audit.clone().zip(audit_policy).map(audit_rules));
    let reloads = reloads.with_rules(sources).with_audit(audit.clone());
    let mut tasks = Tasks::new(&runtime);
    health::serve(
        &mut tasks,
        &runtime,
        &server,
        health,
        admin,
        certificates,
        &options,
    );
    {
        let server = Arc::clone(&server);
        tasks.spawn(async move { server.serve_agents(agents.listener, agents.tls).await });
    }
    let socket_file = frontends.serve(&mut tasks, &server, frontend_mode(&options));
    let leases = api.zip(options.leases.as_ref()).map(|(api, leases)| {
        LeaseController::start(api.apart(), leases, &options.server_id, metrics)
    });
    tracing::info!(
        server_id = options.server_id, agents = %options.agents.address, health = %options.health,
        admin = %options.admin, "serving"
    );
    service::ready(format_args!("serving agents on {}", options.agents.address));

    let stopped = stopped(
        &server,
        signals.stop,
        socket_file,
        leases,
        options.graceful_shutdown_timeout,
    );
    tokio::select! {
        biased;
        () = stopped => {}
        never = reloads.run(runtime, signals.reload) => match never {},
    }
    if let Some(audit) = audit {
        // Where waiting for a disk holds up nobody.
        let _ = tokio::task::spawn_blocking(move || audit.finish(LAST_RECORDS)).await;
    }
    Ok(())
}

/// How long the last records of the audit log may take.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// The audit log, if there is to be one.
fn audit(
    options: &ServerOptions,
    policy: Option<&ReadRules<AuditPolicy>>,
    metrics: &ServerMetrics,
) -> Result<Option<Arc<AuditLog>>, StartError> {
    let Some(wanted) = &options.audit else {
        return Ok(None);
    };
    let policy = policy.map(|read| read.rules.clone()).unwrap_or_default();
    let metrics = AuditMetrics::new(metrics.registry());
    let log = AuditLog::start(wanted, policy, &options.server_id, metrics);
    Ok(Some(log.map_err(StartError::Audit)?))
}

/// The file of an audit policy that is in force, and what comes of its changes.
fn audit_rules((audit, policy): (Arc<AuditLog>, ReadRules<AuditPolicy>)) -> RuleSource {
    let (_, source) = policy.watched(move |policy| {
        audit.policy_reloaded(policy.is_some());
        if let Some(policy) = policy {
            audit.set_policy(policy);
        }
    });
    source
}

/// Puts a policy in force; the files that are to be looked at, and what comes of their changes.
fn rules<R: Runtime>(
    server: &Arc<Server<R>>,
    policy: Option<ReadRules<Policy>>,
    throttle: Option<ReadRules<ThrottleConfig>>,
) -> Vec<RuleSource> {
    let mut sources = Vec::new();
    if let Some(policy) = policy {
        let changed = Arc::clone(server);
        let (policy, source) = policy.watched(move |policy| {
            changed.metrics().policy_reloaded(policy.is_some());
            if let Some(policy) = policy {
                changed.set_policy(Arc::new(policy));
            }
        });
        server.set_policy(Arc::new(policy));
        sources.push(source);
    }
    if let Some(throttle) = throttle {
        let changed = Arc::clone(server);
        let (_, source) = throttle.watched(move |throttle| {
            changed.metrics().throttle_reloaded(throttle.is_some());
            if let Some(throttle) = throttle {
                changed.set_throttle(throttle);
            }
        });
        sources.push(source);
    }
    sources
}

/// Serves until a stop is asked for, then stops within `limit`.
async fn stopped<R: Runtime>(
    server: &Arc<Server<R>>,
    mut stop: StopSignal,
    socket_file: Option<SocketFile>,
    leases: Option<LeaseController>,
    limit: Duration,
) {
    stop.requested().await;
    tracing::info!(
        ?limit,
        "stopping: no new frontends, running streams may go on until the limit"
    );
    service::stopping(format_args!("stopping within {limit:?}"));
    // New frontends must not find the socket any more; those that are connected are not concerned.
    drop(socket_file);
    let leases = async {
        if let Some(leases) = leases {
            leases.stop().await;
        }
    };
    // Agents need not look for this server any more, from now on.
    let (stopped, ()) = tokio::join!(server.stop(limit), leases);
    match stopped {
        Stopped::Idle => tracing::info!("stopped"),
        Stopped::Cut => tracing::warn!(
            ?limit,
            "stopped, with streams cut that had not ended in time"
        ),
    }
}

/// The way to the Kubernetes API, if anything needs it.
async fn kubernetes(options: &ServerOptions) -> Result<Option<ApiServer>, StartError> {
    if options.authentication.is_none() && options.leases.is_none() {
        return Ok(None);
    }
    Ok(Some(
        ApiServer::new(&options.kubernetes, Program::Server).await?,
    ))
}

fn authenticator(
    options: &ServerOptions,
    api: Option<&ApiServer>,
    metrics: &Arc<ServerMetrics>,
) -> Option<Arc<dyn AgentAuthenticator>> {
    let (api, wanted) = api.zip(options.authentication.as_ref())?;
    let reviews = TokenReviews::new(api.clone(), wanted.clone(), Arc::clone(metrics));
    Some(Arc::new(CachingAuthenticator::new(
        reviews,
        Handle::current(),
    )))
}

fn config(options: &ServerOptions) -> ServerConfig {
    ServerConfig {
        server_id: options.server_id.clone(),
        server_count: options.server_count,
        link: LinkConfig {
            mux: MuxConfig {
                max_streams: options.limits.max_streams_per_agent,
                ..options.tunnel.mux()
            },
            session: options.tunnel.session(),
            dial_timeout: options.backend_dial_timeout,
            max_pending_dials: options.limits.max_pending_dials,
        },
        handshake_timeout: options.limits.handshake_timeout,
        max_frontends: options.limits.max_frontends,
        max_agents: options.limits.max_agents,
        max_agent_handshakes: options.limits.max_agent_handshakes,
        max_http_header_bytes: options.limits.max_http_header_bytes,
        max_grpc_metadata_bytes: options.limits.max_grpc_metadata_bytes,
        dial_hedging: options.dial_hedging,
        zone: options.zone.clone(),
        keepalive_time: options.keepalive_time,
        frontend_keepalive_time: options.frontend_keepalive_time,
        ..ServerConfig::default()
    }
}

fn frontend_mode(options: &ServerOptions) -> FrontendMode {
    match options.mode {
        crate::flags::FrontendMode::Grpc => FrontendMode::Grpc,
        crate::flags::FrontendMode::HttpConnect => FrontendMode::HttpConnect,
    }
}

/// The frontends' listener.
enum Frontends<R: Runtime> {
    Unix(R::UnixListener, Option<SocketFile>),
    Tcp(R::TcpListener, Reloadable<rustls::ServerConfig>),
}

impl<R: Runtime> Frontends<R> {
    /// Listens; what keeps its certificates up to date is added to `sources`.
    fn bind(
        runtime: &R,
        options: &ServerOptions,
        sources: &mut Vec<Source>,
    ) -> Result<Self, ListenerError> {
        match &options.frontends {
            FrontendListener::Unix { path, replace } => {
                let existing = if *replace {
                    ExistingFile::ReplaceSocket
                } else {
                    ExistingFile::Keep
                };
                let failed = |error| ListenerError::Unix {
                    path: path.display().to_string(),
                    error,
                };
                let socket = bind_unix(path, existing).map_err(failed)?;
                Ok(Self::Unix(
                    runtime.unix_listener(socket.listener)?,
                    socket.file,
                ))
            }
            FrontendListener::Tcp {
                address,
                certificate,
                client_authority,
            } => {
                let protocol = match options.mode {
                    crate::flags::FrontendMode::Grpc => TlsProtocol::Grpc,
                    crate::flags::FrontendMode::HttpConnect => TlsProtocol::Http1,
                };
                let tls = tls(certificate, Some(client_authority), protocol, &options.tls);
                let (source, tls) =
                    Source::listener("frontends", tls, "server-cert", "server-ca-cert")?;
                sources.push(source);
                Ok(Self::Tcp(bind(runtime, address)?, tls))
            }
        }
    }

    /// Serves; the socket's file, if there is one, is removed when the returned guard is dropped.
    fn serve(
        self,
        tasks: &mut Tasks<R>,
        server: &Arc<Server<R>>,
        mode: FrontendMode,
    ) -> Option<SocketFile> {
        let server = Arc::clone(server);
        match self {
            Self::Unix(listener, file) => {
                tasks.spawn(async move { server.serve_frontends(listener, None, mode).await });
                file
            }
            Self::Tcp(listener, tls) => {
                tasks.spawn(async move { server.serve_frontends(listener, Some(tls), mode).await });
                None
            }
        }
    }
}

/// The agents' listener.
struct Agents<R: Runtime> {
    listener: R::TcpListener,
    tls: Reloadable<rustls::ServerConfig>,
}

impl<R: Runtime> Agents<R> {
    /// As [`Frontends::bind`].
    fn bind(
        runtime: &R,
        options: &ServerOptions,
        sources: &mut Vec<Source>,
    ) -> Result<Self, ListenerError> {
        let agents = &options.agents;
        let authority = agents.client_authority.as_deref();
        let tls = tls(
            &agents.certificate,
            authority,
            TlsProtocol::Grpc,
            &options.tls,
        );
        let (source, tls) = Source::listener("agents", tls, "cluster-cert", "cluster-ca-cert")?;
        sources.push(source);
        Ok(Self {
            listener: bind(runtime, &agents.address)?,
            tls,
        })
    }
}

fn tls(
    pair: &CertificatePair,
    client_ca: Option<&Path>,
    protocol: TlsProtocol,
    policy: &TlsPolicy,
) -> ServerTls {
    let pair = KeyPairFiles {
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
    };
    ServerTls {
        pair,
        client_ca: client_ca.map(Path::to_owned),
        protocol,
        policy: policy.clone(),
    }
}

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The policy can't be used.
    #[error("--policy-file: {0}")]
    Policy(#[source] RuleFileError),
    /// The limits can't be used.
    #[error("--throttle-file: {0}")]
    Throttle(#[source] RuleFileError),
    /// What is recorded can't be told.
    #[error("--audit-policy-file: {0}")]
    AuditPolicy(#[source] RuleFileError),
    /// The audit log can't be written.
    #[error("--audit-log-path: {0}")]
    Audit(#[source] AuditFileError),
    /// There is no way to the Kubernetes API.
    #[error(transparent)]
    Kubernetes(#[from] ClientError),
    /// The frontends' listener could not be set up.
    #[error("failed to run the frontend server: {0}")]
    Frontend(#[source] ListenerError),
    /// The agents' listener could not be set up.
    #[error("failed to run the agent server: {0}")]
    Agent(#[source] ListenerError),
    /// The admin listener could not be set up.
    #[error("failed to run the admin server: {0}")]
    Admin(#[source] ListenerError),
    /// The health listener could not be set up.
    #[error("failed to run the health server: {0}")]
    Health(#[source] ListenerError),
}
