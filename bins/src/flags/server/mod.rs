//! The command line of `proxy-server`.

mod options;
mod validate;

use super::audit::{AuditFlags, audit_flags};
use super::command_line::{CommandLine, with_common_flags};
use super::identity::default_id;
use super::limits::{LimitFlags, limit_flags};
use super::set::{Flag, FlagSet};
use super::tunnel::{HasTunnelFlags, TunnelFlags, tunnel_flags};
use super::value::GoDuration;

pub use options::{AgentListener, FrontendListener, FrontendMode, ServerOptions};

/// The flags of `proxy-server` as given, before they are validated. What each means stands in [`server_flags`].
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the flag of its name")]
pub struct ServerFlags {
    pub mode: String,
    pub uds_name: String,
    pub delete_existing_uds_file: bool,
    pub server_port: i64,
    pub server_bind_address: String,
    pub server_cert: String,
    pub server_key: String,
    pub server_ca_cert: String,
    pub cluster_cert: String,
    pub cluster_key: String,
    pub cluster_ca_cert: String,
    pub agent_port: i64,
    pub agent_bind_address: String,
    pub admin_port: i64,
    pub admin_bind_address: String,
    pub health_port: i64,
    pub health_bind_address: String,
    pub keepalive_time: GoDuration,
    pub frontend_keepalive_time: GoDuration,
    pub enable_profiling: bool,
    pub enable_contention_profiling: bool,
    pub enable_status_page: bool,
    pub server_id: String,
    pub server_count: i64,
    pub agent_namespace: String,
    pub agent_service_account: String,
    pub authentication_audience: String,
    pub kubeconfig: String,
    pub kubeconfig_qps: f32,
    pub kubeconfig_burst: i64,
    pub kube_api_content_type: String,
    pub proxy_strategies: String,
    pub dial_hedging: bool,
    pub zone: String,
    pub cipher_suites: Vec<String>,
    pub tls_min_version: String,
    pub xfr_channel_size: i64,
    pub enable_lease_controller: bool,
    pub lease_namespace: String,
    pub lease_label: String,
    pub graceful_shutdown_timeout: GoDuration,
    pub backend_dial_timeout: GoDuration,
    pub warn_on_channel_limit: bool,
    pub require_agent_authentication: bool,
    pub policy_file: String,
    pub throttle_file: String,
    pub certificate_reload_interval: GoDuration,
    pub audit: AuditFlags,
    pub limits: LimitFlags,
    pub tunnel: TunnelFlags,
}

impl HasTunnelFlags for ServerFlags {
    fn tunnel(&mut self) -> &mut TunnelFlags {
        &mut self.tunnel
    }
}

/// The flags of `proxy-server`: the reference's with their defaults, then ours. A new one is a line here and a field
/// in [`ServerFlags`].
pub fn server_flags() -> FlagSet<CommandLine<ServerFlags>> {
    type C = CommandLine<ServerFlags>;
    let mut own = vec![
        Flag::new(
            "mode",
            "grpc",
            "What frontends speak: 'grpc' or 'http-connect'.",
            |c: &mut C| &mut c.daemon.mode,
        ),
        Flag::new(
            "uds-name",
            "",
            "Path of the Unix socket for frontends; empty to serve them over TCP.",
            |c| &mut c.daemon.uds_name,
        ),
        Flag::new(
            "delete-existing-uds-file",
            "true",
            "Replace a socket that is already at --uds-name.",
            |c| &mut c.daemon.delete_existing_uds_file,
        ),
        Flag::new(
            "server-port",
            "8090",
            "Port for frontends; 0 with --uds-name.",
            |c| &mut c.daemon.server_port,
        ),
        Flag::new(
            "server-bind-address",
            "",
            "Address for frontends; empty for every address of the machine.",
            |c| &mut c.daemon.server_bind_address,
        ),
        Flag::new(
            "server-cert",
            "",
            "Certificate (PEM file) shown to frontends; needed without --uds-name.",
            |c| &mut c.daemon.server_cert,
        ),
        Flag::new(
            "server-key",
            "",
            "Private key (PEM file) of --server-cert.",
            |c| &mut c.daemon.server_key,
        ),
        Flag::new(
            "server-ca-cert",
            "",
            "CA (PEM file) that frontends' certificates have to come from; needed without --uds-name.",
            |c| &mut c.daemon.server_ca_cert,
        ),
        Flag::new(
            "cluster-cert",
            "",
            "Certificate (PEM file) shown to agents.",
            |c| &mut c.daemon.cluster_cert,
        ),
        Flag::new(
            "cluster-key",
            "",
            "Private key (PEM file) of --cluster-cert.",
            |c| &mut c.daemon.cluster_key,
        ),
        Flag::new(
            "cluster-ca-cert",
            "",
            "CA (PEM file) that agents' certificates have to come from; without it, and without --agent-namespace, any agent is accepted.",
            |c| &mut c.daemon.cluster_ca_cert,
        ),
        Flag::new("agent-port", "8091", "Port for agents.", |c| {
            &mut c.daemon.agent_port
        }),
        Flag::new(
            "agent-bind-address",
            "",
            "Address for agents; empty for every address of the machine.",
            |c| &mut c.daemon.agent_bind_address,
        ),
        Flag::new(
            "admin-port",
            "8095",
            "Port for metrics and administration.",
            |c| &mut c.daemon.admin_port,
        ),
        Flag::new(
            "admin-bind-address",
            "127.0.0.1",
            "Address for metrics and administration; empty for every address of the machine.",
            |c| &mut c.daemon.admin_bind_address,
        ),
        Flag::new(
            "health-port",
            "8092",
            "Port for health checks and metrics.",
            |c| &mut c.daemon.health_port,
        ),
        Flag::new(
            "health-bind-address",
            "",
            "Address for health checks and metrics; empty for every address of the machine.",
            |c| &mut c.daemon.health_bind_address,
        ),
        Flag::new(
            "keepalive-time",
            "1h",
            "Ping an agent's connection after so long without anything from it.",
            |c| &mut c.daemon.keepalive_time,
        ),
        Flag::new(
            "frontend-keepalive-time",
            "1h",
            "Ping a gRPC frontend's connection after so long without anything from it.",
            |c| &mut c.daemon.frontend_keepalive_time,
        ),
        Flag::new(
            "enable-profiling",
            "false",
            "Whether the admin port has /debug/pprof/profile, a CPU profile for go tool pprof, and answers the other paths of pprof with why they are not there.",
            |c| &mut c.daemon.enable_profiling,
        ),
        Flag::new(
            "enable-contention-profiling",
            "false",
            "Has no effect: locks are not profiled. Needs --enable-profiling.",
            |c| &mut c.daemon.enable_contention_profiling,
        ),
        Flag::new(
            "enable-status-page",
            "false",
            "Whether the admin port has a page at / that shows connections and streams live, and the same as JSON at /api/v1/status.",
            |c| &mut c.daemon.enable_status_page,
        ),
        Flag::new(
            "server-id",
            default_id("PROXY_SERVER_ID"),
            "This server's ID, unique among those of a cluster; from PROXY_SERVER_ID, or random.",
            |c| &mut c.daemon.server_id,
        ),
        Flag::new(
            "server-count",
            "1",
            "How many servers agents are to connect to.",
            |c| &mut c.daemon.server_count,
        ),
        Flag::new(
            "agent-namespace",
            "",
            "Namespace of the service account whose tokens agents have to show; with the next two, instead of certificates.",
            |c| &mut c.daemon.agent_namespace,
        ),
        Flag::new(
            "agent-service-account",
            "",
            "Name of the service account whose tokens agents have to show.",
            |c| &mut c.daemon.agent_service_account,
        ),
        Flag::new(
            "authentication-audience",
            "",
            "Audience that agents' tokens have to be made for.",
            |c| &mut c.daemon.authentication_audience,
        ),
        Flag::new(
            "kubeconfig",
            "",
            "How to reach the Kubernetes API, for tokens and Leases; empty for that of the cluster that the server runs in.",
            |c| &mut c.daemon.kubeconfig,
        ),
        Flag::new(
            "kubeconfig-qps",
            "0",
            "Requests a second to the Kubernetes API; 0 for 50, below 0 for any number.",
            |c| &mut c.daemon.kubeconfig_qps,
        ),
        Flag::new(
            "kubeconfig-burst",
            "0",
            "Requests at once to the Kubernetes API, after a pause; 0 for twice --kubeconfig-qps.",
            |c| &mut c.daemon.kubeconfig_burst,
        ),
        Flag::new(
            "kube-api-content-type",
            "application/vnd.kubernetes.protobuf",
            "Accepted without effect: requests to the Kubernetes API are JSON.",
            |c| &mut c.daemon.kube_api_content_type,
        ),
        Flag::new(
            "proxy-strategies",
            "default",
            "How an agent is chosen for a dial, in order: a comma-separated list of 'default', 'destHost', 'defaultRoute', and of ours 'destCIDR', 'label', 'leastLoaded'.",
            |c| &mut c.daemon.proxy_strategies,
        ),
        Flag::new(
            "dial-hedging",
            "false",
            "Whether a dial that its agent does not answer in the usual time is given to another agent too, and agents that answer none are left alone for a while.",
            |c| &mut c.daemon.dial_hedging,
        ),
        Flag::new(
            "zone",
            "",
            "Zone of this server: where several agents can serve a dial, those with the identifier label=zone:ZONE are preferred.",
            |c| &mut c.daemon.zone,
        ),
        Flag::new(
            "cipher-suites",
            "",
            "Comma-separated list of TLS 1.2 cipher suites; empty for all that are secure.",
            |c| &mut c.daemon.cipher_suites,
        ),
        Flag::new(
            "tls-min-version",
            "",
            "Least TLS version: VersionTLS12 (also for VersionTLS10, VersionTLS11 and empty) or VersionTLS13.",
            |c| &mut c.daemon.tls_min_version,
        ),
        Flag::new(
            "xfr-channel-size",
            "10",
            "Accepted without effect: queues are bounded in bytes, not in packets.",
            |c| &mut c.daemon.xfr_channel_size,
        ),
        Flag::new(
            "enable-lease-controller",
            "false",
            "Publish a Lease, so that agents can count servers, and delete those of servers that are gone.",
            |c| &mut c.daemon.enable_lease_controller,
        ),
        Flag::new(
            "lease-namespace",
            "kube-system",
            "Namespace of the Leases.",
            |c| &mut c.daemon.lease_namespace,
        ),
        Flag::new(
            "lease-label",
            "k8s-app=konnectivity-server",
            "Labels of the Leases, as in a=b,c=d.",
            |c| &mut c.daemon.lease_label,
        ),
        Flag::new(
            "graceful-shutdown-timeout",
            "0s",
            "How long a stop waits for connections to end.",
            |c| &mut c.daemon.graceful_shutdown_timeout,
        ),
        Flag::new(
            "backend-dial-timeout",
            "0s",
            "How long an agent may take to accept a dial, and then to answer it; 0 for 30s each.",
            |c| &mut c.daemon.backend_dial_timeout,
        ),
        Flag::new(
            "require-agent-authentication",
            "false",
            "Whether to refuse to start where any agent would be accepted: without --cluster-ca-cert and without --agent-namespace.",
            |c| &mut c.daemon.require_agent_authentication,
        ),
        Flag::new(
            "policy-file",
            "",
            "File (YAML) that says which frontends may reach what, through which agents; docs/policy.md. Empty for no restrictions.",
            |c| &mut c.daemon.policy_file,
        ),
        Flag::new(
            "throttle-file",
            "",
            "File (YAML) that limits dials, streams and bytes of frontends, tenants, agents and destinations; docs/throttling.md. Empty for no limits.",
            |c| &mut c.daemon.throttle_file,
        ),
        Flag::new(
            "certificate-reload-interval",
            "10s",
            "How often certificates, keys, CAs and the files of policy and limits are read again; what changed is used by new connections. 0 for on SIGHUP only.",
            |c| &mut c.daemon.certificate_reload_interval,
        ),
        Flag::new(
            "warn-on-channel-limit",
            "true",
            "Has no effect.",
            |c: &mut C| &mut c.daemon.warn_on_channel_limit,
        )
        .deprecated("it has no effect"),
    ];
    own.extend(audit_flags());
    own.extend(limit_flags());
    own.extend(tunnel_flags());
    with_common_flags(own, "help for proxy-server", "version for proxy-server")
}

#[cfg(test)]
mod tests;
