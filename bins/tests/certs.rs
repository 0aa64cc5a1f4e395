//! `dialback certs`: what it writes serves mutual TLS, and nothing else than it should.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod scratch;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use scratch::Scratch;

fn certs(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dialback"))
        .args(["certs", "--out"])
        .arg(folder)
        .args(more)
        .output()
        .unwrap()
}

fn issued(folder: &Path, more: &[&str]) -> String {
    let output = certs(folder, more);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

fn roots(path: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path) {
        roots.add(certificate).unwrap();
    }
    roots
}

/// A handshake in memory: the server has the pair `server` and trusts clients of `ca`, the client has the
/// pair `client` and trusts the server's `ca` too.
fn handshake(
    folder: &Path,
    (ca, server, client): (&str, &str, &str),
    name: &str,
) -> Result<(), rustls::Error> {
    let file = |stem: &str, ending: &str| folder.join(format!("{stem}.{ending}"));
    let key = |stem| PrivateKeyDer::from_pem_file(file(stem, "key")).unwrap();
    let provider = Arc::new(default_provider());
    let roots = roots(&file(ca, "crt"));
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone())
            .build()
            .unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(&file(server, "crt")), key(server))?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain(&file(client, "crt")), key(client))?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

const AGENT: (&str, &str, &str) = ("cluster-ca", "cluster", "agent");
const FRONTEND: (&str, &str, &str) = ("server-ca", "server", "client");

#[test]
fn agents_and_frontends_reach_their_listeners_by_every_name() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("new/folder");
    issued(
        &folder,
        &[
            "--server-name",
            "proxy.example",
            "10.1.2.3",
            "--server-name=*.wild.example",
        ],
    );
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "proxy.example",
        "10.1.2.3",
        "a.wild.example",
    ] {
        assert_eq!(handshake(&folder, AGENT, name), Ok(()), "{name}");
        assert_eq!(handshake(&folder, FRONTEND, name), Ok(()), "{name}");
    }
    for name in ["other.example", "10.1.2.4", "wild.example"] {
        assert!(handshake(&folder, AGENT, name).is_err(), "{name}");
    }
}

#[test]
fn a_certificate_opens_no_other_door_than_its_own() {
    let scratch = Scratch::new();
    issued(scratch.path(), &[]);
    for (ca, server, client) in [
        ("server-ca", "server", "agent"),
        ("cluster-ca", "cluster", "client"),
        // A listener's certificate is none for clients, nor the other way round.
        ("cluster-ca", "cluster", "cluster"),
        ("cluster-ca", "agent", "agent"),
    ] {
        assert!(
            handshake(scratch.path(), (ca, server, client), "localhost").is_err(),
            "{client} at {server}"
        );
    }
}

#[test]
fn keys_are_for_the_owner_alone() {
    let scratch = Scratch::new();
    issued(scratch.path(), &[]);
    let mut keys = 0;
    for entry in fs::read_dir(scratch.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.path().extension().unwrap() == "key" {
            keys += 1;
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{entry:?}");
        }
    }
    assert_eq!(keys, 6);
}

#[test]
fn nothing_is_replaced_unless_told_to() {
    let scratch = Scratch::new();
    let precious = scratch.path().join("client.key");
    fs::write(&precious, "precious").unwrap();

    let refused = certs(scratch.path(), &[]);
    assert!(!refused.status.success());
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("client.key exists") && told.contains("--force"),
        "{told}"
    );
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");

    issued(scratch.path(), &["--force"]);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 12);
    assert_eq!(handshake(scratch.path(), FRONTEND, "localhost"), Ok(()));
}

#[test]
fn the_flags_it_prints_name_files_that_exist() {
    let scratch = Scratch::new();
    let told = issued(scratch.path(), &[]);
    let folder = scratch.path().to_str().unwrap();
    let paths = told
        .split_whitespace()
        .filter_map(|word| word.find(folder).map(|at| &word[at..]))
        .filter(|path| path.len() > folder.len() + 1)
        .collect::<Vec<_>>();
    // Three flags each for two listeners, the agent and curl.
    assert_eq!(paths.len(), 12, "{told}");
    for path in paths {
        assert!(Path::new(path).is_file(), "{path}");
    }
}

#[test]
fn what_is_no_host_is_refused_before_anything_is_written() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("certificates");
    let refused = certs(&folder, &["--server-name", "https://proxy.example"]);
    assert!(!refused.status.success());
    assert!(!folder.exists());
}
