//! Limits of a file: what is over them is answered, others go on, and a changed file holds at once if it is good.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use support::daemon::eventually;
use support::pair::{Front, Pair, Site};
use support::stream::{Stream, established, request};

const ON_HANGUP: &str = "--certificate-reload-interval=0s";
const REFUSED: &str = r#"dialback_throttled_dials_total{result="refused"}"#;

fn limits(streams: u32) -> String {
    format!(
        "apiVersion: dialback/v1\nkind: Throttle\nmaxWait: 0\nlimits:\n- {{name: few, per: frontend, streams: {streams}}}\n"
    )
}

/// A pair with a throttle file, whose path is given too.
fn start(content: &str) -> (Pair, std::path::PathBuf) {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let (process, number) = (std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(format!("dialback-throttle-{process}-{number}"));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("throttle.yaml");
    fs::write(&file, content).unwrap();
    let flag = format!("--throttle-file={}", file.display());
    (Pair::start(Front::ConnectUnix, &[ON_HANGUP, &flag]), file)
}

#[test]
fn what_is_over_a_limit_is_told_when_to_come_again_and_a_good_file_holds_at_once() {
    let (mut pair, file) = start(&limits(1));
    let mut first = Stream::open(&pair.site);
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut over = request(&pair.site.socket(), endpoint.local_addr().unwrap()).unwrap();
    let mut answer = String::new();
    over.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("over limit \"few\" of 1 streams of each frontend"),
        "{answer}"
    );
    pair.server.reaches(REFUSED, 1.0);
    first.exchange();

    // A bad file changes nothing.
    fs::write(&file, limits(0)).unwrap();
    pair.server.hang_up();
    let reloads = |result| format!(r#"dialback_throttle_reloads_total{{result="{result}"}}"#);
    pair.server.reaches(&reloads("refused"), 1.0);
    eventually(|| {
        let logged = pair.server.logged();
        let told = "limits[0].streams";
        if logged.contains(told) && logged.contains("(line 5)") {
            Ok(())
        } else {
            Err(format!("{told} is not in the log: {logged}"))
        }
    });
    fs::write(&file, limits(2)).unwrap();
    pair.server.hang_up();
    pair.server.reaches(&reloads("success"), 1.0);
    let mut second = Stream::open(&pair.site);
    first.exchange();
    second.exchange();
    drop((first, second, over));
    pair.until_at_rest();
    drop(pair);
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

#[test]
fn who_waits_is_served_when_a_changed_file_makes_room() {
    let patient = |streams| limits(streams).replace("maxWait: 0", "maxWait: 3600s");
    let (mut pair, file) = start(&patient(1));
    let first = Stream::open(&pair.site);
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut waiting = request(&pair.site.socket(), endpoint.local_addr().unwrap()).unwrap();
    pair.server.reaches("dialback_throttle_waiting_dials", 1.0);
    fs::write(&file, patient(2)).unwrap();
    pair.server.hang_up();
    established(&mut waiting).unwrap();
    pair.server.reaches("dialback_throttle_waiting_dials", 0.0);
    drop((first, waiting, endpoint));
    pair.until_at_rest();
    drop(pair);
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

#[test]
fn a_bad_file_stops_the_server_at_the_start() {
    let site = Site::new();
    let file = site.file("throttle.yaml");
    fs::write(&file, limits(0)).unwrap();
    let flag = format!("--throttle-file={}", file.display());
    let output = site.refused_server(&[flag]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let line = told.lines().find(|line| line.contains("--throttle-file"));
    let line = line.unwrap_or_else(|| panic!("the flag is not named: {told}"));
    assert!(
        line.contains("throttle.yaml")
            && line.contains("limits[0].streams")
            && line.contains("(line 5)"),
        "{line}"
    );
}
