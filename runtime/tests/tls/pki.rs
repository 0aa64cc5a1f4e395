//! Certificates for the tests, in a directory of their own.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use dialback_runtime::tls::{ClientTls, KeyPairFiles, ServerTls, TlsPolicy, TlsProtocol};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};

/// A directory with files, removed at the end of a test.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("dialback-tls-{}-{count}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a certificate is for.
#[derive(Clone, Copy)]
pub(crate) enum Usage {
    Server,
    Client,
    Unsaid,
}

/// A CA and what it signs.
pub(crate) struct Authority {
    pub(crate) directory: Directory,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = Directory::new();
        directory.write("ca.crt", &issuer.pem());
        Self { directory, issuer }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path("ca.crt")
    }

    pub(crate) fn issue(&self, name: &str, usage: Usage) -> KeyPairFiles {
        let key = KeyPair::generate().unwrap();
        let pem = key.serialize_pem();
        self.issue_with(name, usage, &key, &pem)
    }

    /// Signs for a key whose file is to be as given.
    pub(crate) fn issue_with(
        &self,
        name: &str,
        usage: Usage,
        key: &KeyPair,
        key_pem: &str,
    ) -> KeyPairFiles {
        let params = params(usage);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        KeyPairFiles {
            certificate: self
                .directory
                .write(&format!("{name}.crt"), &certificate.pem()),
            key: self.directory.write(&format!("{name}.key"), key_pem),
        }
    }

    pub(crate) fn issue_expired(&self, name: &str) -> KeyPairFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = params(Usage::Client);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        KeyPairFiles {
            certificate: self
                .directory
                .write(&format!("{name}.crt"), &certificate.pem()),
            key: self
                .directory
                .write(&format!("{name}.key"), &key.serialize_pem()),
        }
    }

    /// A listener for agents.
    pub(crate) fn listener(&self, client_ca: Option<PathBuf>) -> ServerTls {
        ServerTls {
            pair: self.issue("server", Usage::Server),
            client_ca,
            protocol: TlsProtocol::Grpc,
            policy: TlsPolicy::default(),
        }
    }

    /// An agent that trusts this CA.
    pub(crate) fn client(&self, pair: Option<KeyPairFiles>) -> ClientTls {
        ClientTls {
            ca: self.ca(),
            pair,
            alpn: Vec::new(),
        }
    }
}

fn params(usage: Usage) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["server.test".to_owned()]).unwrap();
    let loopback: IpAddr = [127, 0, 0, 1].into();
    params.subject_alt_names.push(SanType::IpAddress(loopback));
    params.extended_key_usages = match usage {
        Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Unsaid => Vec::new(),
    };
    params
}
