//! Certificates that are renewed under running daemons: no stream ends, and new connections use the new ones.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::daemon::{Daemon, eventually};
use support::pair::{Front, Pair, Site};
use support::stream::Stream;

const STREAMS: usize = 100;

/// Certificates are read again on SIGHUP only, so that a test knows when.
const ON_HANGUP: &str = "--certificate-reload-interval=0s";

/// Puts content in place as a careful installer does: whole, or not at all.
fn put(site: &Site, file: &str, content: impl AsRef<[u8]>) {
    let next = site.file("next");
    fs::write(&next, content).unwrap();
    fs::rename(next, site.file(file)).unwrap();
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}

/// Copies what an agent needs to another folder.
fn keep(site: &Site) -> PathBuf {
    let folder = site.file("old");
    fs::create_dir(&folder).unwrap();
    for file in ["cluster-ca.crt", "agent.crt", "agent.key"] {
        fs::copy(site.file(file), folder.join(file)).unwrap();
    }
    folder
}

/// Has a daemon read its files again; `times` is how often that had a result by then.
fn reload(daemon: &mut Daemon, source: &str, result: &str, times: u32) {
    daemon.hang_up();
    let series =
        format!(r#"dialback_certificate_reloads_total{{result="{result}",source="{source}"}}"#);
    daemon.reaches(&series, f64::from(times));
}

fn reload_both(pair: &mut Pair, times: u32) {
    reload(&mut pair.server, "agents", "success", times);
    reload(&mut pair.agent, "servers", "success", times);
}

/// An agent with the certificates of this folder, which trusts its CA alone.
fn start_stranger(site: &Site, certificates: &Path, port: u16) -> Daemon {
    let flag = |name: &str, file: &str| format!("--{name}={}", certificates.join(file).display());
    site.start_agent_at(
        port,
        &[
            &flag("ca-cert", "cluster-ca.crt"),
            &flag("agent-cert", "agent.crt"),
            &flag("agent-key", "agent.key"),
            "--agent-id=stranger",
        ],
    )
}

/// Waits until it has tried, and was refused or has refused.
fn does_not_connect(agent: &mut Daemon) {
    eventually(|| {
        let logged = agent.logged();
        if logged.contains("invalid peer certificate") {
            Ok(())
        } else {
            Err(format!("no handshake has failed:\n{logged}"))
        }
    });
    agent.expect("/readyz", 503).unwrap();
}

#[test]
fn authorities_then_certificates_are_renewed_under_a_hundred_streams() {
    let mut pair = Pair::start_with(Front::ConnectUnix, &[ON_HANGUP], &[ON_HANGUP]);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| Stream::open(&pair.site)).collect();
    let old = keep(&pair.site);
    let new = pair.site.file("new");
    pair.site.issue(&new, &[]);

    // Nobody knows the new CA yet.
    let mut stranger = start_stranger(&pair.site, &new, 8193);
    does_not_connect(&mut stranger);

    let both = read(old.join("cluster-ca.crt")) + &read(new.join("cluster-ca.crt"));
    put(&pair.site, "cluster-ca.crt", both);
    reload_both(&mut pair, 1);
    streams.iter_mut().for_each(Stream::exchange);

    for file in ["cluster.crt", "cluster.key", "agent.crt", "agent.key"] {
        put(&pair.site, file, read(new.join(file)));
    }
    reload_both(&mut pair, 2);
    // It knows the new CA only, so it has seen the server's new certificate.
    stranger.until("/readyz", 200);
    streams.iter_mut().for_each(Stream::exchange);

    put(
        &pair.site,
        "cluster-ca.crt",
        read(new.join("cluster-ca.crt")),
    );
    reload_both(&mut pair, 3);
    let mut outdated = start_stranger(&pair.site, &old, 8293);
    does_not_connect(&mut outdated);
    streams.iter_mut().for_each(Stream::exchange);
    drop(Stream::open(&pair.site));

    drop(outdated);
    stranger.kill();
    drop(streams);
    pair.finish();
}

#[test]
fn broken_files_are_refused_and_said_and_what_was_there_goes_on() {
    let mut pair = Pair::start_with(Front::ConnectUnix, &[ON_HANGUP], &[ON_HANGUP]);
    let mut stream = Stream::open(&pair.site);
    let old = keep(&pair.site);
    let good = read(pair.site.file("cluster.crt"));
    put(&pair.site, "cluster.crt", "no certificate");
    put(&pair.site, "agent.key", "no key");
    reload(&mut pair.server, "agents", "refused", 1);
    reload(&mut pair.agent, "servers", "refused", 1);
    for (daemon, file) in [(&pair.server, "cluster.crt"), (&pair.agent, "agent.key")] {
        let logged = daemon.logged();
        let said = logged.lines().find(|line| line.contains("are refused"));
        let said = said.unwrap_or_else(|| panic!("nothing said of {file}:\n{logged}"));
        assert!(said.starts_with('E') && said.contains(file), "{said}");
    }
    pair.server.reaches(
        r#"dialback_certificate_last_reload_successful{source="agents"}"#,
        0.0,
    );
    // The old ones serve old streams and new agents.
    stream.exchange();
    start_stranger(&pair.site, &old, 8193).until("/readyz", 200);

    put(&pair.site, "cluster.crt", good);
    reload(&mut pair.server, "agents", "success", 1);
    stream.exchange();
}

/// Without a signal: what changed is found by itself.
#[test]
fn a_renewed_certificate_is_found_without_being_asked_for() {
    let flag = "--certificate-reload-interval=100ms";
    let pair = Pair::start_with(Front::ConnectUnix, &[flag], &[flag]);
    let new = pair.site.file("new");
    pair.site.issue(&new, &[]);
    for file in [
        "cluster-ca.crt",
        "cluster.crt",
        "cluster.key",
        "agent.crt",
        "agent.key",
    ] {
        put(&pair.site, file, read(new.join(file)));
    }
    // It sees the new certificate only once the server shows it, and is let in once the server knows its CA.
    let mut stranger = start_stranger(&pair.site, &new, 8193);
    stranger.until("/readyz", 200);
}
