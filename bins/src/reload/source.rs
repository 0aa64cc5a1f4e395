//! The files of one TLS configuration, and what is done when they change.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use dialback_runtime::metrics::CertificateMetrics;
use dialback_runtime::tls::{
    ClientTls, KeyPairFiles, Reloadable, ServerTls, TlsError, authorities_expiry,
};
use thiserror::Error;

use super::fingerprint::{Seen, Watched};
use crate::expiry::Expiry;

/// The files of one TLS configuration.
pub(crate) struct Source {
    name: &'static str,
    files: Watched,
    certificates: Vec<Certificates>,
    reload: Box<dyn Fn() -> Result<(), TlsError> + Send>,
    /// The ends of what is in use, by flag.
    ends: Vec<(&'static str, SystemTime)>,
}

/// What a flag names that has an end.
#[derive(Debug)]
enum Certificates {
    Pair(&'static str, KeyPairFiles),
    Authorities(&'static str, PathBuf),
}

impl Certificates {
    fn end(&self) -> Result<Option<(&'static str, SystemTime)>, TlsError> {
        match self {
            Self::Pair(flag, pair) => Ok(Some((*flag, pair.expiry()?))),
            Self::Authorities(flag, path) => {
                Ok(authorities_expiry(path)?.map(|expiry| (*flag, expiry)))
            }
        }
    }
}

/// What a look at the files has shown.
#[derive(Debug)]
pub(super) enum Looked {
    /// Nothing new.
    Same,
    /// They differ from before, and may go on changing.
    Settling,
    /// They changed, and what they hold is in use now.
    TakenUp,
    /// They changed, and what they hold can't be used.
    Refused(Unusable),
}

/// Why changed certificates are not put to use.
#[derive(Debug, Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the certificate of --{flag} ended {days} days ago")]
    Ended { flag: &'static str, days: u64 },
}

impl Source {
    /// A listener's: its name, its TLS, and the flags of its certificate and of its clients' CAs.
    ///
    /// # Errors
    /// Those of [`ServerTls::load`].
    pub(crate) fn listener(
        name: &'static str,
        tls: ServerTls,
        pair_flag: &'static str,
        authority_flag: &'static str,
    ) -> Result<(Self, Reloadable<rustls::ServerConfig>), TlsError> {
        let mut certificates = vec![Certificates::Pair(pair_flag, tls.pair.clone())];
        if let Some(path) = &tls.client_ca {
            certificates.push(Certificates::Authorities(authority_flag, path.clone()));
        }
        Self::new(name, certificates, move || tls.load())
    }

    /// That of connections to servers, with the flags as for [`listener`](Self::listener).
    ///
    /// # Errors
    /// Those of [`ClientTls::load`].
    pub(crate) fn client(
        name: &'static str,
        tls: ClientTls,
        pair_flag: &'static str,
        authority_flag: &'static str,
    ) -> Result<(Self, Reloadable<rustls::ClientConfig>), TlsError> {
        let mut certificates = vec![Certificates::Authorities(authority_flag, tls.ca.clone())];
        if let Some(pair) = &tls.pair {
            certificates.push(Certificates::Pair(pair_flag, pair.clone()));
        }
        Self::new(name, certificates, move || tls.load())
    }

    fn new<T: Send + Sync + 'static>(
        name: &'static str,
        certificates: Vec<Certificates>,
        load: impl Fn() -> Result<Arc<T>, TlsError> + Send + 'static,
    ) -> Result<(Self, Reloadable<T>), TlsError> {
        let mut files = Vec::new();
        for named in &certificates {
            match named {
                Certificates::Pair(_, pair) => {
                    files.extend([pair.certificate.clone(), pair.key.clone()]);
                }
                Certificates::Authorities(_, path) => files.push(path.clone()),
            }
        }
        // Before they are loaded: what changes in between is seen at the next look.
        let files = Watched::new(files);
        let config = Reloadable::from(load()?);
        let shared = config.clone();
        let source = Self {
            name,
            files,
            ends: ends(&certificates)?,
            certificates,
            reload: Box::new(move || {
                shared.replace(load()?);
                Ok(())
            }),
        };
        Ok((source, config))
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Looks at the files. What has changed is put to use once it was the same twice, or at once when `asked`.
    pub(super) fn look(&mut self, now: SystemTime, asked: bool) -> Looked {
        match self.files.look(asked) {
            Seen::Same => return Looked::Same,
            Seen::Settling => return Looked::Settling,
            Seen::Changed => {}
        }
        match self.take_up(now) {
            Ok(()) => Looked::TakenUp,
            Err(error) => Looked::Refused(error),
        }
    }

    fn take_up(&mut self, now: SystemTime) -> Result<(), Unusable> {
        let ends = ends(&self.certificates)?;
        for &(flag, end) in &ends {
            if let Expiry::Over(days) = Expiry::at(end, now) {
                return Err(Unusable::Ended { flag, days });
            }
        }
        (self.reload)()?;
        self.ends = ends;
        Ok(())
    }

    /// Tells when what is in use ends.
    pub(super) fn show_expiry(&self, metrics: &CertificateMetrics) {
        for &(flag, end) in &self.ends {
            metrics.expire(flag, end);
        }
    }

    /// Says in the log what ends soon or has ended.
    pub(super) fn remind(&self, now: SystemTime) {
        for &(flag, end) in &self.ends {
            match Expiry::at(end, now) {
                Expiry::Far => {}
                Expiry::Soon(days) => {
                    tracing::warn!(flag, days, "a certificate ends soon, renew it");
                }
                Expiry::Over(days) => {
                    tracing::error!(
                        flag,
                        days,
                        "a certificate has ended, peers refuse it; renew it"
                    );
                }
            }
        }
    }
}

fn ends(certificates: &[Certificates]) -> Result<Vec<(&'static str, SystemTime)>, TlsError> {
    certificates
        .iter()
        .filter_map(|named| named.end().transpose())
        .collect()
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
