//! What is read from files, and what is said of files that are no good.

use std::path::{Path, PathBuf};

use dialback_runtime::tls::{KeyPairFiles, ServerTls, TlsError, TlsPolicy, TlsProtocol};
use rcgen::KeyPair;

use crate::pki::{Authority, Usage};

fn listener(pair: KeyPairFiles) -> ServerTls {
    ServerTls {
        pair,
        client_ca: None,
        protocol: TlsProtocol::Http1,
        policy: TlsPolicy::default(),
    }
}

fn pair_error(certificate: &Path, key: &Path) -> String {
    let pair = KeyPairFiles {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let text = listener(pair).load().map(drop).unwrap_err().to_string();
    let prefix = format!(
        "failed to load X509 key pair {} and {}: ",
        certificate.display(),
        key.display()
    );
    text.strip_prefix(&prefix).unwrap().to_owned()
}

#[test]
fn keys_of_all_three_formats_are_taken() {
    let authority = Authority::new();
    for (name, pem) in [
        ("sec1", include_str!("ec-sec1.pem")),
        ("pkcs1", include_str!("rsa-pkcs1.pem")),
    ] {
        let key = KeyPair::from_pem(pem).unwrap();
        let pair = authority.issue_with(name, Usage::Server, &key, pem);
        listener(pair).load().unwrap();
    }
    let pkcs8 = authority.issue("pkcs8", Usage::Server);
    listener(pkcs8).load().unwrap();
}

#[test]
fn pairs_that_are_no_good_are_named_as_in_the_reference() {
    let authority = Authority::new();
    let one = authority.issue("one", Usage::Server);
    let other = authority.issue("other", Usage::Server);
    let directory = &authority.directory;
    let missing = directory.path("missing");
    let empty = directory.write("empty", "");
    let no_such_file = |path: &Path| format!("open {}: no such file or directory", path.display());
    let cases = [
        (&one.certificate, &missing, no_such_file(&missing)),
        (&missing, &one.key, no_such_file(&missing)),
        (
            &empty,
            &one.key,
            "tls: failed to find any PEM data in certificate input".to_owned(),
        ),
        (
            &one.certificate,
            &empty,
            "tls: failed to find any PEM data in key input".to_owned(),
        ),
        (
            &one.key,
            &one.key,
            "tls: failed to find certificate PEM data in certificate input, but did find a private \
             key; PEM inputs may have been switched"
                .to_owned(),
        ),
        (
            &one.certificate,
            &one.certificate,
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned(),
        ),
        (
            &one.certificate,
            &other.key,
            "tls: private key does not match public key".to_owned(),
        ),
    ];
    for (certificate, key, text) in cases {
        assert_eq!(pair_error(certificate, key), text);
    }
    let directory_text = pair_error(&directory.path(""), &one.key);
    assert!(
        directory_text.ends_with(": is a directory"),
        "{directory_text}"
    );
}

#[test]
fn a_pair_that_is_not_given_reads_as_in_the_reference() {
    let nothing = KeyPairFiles {
        certificate: PathBuf::new(),
        key: PathBuf::new(),
    };
    assert_eq!(
        listener(nothing).load().unwrap_err().to_string(),
        "failed to load X509 key pair  and : open : no such file or directory"
    );
}

#[test]
fn a_broken_file_is_named() {
    let authority = Authority::new();
    let pair = authority.issue("pair", Usage::Server);
    let torn = authority
        .directory
        .write("torn", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let text = pair_error(&torn, &pair.key);
    let start = format!("tls: {}: missing section end marker", torn.display());
    assert!(text.starts_with(&start), "{text}");
}

#[test]
fn cas_that_are_no_good_are_named_as_in_the_reference() {
    let authority = Authority::new();
    let missing = authority.directory.path("missing");
    let empty = authority.directory.write("empty", "no PEM at all\n");
    let key = authority.issue("pair", Usage::Server).key;
    for (ca, text) in [
        (
            missing.clone(),
            format!("open {}: no such file or directory", missing.display()),
        ),
        (
            PathBuf::new(),
            "open : no such file or directory".to_owned(),
        ),
        (
            empty.clone(),
            format!(
                "error creating pool from {}: data does not contain any valid RSA or ECDSA certificates",
                empty.display()
            ),
        ),
        (
            key.clone(),
            format!(
                "error creating pool from {}: data does not contain any valid RSA or ECDSA certificates",
                key.display()
            ),
        ),
    ] {
        let mut client = authority.client(None);
        client.ca.clone_from(&ca);
        let text = format!("failed to load CA cert: {text}");
        assert_eq!(client.load().unwrap_err().to_string(), text);
        let server = authority.listener(Some(ca));
        assert_eq!(server.load().unwrap_err().to_string(), text);
    }
}

#[test]
fn a_certificate_that_is_of_no_use_does_not_spoil_a_bundle() {
    let authority = Authority::new();
    let good = std::fs::read_to_string(authority.ca()).unwrap();
    let useless = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n";
    let mut client = authority.client(None);
    client.ca = authority
        .directory
        .write("bundle", &format!("{useless}{good}"));
    client.load().unwrap();
    client.ca = authority.directory.write("useless", useless);
    let text = client.load().unwrap_err().to_string();
    let start = format!(
        "failed to load CA cert: error creating pool from {}: x509: ",
        client.ca.display()
    );
    assert!(text.starts_with(&start), "{text}");
}

#[test]
fn protocol_names_that_cannot_be_offered_are_refused() {
    let authority = Authority::new();
    for name in ["", &"x".repeat(256)] {
        let mut client = authority.client(None);
        client.alpn = vec![name.to_owned()];
        let refused = client.load().unwrap_err();
        assert!(matches!(refused, TlsError::Alpn(_)), "{refused}");
        assert!(
            refused
                .to_string()
                .starts_with("tls: invalid NextProtos value")
        );
    }
}
