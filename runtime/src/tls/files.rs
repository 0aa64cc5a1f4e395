//! Certificates and keys from PEM files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::{CaError, KeyPairError, TlsError};

/// A file of certificates is read up to this size; all public CAs of the world take a tenth of it.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Where a certificate and its key are.
///
/// The certificate's file may have the chain up to the CA behind it. The key is PKCS #8, PKCS #1 or SEC 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairFiles {
    /// PEM of the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM of the key.
    pub key: PathBuf,
}

impl KeyPairFiles {
    pub(super) fn load(&self) -> Result<KeyPair, TlsError> {
        let load = || {
            let certificate = read_pair(&self.certificate)?;
            let key = read_pair(&self.key)?;
            Ok(KeyPair {
                chain: chain(&self.certificate, &certificate)?,
                key: private_key(&self.key, &key)?,
            })
        };
        load().map_err(|cause| self.unusable(cause))
    }

    /// The certificates alone, without the key.
    pub(super) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificate = read_pair(&self.certificate);
        certificate
            .and_then(|bytes| chain(&self.certificate, &bytes))
            .map_err(|cause| self.unusable(cause))
    }

    /// The error of a configuration that the pair was given to.
    pub(super) fn refused(&self, error: rustls::Error) -> TlsError {
        let cause = if matches!(error, rustls::Error::InconsistentKeys(_)) {
            KeyPairError::Mismatch
        } else {
            KeyPairError::Unusable(error)
        };
        self.unusable(cause)
    }

    pub(super) fn unusable(&self, cause: KeyPairError) -> TlsError {
        TlsError::KeyPair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            cause,
        }
    }
}

/// What [`KeyPairFiles`] name.
pub(super) struct KeyPair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// The certificates that peers are verified by. One that the library can't use is left out with a warning, for
/// bundles tend to hold old ones; at least one has to remain.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let mut unusable = None;
    for certificate in authorities(path)? {
        if let Err(error) = roots.add(certificate) {
            tracing::warn!(file = %path.display(), %error, "a CA certificate is not usable and is left out");
            unusable.get_or_insert(error);
        }
    }
    if !roots.is_empty() {
        return Ok(roots);
    }
    let path = path.to_owned();
    Err(match unusable {
        Some(error) => CaError::Unusable { path, error },
        None => CaError::Empty(path),
    }
    .into())
}

/// All certificates of a file of CAs, usable or not.
pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let bytes = read(path).map_err(|error| CaError::File {
        path: path.to_owned(),
        error,
    })?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| CaError::Pem {
            path: path.to_owned(),
            error,
        })
}

fn chain(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, KeyPairError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(malformed(path))?;
    if !chain.is_empty() {
        return Ok(chain);
    }
    Err(match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(_) => KeyPairError::KeyForCertificate,
        Err(_) => KeyPairError::NoCertificate,
    })
}

fn private_key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, KeyPairError> {
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(match CertificateDer::from_pem_slice(bytes) {
            Ok(_) => KeyPairError::CertificateForKey,
            Err(_) => KeyPairError::NoKey,
        }),
        Err(error) => Err(malformed(path)(error)),
    }
}

fn malformed(path: &Path) -> impl Fn(pem::Error) -> KeyPairError {
    move |error| KeyPairError::Pem {
        path: path.to_owned(),
        error,
    }
}

fn read_pair(path: &Path) -> Result<Vec<u8>, KeyPairError> {
    read(path).map_err(|error| KeyPairError::File {
        path: path.to_owned(),
        error,
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}
