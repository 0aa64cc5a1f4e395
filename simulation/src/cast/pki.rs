//! Certificates of a CA that lives as long as the process.
//!
//! All signatures are Ed25519, which has one length (ECDSA in DER has several), and serial numbers are given: however
//! the keys turn out, every run sends as many bytes.

use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ED25519, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::server::SERVER_NAME;

struct Pki {
    ca: CertificateDer<'static>,
    server: Pair,
    client: Pair,
    /// Of clients with an organisation.
    clients: [(&'static str, Pair); 2],
}

struct Pair {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serial_number = Some(SerialNumber::from(1));
        let issuer = CertifiedIssuer::self_signed(params, key()).unwrap();
        Pki {
            ca: issuer.der().clone(),
            server: issue(&issuer, ExtendedKeyUsagePurpose::ServerAuth, 2, None),
            client: issue(&issuer, ExtendedKeyUsagePurpose::ClientAuth, 3, None),
            clients: [("blue", 4), ("red", 5)].map(|(organization, serial)| {
                let usage = ExtendedKeyUsagePurpose::ClientAuth;
                let pair = issue(&issuer, usage, serial, Some(organization));
                (organization, pair)
            }),
        }
    })
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

fn issue(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    usage: ExtendedKeyUsagePurpose,
    serial: u64,
    organization: Option<&str>,
) -> Pair {
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    params.serial_number = Some(SerialNumber::from(serial));
    if let Some(organization) = organization {
        let name = &mut params.distinguished_name;
        name.push(DnType::OrganizationName, organization);
    }
    let key = key();
    let certificate = params.signed_by(&key, issuer).unwrap();
    Pair {
        certificate: certificate.der().clone(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    }
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(pki().ca.clone()).unwrap();
    roots
}

/// What agents meet; a configuration of its own for every server, since it remembers sessions.
pub(super) fn server_tls() -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(roots());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let Pair { certificate, key } = &pki().server;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.clone()], key.clone_key())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// What an agent connects with; the same holds for it.
pub(super) fn agent_tls(organization: Option<&str>) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut clients = pki().clients.iter();
    let of = clients.find(|(name, _)| Some(*name) == organization);
    let Pair { certificate, key } = of.map_or(&pki().client, |(_, pair)| pair);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots())
        .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}
