//! From the flags of `proxy-agent` to its options.

use std::time::Duration;

use dialback_core::policy::{DestinationRules, InvalidRule};
use dialback_core::wire::Identifiers;

use super::AgentFlags;
use super::options::AgentOptions;
use crate::flags::listen::path_from_flag;
use crate::flags::problem::{Check, CheckedFile, InvalidOptions, OptionProblem, Validated};
use crate::flags::{
    CertificatePair, KubernetesOptions, LeaseCounting, ListenAddress, Repeated, RuntimeName,
};

/// The least keep-alive time, which grpc-go raises smaller ones to (`internal/transport/http2_client.go`).
const MIN_KEEPALIVE: Duration = Duration::from_secs(10);

/// The least pause between PINGs that the reference's server puts up with.
const TOLERATED_KEEPALIVE: Duration = Duration::from_secs(30);

impl AgentFlags {
    /// The options that the flags ask for, for a daemon on `runtime`.
    ///
    /// The checks, their order and their texts are those of the reference, followed by ours for what only fails later
    /// there, or misbehaves. Other than the reference this goes on after the first problem.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn validate(
        &self,
        runtime: RuntimeName,
    ) -> Result<Validated<AgentOptions>, InvalidOptions> {
        let mut check = Check::default();
        check.certificate_files("agent", &self.agent_cert, &self.agent_key);
        check.file_exists(&self.ca_cert, |path| OptionProblem::FileMissing {
            file: CheckedFile::Authority("agent"),
            path,
        });
        let ports = [
            ("proxy server", self.proxy_server_port),
            ("health server", self.health_server_port),
            ("admin server", self.admin_server_port),
        ];
        for (listener, port) in ports {
            check.refuse_if(port <= 0, || OptionProblem::PortNotPositive {
                port,
                listener,
            });
        }
        check.refuse_if(self.xfr_channel_size <= 0, || {
            OptionProblem::ChannelSize(self.xfr_channel_size)
        });
        check.refuse_if(
            self.enable_contention_profiling && !self.enable_profiling,
            || OptionProblem::ContentionWithoutProfiling,
        );
        check.refuse_if(self.sync_interval > self.sync_interval_cap, || {
            OptionProblem::SyncIntervalAboveCap {
                interval: self.sync_interval,
                cap: self.sync_interval_cap,
            }
        });
        check.file_exists(&self.service_account_token_path, |path| {
            OptionProblem::FileMissing {
                file: CheckedFile::Token,
                path,
            }
        });
        check.value(Identifiers::parse_option(&self.agent_identifiers));
        check.file_exists(&self.kubeconfig, OptionProblem::AgentKubeconfigMissing);
        check.refuse_if(
            !["", "default", "max"].contains(&self.server_count_source.as_str()),
            || OptionProblem::ServerCountSource(self.server_count_source.clone()),
        );

        // From here on the checks are ours.
        check.refuse_if(self.ca_cert.is_empty(), || OptionProblem::NoAgentAuthority);
        for (listener, port) in ports {
            check.refuse_if(port > i64::from(u16::MAX), || OptionProblem::PortTooLarge {
                port,
                listener,
            });
        }
        let sync_interval = self.sync_interval.positive();
        check.refuse_if(sync_interval.is_none(), || OptionProblem::NoTime {
            flag: "sync-interval",
            value: self.sync_interval,
        });
        let keepalive_time = self.check_keepalive(&mut check);
        let reload_interval = check.non_negative(
            "certificate-reload-interval",
            self.certificate_reload_interval,
        );
        let tunnel = self.tunnel.validate(&mut check);
        for protocol in &self.alpn_proto {
            check.refuse_if(!(1..=255).contains(&protocol.len()), || {
                OptionProblem::AlpnProtocol(protocol.clone())
            });
        }
        let printable = |c: char| matches!(c, ' '..='~');
        check.refuse_if(!self.agent_id.chars().all(printable), || {
            OptionProblem::Id {
                flag: "agent-id",
                value: self.agent_id.clone(),
            }
        });
        let destinations = self.check_destinations(&mut check);
        let leases = self.count_server_leases.then(|| {
            let (namespace, source) = (&self.lease_namespace, &self.server_count_source);
            LeaseCounting::from_flags(namespace, &self.lease_label_selector, source)
        });
        check.warn_if(
            leases.is_none() && self.server_count_source == "max",
            || "--server-count-source=max has no effect without --count-server-leases".to_owned(),
        );
        check.warn_if(
            leases.is_some() && self.lease_label_selector.is_empty(),
            || {
                "--lease-label-selector is empty: every Lease of the namespace counts as a server's"
                    .to_owned()
            },
        );
        check.refuse_if(leases.is_some() && !runtime.asks_kubernetes(), || {
            OptionProblem::OnlyOnTokio("--count-server-leases")
        });
        let kubernetes = KubernetesOptions::from_flags(&mut check, &self.kubeconfig, 0.0, 0);
        check.warn_if(self.enable_contention_profiling, || {
            "--enable-contention-profiling has no effect: locks are not profiled".to_owned()
        });
        check.warn_if(self.agent_id.is_empty(), || {
            "--agent-id is empty: servers can't tell this agent from others".to_owned()
        });

        let port = |port: i64| u16::try_from(port).unwrap_or_default();
        let drain_timeout = check.non_negative("drain-timeout", self.drain_timeout);
        let options = AgentOptions {
            server_hosts: self.proxy_server_host.0.clone(),
            server_port: port(self.proxy_server_port),
            authority: self.ca_cert.clone().into(),
            certificate: CertificatePair::from_flags(&self.agent_cert, &self.agent_key),
            alpn_protocols: self.alpn_proto.clone(),
            token_path: path_from_flag(&self.service_account_token_path),
            agent_id: self.agent_id.clone(),
            identifiers: self.agent_identifiers.clone(),
            health: ListenAddress {
                host: self.health_server_host.clone(),
                port: port(self.health_server_port),
            },
            admin: ListenAddress {
                host: self.admin_bind_address.clone(),
                port: port(self.admin_server_port),
            },
            sync_interval: sync_interval.unwrap_or_default(),
            // At least the interval, or it has been refused.
            sync_interval_cap: self.sync_interval_cap.non_negative().unwrap_or_default(),
            sync_forever: self.sync_forever,
            keepalive_time,
            profiling: self.enable_profiling,
            status_page: self.enable_status_page,
            drain_timeout: Some(drain_timeout).filter(|timeout| !timeout.is_zero()),
            destinations,
            certificate_reload_interval: Some(reload_interval)
                .filter(|interval| !interval.is_zero()),
            leases,
            kubernetes,
            tunnel,
        };
        check.finish("agent", options)
    }

    fn check_destinations(&self, check: &mut Check) -> DestinationRules {
        // The default, and what a template leaves of an option that is not set.
        let given = |rules: &Repeated| -> Vec<String> {
            let rules = rules.0.iter().filter(|rule| !rule.is_empty());
            rules.cloned().collect()
        };
        let (allow, deny) = (
            given(&self.allow_destination),
            given(&self.deny_destination),
        );
        let refused = |flag| {
            move |(rule, error): (String, InvalidRule)| {
                let error = Box::new(error);
                OptionProblem::Destination { flag, rule, error }
            }
        };
        check.value(DestinationRules::parse(&allow, &[]).map_err(refused("allow-destination")));
        check.value(DestinationRules::parse(&[], &deny).map_err(refused("deny-destination")));
        DestinationRules::parse(&allow, &deny).unwrap_or_default()
    }

    fn check_keepalive(&self, check: &mut Check) -> Duration {
        let time = check.non_negative("keepalive-time", self.keepalive_time);
        check.warn_if(time < TOLERATED_KEEPALIVE, || {
            format!(
                "--keepalive-time={} is below the 30s that Konnectivity's server puts up with: it will end connections",
                self.keepalive_time
            )
        });
        time.max(MIN_KEEPALIVE)
    }
}
