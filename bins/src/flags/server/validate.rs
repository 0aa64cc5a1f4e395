//! From the flags of `proxy-server` to its options.

use std::time::Duration;

use dialback_runtime::tls::TlsPolicy;

use super::ServerFlags;
use super::options::{AgentListener, FrontendListener, FrontendMode, ServerOptions};
use crate::flags::listen::path_from_flag;
use crate::flags::problem::{Check, CheckedFile, InvalidOptions, OptionProblem, Validated};
use crate::flags::{
    CertificatePair, GoDuration, KubernetesOptions, LeasePublishing, ListenAddress, RuntimeName,
    TokenAuthentication,
};

/// The ports that the daemon may use; above are those that the system gives to outgoing connections.
const PORTS: std::ops::RangeInclusive<i64> = 1024..=49151;

/// What grpc-go makes of a keep-alive time of zero (`internal/transport/defaults.go`).
const KEEPALIVE_OF_ZERO: Duration = Duration::from_secs(2 * 60 * 60);

/// The least keep-alive time, which grpc-go raises smaller ones to.
const MIN_KEEPALIVE: Duration = Duration::from_secs(1);

impl ServerFlags {
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
    ) -> Result<Validated<ServerOptions>, InvalidOptions> {
        let mut check = Check::default();
        check.certificate_files("server", &self.server_cert, &self.server_key);
        self.authority_exists(&mut check, "server", &self.server_ca_cert);
        check.certificate_files("cluster", &self.cluster_cert, &self.cluster_key);
        self.authority_exists(&mut check, "cluster", &self.cluster_ca_cert);
        let mode = self.check_mode(&mut check);
        self.check_frontend_listener(&mut check);
        self.check_ports(&mut check);
        check.refuse_if(
            self.enable_contention_profiling && !self.enable_profiling,
            || OptionProblem::ContentionWithoutProfiling,
        );
        self.check_token_authentication(&mut check);
        check.file_exists(&self.kubeconfig, OptionProblem::ServerKubeconfigMissing);
        let strategies = check.value(self.proxy_strategies.parse());
        check.refuse_if(self.xfr_channel_size <= 0, || {
            OptionProblem::ChannelSize(self.xfr_channel_size)
        });
        let tls = TlsPolicy::parse(&self.tls_min_version, &self.cipher_suites);
        let (tls, tls_warnings) = check.value(tls);
        for warning in tls_warnings {
            check.warn(warning.to_string());
        }
        let leases = self.enable_lease_controller.then(|| {
            let (namespace, id) = (&self.lease_namespace, &self.server_id);
            LeasePublishing::from_flags(&mut check, namespace, &self.lease_label, id)
        });
        let graceful_shutdown_timeout =
            check.non_negative("graceful-shutdown-timeout", self.graceful_shutdown_timeout);
        let backend_dial_timeout =
            check.non_negative("backend-dial-timeout", self.backend_dial_timeout);

        // From here on the checks are ours.
        self.check_certificates(&mut check);
        let keepalive_time = keepalive(&mut check, "keepalive-time", self.keepalive_time);
        let frontend_keepalive_time = keepalive(
            &mut check,
            "frontend-keepalive-time",
            self.frontend_keepalive_time,
        );
        let reload_interval = check.non_negative(
            "certificate-reload-interval",
            self.certificate_reload_interval,
        );
        let audit = self.audit.validate(&mut check);
        let limits = self.limits.validate(&mut check);
        let tunnel = self.tunnel.validate(&mut check);
        let printable = |c: char| matches!(c, ' '..='~');
        check.refuse_if(!self.server_id.chars().all(printable), || {
            OptionProblem::Id {
                flag: "server-id",
                value: self.server_id.clone(),
            }
        });
        let uses = [
            ("--agent-namespace", self.wants_token_authentication()),
            ("--enable-lease-controller", self.enable_lease_controller),
        ];
        for (flag, used) in uses {
            check.refuse_if(used && !runtime.asks_kubernetes(), || {
                OptionProblem::OnlyOnTokio(flag)
            });
        }
        let kubernetes = KubernetesOptions::from_flags(
            &mut check,
            &self.kubeconfig,
            self.kubeconfig_qps,
            self.kubeconfig_burst,
        );
        self.warn(&mut check);

        let options = ServerOptions {
            server_id: self.server_id.clone(),
            server_count: self.server_count,
            mode,
            frontends: self.frontend_listener(),
            frontend_keepalive_time,
            agents: AgentListener {
                address: address(&self.agent_bind_address, self.agent_port),
                certificate: pair(&self.cluster_cert, &self.cluster_key),
                client_authority: path_from_flag(&self.cluster_ca_cert),
            },
            keepalive_time,
            tls,
            admin: address(&self.admin_bind_address, self.admin_port),
            health: address(&self.health_bind_address, self.health_port),
            strategies,
            dial_hedging: self.dial_hedging,
            zone: Some(self.zone.clone()).filter(|zone| !zone.is_empty()),
            graceful_shutdown_timeout,
            backend_dial_timeout: Some(backend_dial_timeout).filter(|t| !t.is_zero()),
            profiling: self.enable_profiling,
            status_page: self.enable_status_page,
            certificate_reload_interval: Some(reload_interval)
                .filter(|interval| !interval.is_zero()),
            policy: path_from_flag(&self.policy_file),
            throttle: path_from_flag(&self.throttle_file),
            audit,
            authentication: self.token_authentication(),
            leases,
            kubernetes,
            limits,
            tunnel,
        };
        check.finish("server", options)
    }

    fn serves_unix_socket(&self) -> bool {
        !self.uds_name.is_empty()
    }

    fn authority_exists(&self, check: &mut Check, owner: &'static str, path: &str) {
        check.file_exists(path, |path| OptionProblem::FileMissing {
            file: CheckedFile::Authority(owner),
            path,
        });
    }

    fn check_mode(&self, check: &mut Check) -> FrontendMode {
        check.value(match self.mode.as_str() {
            "grpc" => Ok(FrontendMode::Grpc),
            "http-connect" => Ok(FrontendMode::HttpConnect),
            other => Err(OptionProblem::Mode(other.to_owned())),
        })
    }

    fn check_frontend_listener(&self, check: &mut Check) {
        if !self.serves_unix_socket() {
            check.refuse_if(self.server_ca_cert.is_empty(), || {
                OptionProblem::NoFrontendAuthority
            });
            return;
        }
        check.refuse_if(self.server_port != 0, || {
            OptionProblem::PortWithUnixSocket(self.server_port)
        });
        for (what, file) in [
            ("key", &self.server_key),
            ("cert", &self.server_cert),
            ("ca cert", &self.server_ca_cert),
        ] {
            check.refuse_if(!file.is_empty(), || OptionProblem::TlsWithUnixSocket(what));
        }
    }

    fn check_ports(&self, check: &mut Check) {
        let server = (!self.serves_unix_socket()).then_some(("server", self.server_port));
        let ports = || {
            server.into_iter().chain([
                ("agent", self.agent_port),
                ("admin", self.admin_port),
                ("health", self.health_port),
            ])
        };
        for (listener, port) in ports() {
            check.refuse_if(port > *PORTS.end(), || OptionProblem::EphemeralPort {
                port,
                listener,
            });
        }
        for (listener, port) in ports() {
            check.refuse_if(port < *PORTS.start(), || OptionProblem::ReservedPort {
                port,
                listener,
            });
        }
    }

    fn token_flags(&self) -> [(&'static str, &str); 3] {
        [
            ("agent-namespace", &self.agent_namespace),
            ("agent-service-account", &self.agent_service_account),
            ("authentication-audience", &self.authentication_audience),
        ]
    }

    fn wants_token_authentication(&self) -> bool {
        self.token_flags()
            .iter()
            .any(|(_, value)| !value.is_empty())
    }

    fn token_authentication(&self) -> Option<TokenAuthentication> {
        self.wants_token_authentication()
            .then(|| TokenAuthentication {
                namespace: self.agent_namespace.clone(),
                service_account: self.agent_service_account.clone(),
                audience: self.authentication_audience.clone(),
            })
    }

    fn check_token_authentication(&self, check: &mut Check) {
        if !self.wants_token_authentication() {
            return;
        }
        check.refuse_if(!self.cluster_ca_cert.is_empty(), || {
            OptionProblem::TokensWithCertificates
        });
        for (flag, value) in self.token_flags() {
            check.refuse_if(value.is_empty(), || {
                OptionProblem::IncompleteTokenAuthentication(flag)
            });
        }
    }

    /// Both TLS listeners need a certificate, which the reference notices when it starts them.
    fn check_certificates(&self, check: &mut Check) {
        let missing = |certificate: &str, key: &str| certificate.is_empty() && key.is_empty();
        check.refuse_if(
            !self.serves_unix_socket() && missing(&self.server_cert, &self.server_key),
            || OptionProblem::NoCertificate("server"),
        );
        check.refuse_if(missing(&self.cluster_cert, &self.cluster_key), || {
            OptionProblem::NoCertificate("cluster")
        });
    }

    fn warn(&self, check: &mut Check) {
        check.warn_if(self.enable_contention_profiling, || {
            "--enable-contention-profiling has no effect: locks are not profiled".to_owned()
        });
        let any_agent = self.cluster_ca_cert.is_empty() && !self.wants_token_authentication();
        check.refuse_if(any_agent && self.require_agent_authentication, || {
            OptionProblem::AnyAgent
        });
        check.warn_if(any_agent && !self.require_agent_authentication, || {
            "agents are not authenticated: anyone who reaches the agent port can serve as an agent; set \
             --cluster-ca-cert, or --agent-namespace and the flags beside it"
                .to_owned()
        });
        check.warn_if(self.server_count < 1, || {
            format!(
                "--server-count={} reads as 1 at the agents",
                self.server_count
            )
        });
        check.warn_if(self.server_id.is_empty(), || {
            "--server-id is empty: agents can't tell this server from others".to_owned()
        });
    }

    fn frontend_listener(&self) -> FrontendListener {
        if self.serves_unix_socket() {
            FrontendListener::Unix {
                path: self.uds_name.clone().into(),
                replace: self.delete_existing_uds_file,
            }
        } else {
            FrontendListener::Tcp {
                address: address(&self.server_bind_address, self.server_port),
                certificate: pair(&self.server_cert, &self.server_key),
                client_authority: self.server_ca_cert.clone().into(),
            }
        }
    }
}

/// A listener's address; a port that doesn't exist has been refused by then.
fn address(host: &str, port: i64) -> ListenAddress {
    ListenAddress {
        host: host.to_owned(),
        port: u16::try_from(port).unwrap_or_default(),
    }
}

fn pair(certificate: &str, key: &str) -> CertificatePair {
    CertificatePair::from_flags(certificate, key).unwrap_or_default()
}

/// A keep-alive time with grpc-go's reading of small ones. A negative one makes the reference spin.
fn keepalive(check: &mut Check, flag: &'static str, value: GoDuration) -> Duration {
    let time = check.non_negative(flag, value);
    if time.is_zero() {
        KEEPALIVE_OF_ZERO
    } else {
        time.max(MIN_KEEPALIVE)
    }
}
