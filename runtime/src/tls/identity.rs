//! Who a peer has authenticated as.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What stays the same when a peer comes again: subject and public key of its certificate, one behind the other in
/// DER, which tells its own lengths. Empty for a peer without a certificate.
///
/// A renewed certificate of the same key is the same peer.
pub(crate) fn identity(certificates: Option<&[CertificateDer<'_>]>) -> Vec<u8> {
    let Some(leaf) = certificates.and_then(<[_]>::first) else {
        return Vec::new();
    };
    match X509Certificate::from_der(leaf) {
        Ok((_, certificate)) => {
            let subject = certificate.subject().as_raw();
            [subject, certificate.public_key().raw].concat()
        }
        // The TLS library took it, so this one is compared as a whole.
        Err(_) => leaf.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_renewed_certificate_is_the_same_peer_and_another_key_or_name_is_not() {
        let certificate = |key: &KeyPair, name: &str, serial: u64| {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.serial_number = Some(serial.into());
            let certificate = params.self_signed(key).expect("parameters are valid");
            identity(Some(&[certificate.der().clone()]))
        };
        let (one, other) = (
            KeyPair::generate().expect("keys can be made"),
            KeyPair::generate().expect("keys can be made"),
        );
        let first = certificate(&one, "agent", 1);
        assert_eq!(certificate(&one, "agent", 2), first);
        assert_ne!(certificate(&other, "agent", 1), first);
        assert_ne!(certificate(&one, "agent-b", 1), first);
        assert!(identity(None).is_empty() && identity(Some(&[])).is_empty());
    }
}
