#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dialback_runtime::tls::{KeyPairFiles, Reloadable, ServerTls, TlsPolicy, TlsProtocol};
use rustls::ServerConfig;

use super::{Looked, Source, Unusable};
use crate::certs::{CertificateFiles, CertificateSet};
use crate::tool::scratch::Scratch;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Writes a new set of certificates, valid for 30 days from now.
fn issue(folder: &Path, now: SystemTime) {
    let set = CertificateSet::issue(&[], 30 * DAY, now).unwrap();
    CertificateFiles::write(folder, &set, true).unwrap();
}

fn source(folder: &Path) -> (Source, Reloadable<ServerConfig>) {
    let tls = ServerTls {
        pair: KeyPairFiles {
            certificate: folder.join("cluster.crt"),
            key: folder.join("cluster.key"),
        },
        client_ca: Some(folder.join("cluster-ca.crt")),
        protocol: TlsProtocol::Grpc,
        policy: TlsPolicy::default(),
    };
    Source::listener("agents", tls, "cluster-cert", "cluster-ca-cert").unwrap()
}

#[test]
fn what_has_changed_is_taken_up_when_it_is_the_same_twice() {
    let (scratch, now) = (Scratch::new("reload").unwrap(), SystemTime::now());
    issue(scratch.folder(), now);
    let (mut source, config) = source(scratch.folder());
    let first = config.current();
    assert!(matches!(source.look(now, false), Looked::Same));

    issue(scratch.folder(), now);
    assert!(matches!(source.look(now, false), Looked::Settling));
    assert!(Arc::ptr_eq(&config.current(), &first));
    issue(scratch.folder(), now);
    assert!(matches!(source.look(now, false), Looked::Settling));
    assert!(matches!(source.look(now, false), Looked::TakenUp));
    assert!(!Arc::ptr_eq(&config.current(), &first));
    assert!(matches!(source.look(now, false), Looked::Same));
}

#[test]
fn whoever_asks_waits_for_nothing() {
    let (scratch, now) = (Scratch::new("reload").unwrap(), SystemTime::now());
    issue(scratch.folder(), now);
    let (mut source, _config) = source(scratch.folder());
    issue(scratch.folder(), now);
    assert!(matches!(source.look(now, true), Looked::TakenUp));
}

#[test]
fn a_change_that_is_taken_back_is_none() {
    let (scratch, now) = (Scratch::new("reload").unwrap(), SystemTime::now());
    issue(scratch.folder(), now);
    let (mut source, _config) = source(scratch.folder());
    let certificate = scratch.path("cluster.crt");
    let before = fs::read(&certificate).unwrap();
    fs::write(&certificate, "half").unwrap();
    assert!(matches!(source.look(now, false), Looked::Settling));
    fs::write(&certificate, before).unwrap();
    assert!(matches!(source.look(now, false), Looked::Same));
}

#[test]
fn what_is_of_no_use_is_refused_once_and_the_old_stays() {
    let (scratch, now) = (Scratch::new("reload").unwrap(), SystemTime::now());
    issue(scratch.folder(), now);
    let (mut source, config) = source(scratch.folder());
    let mut first = config.current();
    let other = scratch.path("other");
    issue(&other, now);
    let folder = scratch.folder();

    for (file, with) in [
        ("cluster.key", Some(other.join("cluster.key"))),
        ("cluster.crt", Some(other.join("agent.key"))),
        ("cluster-ca.crt", None),
    ] {
        let path = folder.join(file);
        let before = fs::read(&path).unwrap();
        match with {
            Some(with) => drop(fs::copy(with, &path).unwrap()),
            None => fs::remove_file(&path).unwrap(),
        }
        let looked = source.look(now, true);
        assert!(
            matches!(looked, Looked::Refused(Unusable::Tls(_))),
            "{file}: {looked:?}"
        );
        assert!(matches!(source.look(now, true), Looked::Same), "{file}");
        assert!(Arc::ptr_eq(&config.current(), &first), "{file}");
        fs::write(&path, before).unwrap();
        assert!(matches!(source.look(now, true), Looked::TakenUp), "{file}");
        first = config.current();
    }
}

#[test]
fn a_certificate_that_has_ended_is_refused() {
    let (scratch, now) = (Scratch::new("reload").unwrap(), SystemTime::now());
    issue(scratch.folder(), now);
    let (mut source, config) = source(scratch.folder());
    let first = config.current();
    issue(scratch.folder(), now - 33 * DAY);
    let looked = source.look(now, true);
    let Looked::Refused(Unusable::Ended { flag, days }) = looked else {
        panic!("{looked:?}");
    };
    assert_eq!((flag, days), ("cluster-cert", 3));
    assert!(Arc::ptr_eq(&config.current(), &first));
}

#[test]
fn a_secret_that_is_swapped_as_kubernetes_does_is_taken_up() {
    let (scratch, now) = (Scratch::new("reload").unwrap(), SystemTime::now());
    let swap = |version: &str| {
        issue(&scratch.path(version), now);
        let link = scratch.path("..data_tmp");
        std::os::unix::fs::symlink(version, &link).unwrap();
        fs::rename(link, scratch.path("..data")).unwrap();
    };
    swap("1");
    let (mut source, config) = source(&scratch.path("..data"));
    let first = config.current();
    swap("2");
    fs::remove_dir_all(scratch.path("1")).unwrap();
    assert!(matches!(source.look(now, false), Looked::Settling));
    assert!(matches!(source.look(now, false), Looked::TakenUp));
    assert!(!Arc::ptr_eq(&config.current(), &first));
}
