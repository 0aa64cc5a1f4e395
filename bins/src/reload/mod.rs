//! Renewed certificates, keys and CAs, and changed policies and limits, are taken up without a restart, and no connection is dropped for it.
//!
//! The files are read again every so often, and at once on SIGHUP: by content, so it does not matter how they are
//! replaced (written in place, renamed over, or behind the symbolic links of a Kubernetes secret). What changed is
//! tried first, and put to use only if it is good as a whole; else the old ones stay and the log says why.

mod fingerprint;
mod rules;
mod source;

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dialback_runtime::Runtime;
use dialback_runtime::metrics::CertificateMetrics;

use crate::audit::AuditLog;
use crate::daemon::ReloadSignal;
pub(crate) use rules::{ReadRules, RuleFileError, RuleSource, read_rules};
use source::Looked;
pub(crate) use source::Source;

/// A changed file is read again after this: what is copied in pieces is whole by then.
const SETTLE: Duration = Duration::from_secs(1);

/// How often it is said that certificates end soon.
const REMINDER: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps the certificates of a daemon up to date.
#[derive(Debug)]
pub(crate) struct Reloads {
    sources: Vec<Source>,
    rules: Vec<RuleSource>,
    audit: Option<Arc<AuditLog>>,
    metrics: CertificateMetrics,
    interval: Option<Duration>,
}

impl Reloads {
    /// Looks every `interval`; `None` for on SIGHUP only. That certificates end soon is said now already.
    pub(crate) fn new(
        sources: Vec<Source>,
        metrics: CertificateMetrics,
        interval: Option<Duration>,
    ) -> Self {
        for source in &sources {
            metrics.loaded(source.name());
            source.show_expiry(&metrics);
            source.remind(SystemTime::now());
        }
        Self {
            sources,
            rules: Vec::new(),
            audit: None,
            metrics,
            interval,
        }
    }

    /// Has files of rules looked at, too.
    pub(crate) fn with_rules(self, rules: Vec<RuleSource>) -> Self {
        Self { rules, ..self }
    }

    /// Has a log opened again on SIGHUP.
    pub(crate) fn with_audit(self, audit: Option<Arc<AuditLog>>) -> Self {
        Self { audit, ..self }
    }

    /// Runs for ever, inside tokio.
    pub(crate) async fn run<R: Runtime>(
        mut self,
        runtime: R,
        mut signal: ReloadSignal,
    ) -> Infallible {
        let mut reminded = runtime.now();
        let mut settling = false;
        loop {
            let wait = if settling {
                Some(SETTLE)
            } else {
                self.interval
            };
            let asked = tokio::select! {
                biased;
                () = signal.requested() => true,
                () = passed(&runtime, wait) => false,
            };
            if let Some(audit) = self.audit.as_ref().filter(|_| asked) {
                audit.reopen();
            }
            // Files are read where waiting for a disk holds up nobody.
            let looked = tokio::task::spawn_blocking(move || {
                let settling = self.look(asked);
                (self, settling)
            });
            let Ok(looked) = looked.await else {
                tracing::error!(
                    "certificates, policies and limits are not read again any more: reading them broke"
                );
                return pending().await;
            };
            (self, settling) = looked;
            if runtime.now() >= reminded + REMINDER {
                reminded = runtime.now();
                for source in &self.sources {
                    source.remind(SystemTime::now());
                }
            }
        }
    }

    /// Whether some file may still be changing.
    fn look(&mut self, asked: bool) -> bool {
        let mut settling = false;
        for rules in &mut self.rules {
            settling |= rules.look(asked);
        }
        for source in &mut self.sources {
            let now = SystemTime::now();
            match source.look(now, asked) {
                Looked::Same => {}
                Looked::Settling => settling = true,
                Looked::TakenUp => {
                    self.metrics.reloaded(source.name(), true);
                    source.show_expiry(&self.metrics);
                    tracing::info!(
                        source = source.name(),
                        "certificates changed, new connections use the new ones"
                    );
                    source.remind(now);
                }
                Looked::Refused(error) => {
                    self.metrics.reloaded(source.name(), false);
                    tracing::error!(
                        source = source.name(), %error,
                        "certificates changed and the new ones are refused, the old ones stay in use"
                    );
                }
            }
        }
        settling
    }
}

async fn passed<R: Runtime>(runtime: &R, wait: Option<Duration>) {
    match wait {
        Some(wait) => runtime.sleep_until(runtime.now() + wait).await,
        None => pending().await,
    }
}
