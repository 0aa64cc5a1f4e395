//! Why there is no TLS configuration, in the reference's words where it has some.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem;

use crate::system_error::go_text;

/// Certificates could not be put to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A certificate and its key.
    #[error("failed to load X509 key pair {} and {}: {cause}", certificate.display(), key.display())]
    KeyPair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        cause: KeyPairError,
    },
    /// The certificates that peers are verified by.
    #[error("failed to load CA cert: {0}")]
    Ca(#[from] CaError),
    /// A name for ALPN has to have 1 to 255 bytes (RFC 7301).
    #[error("tls: invalid NextProtos value {0:?}: a protocol name has 1 to 255 bytes")]
    Alpn(String),
    /// The library refuses the configuration as a whole.
    #[error("tls: {0}")]
    Config(#[from] rustls::Error),
}

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyPairError {
    /// A file can't be read.
    #[error("{}", Unreadable { path, error })]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The certificate's file has none.
    #[error("tls: failed to find any PEM data in certificate input")]
    NoCertificate,
    /// The certificate's file has a key in its place.
    #[error(
        "tls: failed to find certificate PEM data in certificate input, but did find a private key; \
         PEM inputs may have been switched"
    )]
    KeyForCertificate,
    /// The key's file has none.
    #[error("tls: failed to find any PEM data in key input")]
    NoKey,
    /// The key's file has a certificate in its place.
    #[error("tls: found a certificate rather than a key in the PEM for the private key")]
    CertificateForKey,
    /// A file is not in the format that its markers announce.
    #[error("tls: {}: {error}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: pem::Error,
    },
    /// Both are good, but not for each other.
    #[error("tls: private key does not match public key")]
    Mismatch,
    /// The certificate or the key is of no use.
    #[error("tls: {0}")]
    Unusable(rustls::Error),
}

/// What is wrong with a file of CA certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// It can't be read.
    #[error("{}", Unreadable { path, error })]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It has no certificate.
    #[error(
        "error creating pool from {}: data does not contain any valid RSA or ECDSA certificates",
        .0.display()
    )]
    Empty(PathBuf),
    /// It is not in the format that its markers announce.
    #[error("error creating pool from {}: {error}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: pem::Error,
    },
    /// None of its certificates is of use; this is the first one's fault.
    #[error("error creating pool from {}: x509: {error}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// `open F: no such file or directory`, as in Go.
struct Unreadable<'a> {
    path: &'a Path,
    error: &'a io::Error,
}

impl fmt::Display for Unreadable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opened = matches!(
            self.error.kind(),
            io::ErrorKind::IsADirectory | io::ErrorKind::FileTooLarge
        );
        let operation = if opened { "read" } else { "open" };
        let path = self.path.display();
        write!(f, "{operation} {path}: {}", go_text(self.error))
    }
}
