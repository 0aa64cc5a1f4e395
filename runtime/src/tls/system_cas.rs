//! The CAs that the system trusts.

use std::path::{Path, PathBuf};

/// Where systems keep the CAs that they trust (Go, `crypto/x509/root_linux.go`).
const SYSTEM_CAS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The file of the CAs that the system trusts: the one that `SSL_CERT_FILE` names, else the first of the usual ones
/// that is there.
#[must_use]
pub fn system_cas() -> PathBuf {
    let named = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty());
    named.map(PathBuf::from).unwrap_or_else(|| {
        let existing = SYSTEM_CAS.into_iter().find(|file| Path::new(file).exists());
        PathBuf::from(existing.unwrap_or(SYSTEM_CAS[0]))
    })
}
