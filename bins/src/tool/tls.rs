//! TLS as the parts of this command use it among themselves: version 1.3, both sides with certificates,
//! and the cryptographic provider of the daemons.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

/// Certificates could not be put to use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing or not what it should be.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A certificate does not serve its purpose.
    #[error("cannot use {}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// Peers cannot be verified against a CA.
    #[error("cannot verify peers against {}: {source}", path.display())]
    Verifier {
        /// The CA's certificate.
        path: PathBuf,
        /// What is wrong with it.
        source: VerifierBuilderError,
    },
}

/// Where one side's certificates are.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The CA that signed the other side.
    pub(crate) ca: PathBuf,
    /// This side's certificate.
    pub(crate) certificate: PathBuf,
    /// This side's private key.
    pub(crate) key: PathBuf,
}

/// A client that shows its certificate and trusts servers of its CA.
pub(crate) fn client(identity: &Identity) -> Result<ClientConfig, TlsError> {
    let unusable = |source| TlsError::Certificate {
        path: identity.certificate.clone(),
        source,
    };
    let (chain, key) = identity.load()?;
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_root_certificates(roots(&identity.ca)?)
        .with_client_auth_cert(chain, key)
        .map_err(unusable)
}

/// A client that shows nothing and trusts servers of `ca`; TLS 1.2 too, as servers anywhere may have it.
pub(crate) fn anonymous_client(ca: &Path) -> Result<ClientConfig, TlsError> {
    let unusable = |source| TlsError::Certificate {
        path: ca.to_owned(),
        source,
    };
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unusable)?
        .with_root_certificates(roots(ca)?);
    Ok(config.with_no_client_auth())
}

/// A server that shows its certificate and demands one of its CA.
pub(crate) fn server(identity: &Identity) -> Result<ServerConfig, TlsError> {
    let unusable = |source| TlsError::Certificate {
        path: identity.certificate.clone(),
        source,
    };
    let (chain, key) = identity.load()?;
    let roots = Arc::new(roots(&identity.ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|source| TlsError::Verifier {
            path: identity.ca.clone(),
            source,
        })?;
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(unusable)
}

impl Identity {
    fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|source| TlsError::File {
            path: self.key.clone(),
            source,
        })?;
        Ok((certificates(&self.certificate)?, key))
    }
}

fn roots(ca: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Certificate {
                path: ca.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| TlsError::File {
            path: path.to_owned(),
            source,
        })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
