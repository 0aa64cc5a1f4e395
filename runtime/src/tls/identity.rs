//! Who a peer has authenticated as.

use dialback_core::Identity;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use x509_parser::x509::AttributeTypeAndValue;

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

/// The names in a peer's certificate, which the TLS library has verified; none for a peer without one.
///
/// The size of a handshake message bounds how much that can be. What is no text is left out.
pub(crate) fn certified_names(certificates: Option<&[CertificateDer<'_>]>) -> Identity {
    let leaf = certificates.and_then(<[_]>::first);
    let Some(Ok((_, certificate))) = leaf.map(|leaf| X509Certificate::from_der(leaf)) else {
        return Identity::default();
    };
    let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
    let subject = certificate.subject();
    let mut identity = Identity {
        // Of several the last one, which is the most specific (as in Go's `pkix.Name`).
        common_name: subject.iter_common_name().filter_map(text).last(),
        organizations: subject.iter_organization().filter_map(text).collect(),
        ..Identity::default()
    };
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        for name in &names.value.general_names {
            if let GeneralName::DNSName(name) = name {
                identity.dns_names.push((*name).to_owned());
            } else if let GeneralName::URI(uri) = name {
                identity.uris.push((*uri).to_owned());
            }
        }
    }
    identity
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

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

    #[test]
    fn names_are_read_from_the_subject_and_its_alternatives() {
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::new(vec!["apiserver.example".to_owned()])
            .expect("a DNS name is valid");
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        let id = "spiffe://example.org/ns/kube-system/sa/apiserver";
        let uri = id.try_into().expect("an ASCII string");
        params.subject_alt_names.push(SanType::URI(uri));
        let certificate = params.self_signed(&key).expect("parameters are valid");
        let names = certified_names(Some(&[certificate.der().clone()]));
        assert_eq!(
            names,
            Identity {
                common_name: Some("kube-apiserver".to_owned()),
                organizations: vec!["system:masters".to_owned()],
                dns_names: vec!["apiserver.example".to_owned()],
                uris: vec![id.to_owned()],
                service_account: None,
                unix: None,
            }
        );
        assert_eq!(names.name(), id);
        assert!(certified_names(None).is_anonymous());
        assert!(certified_names(Some(&[CertificateDer::from_slice(b"no DER")])).is_anonymous());
    }
}
