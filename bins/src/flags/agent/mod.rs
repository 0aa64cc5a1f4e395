//! The command line of `proxy-agent`.

mod options;
mod validate;

use super::command_line::{CommandLine, with_common_flags};
use super::identity::default_id;
use super::set::{Flag, FlagSet};
use super::tunnel::{HasTunnelFlags, TunnelFlags, tunnel_flags};
use super::value::{GoDuration, LabelSelector, Repeated};

pub use options::AgentOptions;

/// The flags of `proxy-agent` as given, before they are validated. What each means stands in [`agent_flags`].
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the flag of its name")]
pub struct AgentFlags {
    pub proxy_server_host: Repeated,
    pub proxy_server_port: i64,
    pub ca_cert: String,
    pub agent_cert: String,
    pub agent_key: String,
    pub alpn_proto: Vec<String>,
    pub service_account_token_path: String,
    pub agent_id: String,
    pub agent_identifiers: String,
    pub health_server_host: String,
    pub health_server_port: i64,
    pub admin_bind_address: String,
    pub admin_server_port: i64,
    pub enable_profiling: bool,
    pub enable_contention_profiling: bool,
    pub enable_status_page: bool,
    pub sync_interval: GoDuration,
    pub sync_interval_cap: GoDuration,
    pub probe_interval: GoDuration,
    pub sync_forever: bool,
    pub keepalive_time: GoDuration,
    pub xfr_channel_size: i64,
    pub warn_on_channel_limit: bool,
    pub count_server_leases: bool,
    pub lease_namespace: String,
    pub lease_label_selector: LabelSelector,
    pub server_count_source: String,
    pub kubeconfig: String,
    pub kube_api_content_type: String,
    pub drain_timeout: GoDuration,
    pub allow_destination: Repeated,
    pub deny_destination: Repeated,
    pub certificate_reload_interval: GoDuration,
    pub tunnel: TunnelFlags,
}

impl HasTunnelFlags for AgentFlags {
    fn tunnel(&mut self) -> &mut TunnelFlags {
        &mut self.tunnel
    }
}

/// The flags of `proxy-agent`: the reference's with their defaults, then ours. A new one is a line here and a field
/// in [`AgentFlags`].
pub fn agent_flags() -> FlagSet<CommandLine<AgentFlags>> {
    type C = CommandLine<AgentFlags>;
    const LEASES: &str = "k8s-app=konnectivity-server";
    let mut own = vec![
        Flag::new(
            "proxy-server-host",
            "127.0.0.1",
            "Name or address of the proxy servers, which their certificates have to be for. May be repeated, for servers that are reached by several.",
            |c: &mut C| &mut c.daemon.proxy_server_host,
        ),
        Flag::new(
            "proxy-server-port",
            "8091",
            "Port of the proxy servers.",
            |c| &mut c.daemon.proxy_server_port,
        ),
        Flag::new(
            "ca-cert",
            "",
            "CA (PEM file) that the servers' certificates have to come from; needed.",
            |c| &mut c.daemon.ca_cert,
        ),
        Flag::new(
            "agent-cert",
            "",
            "Certificate (PEM file) shown to servers.",
            |c| &mut c.daemon.agent_cert,
        ),
        Flag::new(
            "agent-key",
            "",
            "Private key (PEM file) of --agent-cert.",
            |c| &mut c.daemon.agent_key,
        ),
        Flag::new(
            "alpn-proto",
            "",
            "Comma-separated list of ALPN protocols to offer before h2.",
            |c| &mut c.daemon.alpn_proto,
        ),
        Flag::new(
            "service-account-token-path",
            "",
            "File with the token to show to servers, read anew for each connection.",
            |c| &mut c.daemon.service_account_token_path,
        ),
        Flag::new(
            "agent-id",
            default_id("PROXY_AGENT_ID"),
            "This agent's ID, unique among those of a cluster; from PROXY_AGENT_ID, or random.",
            |c| &mut c.daemon.agent_id,
        ),
        Flag::new(
            "agent-identifiers",
            "",
            "What this agent can reach, as a URL query of ipv4, ipv6, host, cidr, default-route, and of ours label, e.g. host=localhost&ipv4=1.2.3.4&label=zone:a.",
            |c| &mut c.daemon.agent_identifiers,
        ),
        Flag::new(
            "health-server-host",
            "",
            "Address for health checks and metrics; empty for every address of the machine.",
            |c| &mut c.daemon.health_server_host,
        ),
        Flag::new(
            "health-server-port",
            "8093",
            "Port for health checks and metrics.",
            |c| &mut c.daemon.health_server_port,
        ),
        Flag::new(
            "admin-bind-address",
            "127.0.0.1",
            "Address for administration; empty for every address of the machine.",
            |c| &mut c.daemon.admin_bind_address,
        ),
        Flag::new(
            "admin-server-port",
            "8094",
            "Port for administration.",
            |c| &mut c.daemon.admin_server_port,
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
            "sync-interval",
            "1s",
            "Pause between attempts to connect, growing while they fail.",
            |c| &mut c.daemon.sync_interval,
        ),
        Flag::new(
            "sync-interval-cap",
            "10s",
            "How long the pause may grow.",
            |c| &mut c.daemon.sync_interval_cap,
        ),
        Flag::new(
            "probe-interval",
            "1s",
            "Accepted without effect: a lost connection is noticed when it is lost.",
            |c| &mut c.daemon.probe_interval,
        ),
        Flag::new(
            "sync-forever",
            "false",
            "Go on looking for servers when the expected number is connected.",
            |c| &mut c.daemon.sync_forever,
        ),
        Flag::new(
            "keepalive-time",
            "1h",
            "Ping a server's connection after so long without anything from it.",
            |c| &mut c.daemon.keepalive_time,
        ),
        Flag::new(
            "xfr-channel-size",
            "150",
            "Accepted without effect: queues are bounded in bytes, not in packets.",
            |c| &mut c.daemon.xfr_channel_size,
        ),
        Flag::new(
            "warn-on-channel-limit",
            "false",
            "Accepted without effect: no queue is ever too full to take what was asked for.",
            |c| &mut c.daemon.warn_on_channel_limit,
        ),
        Flag::new(
            "count-server-leases",
            "false",
            "Count servers by their Leases.",
            |c| &mut c.daemon.count_server_leases,
        ),
        Flag::new(
            "lease-namespace",
            "kube-system",
            "Namespace of the servers' Leases; empty for all.",
            |c| &mut c.daemon.lease_namespace,
        ),
        Flag::new(
            "lease-label-selector",
            LEASES,
            "Which Leases are servers'.",
            |c| &mut c.daemon.lease_label_selector,
        ),
        Flag::new(
            "lease-label",
            LEASES,
            "Which Leases are servers'.",
            |c: &mut C| &mut c.daemon.lease_label_selector,
        )
        .deprecated("Use --lease-label-selector instead"),
        Flag::new(
            "server-count-source",
            "default",
            "What counts when Leases are counted: they alone ('' or 'default'), or what servers tell if it is more ('max').",
            |c| &mut c.daemon.server_count_source,
        ),
        Flag::new(
            "kubeconfig",
            "",
            "How to reach the Kubernetes API, to count Leases; empty for that of the cluster that the agent runs in.",
            |c| &mut c.daemon.kubeconfig,
        ),
        Flag::new(
            "kube-api-content-type",
            "application/vnd.kubernetes.protobuf",
            "Accepted without effect: requests to the Kubernetes API are JSON.",
            |c| &mut c.daemon.kube_api_content_type,
        ),
        Flag::new(
            "drain-timeout",
            "0s",
            "How long connections may go on after the first SIGTERM or SIGINT, until the agent cuts them and ends; 0 for as long as they like. Without connections it ends by itself.",
            |c| &mut c.daemon.drain_timeout,
        ),
        Flag::new(
            "allow-destination",
            "",
            "Where this agent connects to, whatever servers say: a network, an address or a pattern for names, and ports or not, such as 10.0.0.0/8:10250, *.example:80-90 or [fd00::/8]:443. May be repeated. Empty for everywhere.",
            |c| &mut c.daemon.allow_destination,
        ),
        Flag::new(
            "deny-destination",
            "",
            "Where this agent does not connect to, whatever servers say and --allow-destination has; written like that. @metadata is link-local addresses and where clouds tell machines their credentials. May be repeated.",
            |c| &mut c.daemon.deny_destination,
        ),
        Flag::new(
            "certificate-reload-interval",
            "10s",
            "How often certificates, keys and CAs are read again; what changed is used by new connections. 0 for on SIGHUP only.",
            |c| &mut c.daemon.certificate_reload_interval,
        ),
    ];
    own.extend(tunnel_flags());
    with_common_flags(own, "help for proxy-agent", "version for proxy-agent")
}

#[cfg(test)]
mod tests;
