//! Until when certificates are good.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::error::{KeyPairError, TlsError};
use super::files::{KeyPairFiles, authorities};

impl KeyPairFiles {
    /// When the first certificate of the chain ends (RFC 5280, `notAfter`), and the chain with it.
    ///
    /// # Errors
    /// [`TlsError::KeyPair`] when the file can't be read or has no certificate.
    pub fn expiry(&self) -> Result<SystemTime, TlsError> {
        let malformed = || {
            let error = rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
            self.unusable(KeyPairError::Unusable(error))
        };
        let chain = self.chain()?;
        let mut ends = chain.iter().map(not_after);
        let first = ends.next().flatten().ok_or_else(malformed)?;
        Ok(ends.flatten().fold(first, Ord::min))
    }
}

/// When the last of the CAs in a file ends: from then on no peer can be verified by it.
///
/// # Errors
/// [`TlsError::Ca`] when the file can't be read.
pub fn authorities_expiry(path: &Path) -> Result<Option<SystemTime>, TlsError> {
    Ok(authorities(path)?.iter().filter_map(not_after).max())
}

/// `None` for what is no certificate.
fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    // What ended before 1970 has ended.
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
