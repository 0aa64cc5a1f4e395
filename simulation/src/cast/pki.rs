//! Certificates of a CA that lives as long as the process.
//!
//! All signatures are Ed25519, which has one length (ECDSA in DER has several), and serial numbers are given: however
//! the keys turn out, every run sends as many bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{env, fs, process};

use dialback_core::connectivity::TlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ED25519, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::server::SERVER_NAME;

/// Who a frontend or an agent is, as its certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    /// The subject's organisation.
    pub organization: &'static str,
    /// The subject's common name.
    pub name: &'static str,
}

impl Names {
    /// The only URI among the subject's alternative names.
    #[must_use]
    pub fn spiffe_id(&self) -> String {
        format!("spiffe://{SERVER_NAME}/{}/{}", self.organization, self.name)
    }

    /// Unlike everybody else's, and always as long: the names themselves, of which RFC 5280 (section 4.1.2.2) lets 20
    /// bytes be a number.
    fn serial(&self) -> SerialNumber {
        let number = format!("{}/{}", self.organization, self.name).into_bytes();
        assert!(number.len() <= 20, "{self:?} are too long for a serial");
        SerialNumber::from(number)
    }
}

struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    server: Pair,
    client: Pair,
    /// Of clients with names: whoever comes again has the same.
    clients: Mutex<BTreeMap<Names, Arc<Pair>>>,
}

struct Pair {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    /// Both, for who reads files.
    pem: [String; 2],
}

fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serial_number = Some(SerialNumber::from(1));
        let issuer = CertifiedIssuer::self_signed(params, key()).unwrap();
        Pki {
            server: issue(&issuer, ExtendedKeyUsagePurpose::ServerAuth, 2, None),
            client: issue(&issuer, ExtendedKeyUsagePurpose::ClientAuth, 3, None),
            clients: Mutex::default(),
            issuer,
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
    names: Option<Names>,
) -> Pair {
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    params.serial_number = Some(SerialNumber::from(serial));
    if let Some(names) = names {
        params.serial_number = Some(names.serial());
        let subject = &mut params.distinguished_name;
        subject.push(DnType::OrganizationName, names.organization);
        subject.push(DnType::CommonName, names.name);
        let id = names.spiffe_id().try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(id));
    }
    let key = key();
    let certificate = params.signed_by(&key, issuer).unwrap();
    Pair {
        certificate: certificate.der().clone(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        pem: [certificate.pem(), key.serialize_pem()],
    }
}

fn client(names: Names) -> Arc<Pair> {
    let Pki {
        issuer, clients, ..
    } = pki();
    let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
    let client = clients.entry(names).or_insert_with(|| {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        Arc::new(issue(issuer, usage, 0, Some(names)))
    });
    Arc::clone(client)
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(pki().issuer.der().clone()).unwrap();
    roots
}

/// What a listener shows to those who have to show certificates too; `protocol` is its name in ALPN. A configuration of
/// its own for every listener, since it remembers sessions.
pub(super) fn server_tls(protocol: &str) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(roots());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let Pair {
        certificate, key, ..
    } = &pki().server;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.clone()], key.clone_key())
        .unwrap();
    config.alpn_protocols = vec![protocol.into()];
    Arc::new(config)
}

/// What an agent connects with; the same holds for it.
pub(super) fn agent_tls(names: Option<Names>) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let named = names.map(client);
    let Pair {
        certificate, key, ..
    } = named.as_deref().unwrap_or(&pki().client);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots())
        .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// What a frontend connects with, in a folder of the system that is removed when this is dropped.
pub(super) struct FrontendFiles(PathBuf);

impl FrontendFiles {
    pub(super) fn write(names: Names) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("dialback-simulation-{}-{count}", process::id());
        let files = Self(env::temp_dir().join(folder));
        fs::create_dir(files.folder()).unwrap();
        let client = client(names);
        let [certificate, key] = &client.pem;
        for (name, pem) in [
            (CA, pki().issuer.pem()),
            (CERTIFICATE, certificate.clone()),
            (KEY, key.clone()),
        ] {
            fs::write(files.folder().join(name), pem).unwrap();
        }
        files
    }

    pub(super) fn tls(&self) -> TlsFiles {
        let folder = self.folder();
        TlsFiles {
            ca: Some(folder.join(CA)),
            client: Some((folder.join(CERTIFICATE), folder.join(KEY))),
            server_name: Some(SERVER_NAME.to_owned()),
        }
    }

    fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for FrontendFiles {
    fn drop(&mut self) {
        // What can't be removed now, the system's own cleaning does.
        let _ = fs::remove_dir_all(self.folder());
    }
}

const CA: &str = "ca.crt";
const CERTIFICATE: &str = "client.crt";
const KEY: &str = "client.key";
