//! What can be wrong with options that a command line can express, in the reference's words where it has some.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dialback_core::policy::InvalidRule;
use dialback_core::server::StrategiesError;
use dialback_core::wire::IdentifierOptionError;
use dialback_runtime::tls::TlsPolicyError;
use thiserror::Error;

use super::quote::quote;
use super::value::GoDuration;

/// All that is wrong with the options of a daemon: at least one problem, in the order in which the reference checks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to validate {daemon} options with {}", .problems.first)]
pub struct InvalidOptions {
    daemon: &'static str,
    problems: Problems,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Problems {
    first: OptionProblem,
    others: Vec<OptionProblem>,
}

impl InvalidOptions {
    /// Each problem as an error of its own; the reference stops at the first.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        let problems = &self.problems;
        [&problems.first]
            .into_iter()
            .chain(&problems.others)
            .map(|problem| Self {
                daemon: self.daemon,
                problems: Problems {
                    first: problem.clone(),
                    others: Vec::new(),
                },
            })
    }
}

/// Options that may be used, and what the operator should know about them.
#[derive(Clone, Debug)]
pub struct Validated<T> {
    /// The options.
    pub options: T,
    /// Lines for the log, each a sentence.
    pub warnings: Vec<String>,
}

/// Collects what is wrong, so that all of it can be told at once.
#[derive(Debug, Default)]
pub(super) struct Check {
    problems: Vec<OptionProblem>,
    warnings: Vec<String>,
}

impl Check {
    pub(super) fn refuse(&mut self, problem: OptionProblem) {
        self.problems.push(problem);
    }

    pub(super) fn refuse_if(&mut self, condition: bool, problem: impl FnOnce() -> OptionProblem) {
        if condition {
            self.refuse(problem());
        }
    }

    pub(super) fn warn_if(&mut self, condition: bool, warning: impl FnOnce() -> String) {
        if condition {
            self.warn(warning());
        }
    }

    /// Notes something that is legal, and that the operator should know of.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// The value, or its default after noting what is wrong with it.
    pub(super) fn value<T: Default, E: Into<OptionProblem>>(&mut self, value: Result<T, E>) -> T {
        value.unwrap_or_else(|problem| {
            self.refuse(problem.into());
            T::default()
        })
    }

    /// A time that can't be below zero, or zero after noting that it is.
    pub(super) fn non_negative(&mut self, flag: &'static str, value: GoDuration) -> Duration {
        let problem = OptionProblem::NegativeTime { flag, value };
        self.value(value.non_negative().ok_or(problem))
    }

    /// Notes a file that is not there. As in the reference, one that can't be read, or is a directory, passes here
    /// and fails when it is opened.
    pub(super) fn file_exists(
        &mut self,
        path: &str,
        problem: impl FnOnce(PathBuf) -> OptionProblem,
    ) {
        let missing = matches!(
            std::fs::metadata(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound
        );
        self.refuse_if(!path.is_empty() && missing, || problem(path.into()));
    }

    /// Notes what is wrong with the files of a certificate: missing ones, and one of the pair alone.
    pub(super) fn certificate_files(&mut self, owner: &'static str, certificate: &str, key: &str) {
        self.file_exists(key, |path| OptionProblem::FileMissing {
            file: CheckedFile::Key(owner),
            path,
        });
        self.refuse_if(!key.is_empty() && certificate.is_empty(), || {
            OptionProblem::KeyAlone {
                owner,
                key: key.to_owned(),
            }
        });
        self.file_exists(certificate, |path| OptionProblem::FileMissing {
            file: CheckedFile::Certificate(owner),
            path,
        });
        self.refuse_if(!certificate.is_empty() && key.is_empty(), || {
            OptionProblem::CertificateAlone {
                owner,
                certificate: certificate.to_owned(),
            }
        });
    }

    /// The options, unless something was wrong.
    pub(super) fn finish<T>(
        self,
        daemon: &'static str,
        options: T,
    ) -> Result<Validated<T>, InvalidOptions> {
        let mut problems = self.problems.into_iter();
        match problems.next() {
            None => Ok(Validated {
                options,
                warnings: self.warnings,
            }),
            Some(first) => Err(InvalidOptions {
                daemon,
                problems: Problems {
                    first,
                    others: problems.collect(),
                },
            }),
        }
    }
}

/// A file that an option names and that has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CheckedFile {
    /// A private key: of the server, the cluster or the agent.
    #[error("{0} key")]
    Key(&'static str),
    /// A certificate.
    #[error("{0} cert")]
    Certificate(&'static str),
    /// What certificates are verified with.
    #[error("{0} CA cert")]
    Authority(&'static str),
    /// The agent's token.
    #[error("service account token path")]
    Token,
}

/// One thing that is wrong with the options.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OptionProblem {
    /// A file is not there.
    #[error("error checking {file} {}, got {}", path.display(), missing(path))]
    FileMissing {
        /// Which.
        file: CheckedFile,
        /// Where it should be.
        path: PathBuf,
    },
    /// The server's kubeconfig is not there.
    #[error("checking KubeconfigPath {}, got {}", quote_path(.0), missing(.0))]
    ServerKubeconfigMissing(PathBuf),
    /// The agent's kubeconfig is not there.
    #[error("error checking KubeconfigPath {}, got {}", quote_path(.0), missing(.0))]
    AgentKubeconfigMissing(PathBuf),
    /// A key without its certificate.
    #[error(
        "cannot have {owner} cert empty when {owner} key is set to {}",
        quote(key)
    )]
    KeyAlone {
        /// Whose.
        owner: &'static str,
        /// The key's file.
        key: String,
    },
    /// A certificate without its key.
    #[error(
        "cannot have {owner} key empty when {owner} cert is set to {}",
        quote(certificate)
    )]
    CertificateAlone {
        /// Whose.
        owner: &'static str,
        /// The certificate's file.
        certificate: String,
    },
    /// Neither, though the listener speaks TLS.
    #[error("{0} cert and key must be set: the listener speaks TLS")]
    NoCertificate(&'static str),
    /// The agent has nothing to verify the server with.
    #[error("agent CA cert must be set: the server's certificate is verified with it")]
    NoAgentAuthority,
    /// Not a frontend protocol.
    #[error("mode must be set to either 'grpc' or 'http-connect' not {}", quote(.0))]
    Mode(String),
    /// A TCP port next to a Unix socket.
    #[error("server port should be set to 0 not {0} for UDS")]
    PortWithUnixSocket(i64),
    /// TLS files next to a Unix socket, which is plain text.
    #[error("server {0} should not be set for UDS")]
    TlsWithUnixSocket(&'static str),
    /// Frontends could not be verified.
    #[error("server ca cert must be set when in TCP mode (uds-name is empty)")]
    NoFrontendAuthority,
    /// A port that the system gives to outgoing connections.
    #[error("please do not try to use ephemeral port {port} for the {listener} port")]
    EphemeralPort {
        /// The port.
        port: i64,
        /// Whose it is.
        listener: &'static str,
    },
    /// A port for privileged processes, or none at all.
    #[error("please do not try to use reserved port {port} for the {listener} port")]
    ReservedPort {
        /// The port.
        port: i64,
        /// Whose it is.
        listener: &'static str,
    },
    /// A port of the agent that is zero or less.
    #[error("{listener} port {port} must be greater than 0")]
    PortNotPositive {
        /// The port.
        port: i64,
        /// Whose it is.
        listener: &'static str,
    },
    /// A port of the agent that doesn't exist.
    #[error("{listener} port {port} must not be greater than 65535")]
    PortTooLarge {
        /// The port.
        port: i64,
        /// Whose it is.
        listener: &'static str,
    },
    /// One kind of profiling needs the other.
    #[error("if --enable-contention-profiling is set, --enable-profiling must also be set")]
    ContentionWithoutProfiling,
    /// Agents are authenticated by token or by certificate.
    #[error("--cluster-ca-cert can not be used when agent authentication is enabled")]
    TokensWithCertificates,
    /// Agents were to be authenticated, and nothing says how.
    #[error(
        "--require-agent-authentication is set: set --cluster-ca-cert too, or --agent-namespace and the flags beside it"
    )]
    AnyAgent,
    /// A flag of token authentication is missing.
    #[error("--{0} cannot be empty when agent authentication is enabled")]
    IncompleteTokenAuthentication(&'static str),
    /// Not a list of strategies.
    #[error(transparent)]
    Strategies(#[from] StrategiesError),
    /// Queues without room.
    #[error("channel size {0} must be greater than 0")]
    ChannelSize(i64),
    /// TLS versions or cipher suites that can't be served.
    #[error(transparent)]
    Tls(#[from] TlsPolicyError),
    /// No label where one is needed.
    #[error("empty string provided")]
    NoLabel,
    /// Not `key=value`.
    #[error("invalid label format: {0}")]
    Label(String),
    /// A label that Kubernetes has no such thing as.
    #[error("lease label {}: {fault}", quote(label))]
    LabelFault {
        /// The label, `key=value`.
        label: String,
        /// What is wrong with either, in Kubernetes' words.
        fault: String,
    },
    /// A Lease without a namespace.
    #[error("--lease-namespace cannot be empty when the lease controller is enabled")]
    NoLeaseNamespace,
    /// An ID that can't be part of a Lease's name.
    #[error(
        "--server-id {} can't be part of a Lease's name: {fault}",
        quote(server_id)
    )]
    LeaseName {
        /// The ID.
        server_id: String,
        /// What is wrong with it, in Kubernetes' words.
        fault: String,
    },
    /// Something that needs the Kubernetes API, on a runtime that can't ask it.
    #[error("{0} needs --runtime=tokio, which the Kubernetes API is asked on")]
    OnlyOnTokio(&'static str),
    /// A rule about destinations that makes no sense.
    #[error("--{flag}={rule}: {error}")]
    Destination {
        /// The flag without its hyphens.
        flag: &'static str,
        /// As it was given.
        rule: String,
        /// What is wrong with it.
        error: Box<InvalidRule>,
    },
    /// Not a form of audit records.
    #[error("--audit-log-format must be set to either 'json' or 'legacy' not {}", quote(.0))]
    AuditFormat(String),
    /// Not a rule for records that can't be written.
    #[error("--audit-log-mode must be set to either 'best-effort' or 'strict' not {}", quote(.0))]
    AuditMode(String),
    /// Says what to record, and nothing is.
    #[error(
        "--audit-policy-file is set: set --audit-log-path too, for nothing is recorded without it"
    )]
    AuditPolicyWithoutLog,
    /// A count that can't be below zero, in kube-apiserver's words.
    #[error("--{flag} {value} can't be a negative number")]
    Negative {
        /// The flag without its hyphens.
        flag: &'static str,
        /// Its value.
        value: i64,
    },
    /// A time that can't be below zero.
    #[error("{flag} must be >= 0, got {value}")]
    NegativeTime {
        /// The flag without its hyphens.
        flag: &'static str,
        /// Its value.
        value: GoDuration,
    },
    /// Too little room for anything to move.
    #[error("{flag} must be >= {least} bytes, got {value}")]
    TooFewBytes {
        /// The flag without its hyphens.
        flag: &'static str,
        /// Its value, in bytes.
        value: i64,
        /// The least that it may be, in bytes.
        least: u64,
    },
    /// A count without which nothing would be served.
    #[error("{flag} must be >= 1, got {value}")]
    TooFew {
        /// The flag without its hyphens.
        flag: &'static str,
        /// Its value.
        value: i64,
    },
    /// A time without which something would spin.
    #[error("{flag} must be > 0, got {value}")]
    NoTime {
        /// The flag without its hyphens.
        flag: &'static str,
        /// Its value.
        value: GoDuration,
    },
    /// The pause would begin above its own limit.
    #[error("sync interval {interval} must be less than sync interval cap {cap}")]
    SyncIntervalAboveCap {
        /// The first pause.
        interval: GoDuration,
        /// Its limit.
        cap: GoDuration,
    },
    /// Not a query string of identifiers.
    #[error(transparent)]
    Identifiers(#[from] IdentifierOptionError),
    /// Not a source for the number of servers.
    #[error("--server-count-source must be one of '', 'default', 'max', got {0}")]
    ServerCountSource(String),
    /// An ID that can't be sent in a header.
    #[error("--{flag} {} must consist of printable ASCII characters", quote(value))]
    Id {
        /// The flag without its hyphens.
        flag: &'static str,
        /// Its value.
        value: String,
    },
    /// A name that TLS can't negotiate.
    #[error("--alpn-proto {} must be 1 to 255 bytes long", quote(.0))]
    AlpnProtocol(String),
}

fn missing(path: &Path) -> String {
    format!("stat {}: no such file or directory", path.display())
}

fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}
