//! `dialback demo`: it shows what it says, and leaves nothing behind however it ends.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod scratch;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use scratch::Scratch;

/// How long anything may take; far more than it needs, so that only a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

fn demo(scratch: &Scratch, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_dialback"))
        .arg("demo")
        .args(more)
        .env("TMPDIR", scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Command lines of processes that have to do with `folder`: every daemon of a demonstration is told of a
/// file in there.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder))
        .collect()
}

fn assert_nothing_left(scratch: &Scratch) {
    assert_eq!(processes_of(scratch.path()), Vec::<String>::new());
    let files = fs::read_dir(scratch.path()).unwrap().flatten();
    let files = files.map(|file| file.path()).collect::<Vec<_>>();
    assert!(files.is_empty(), "{files:?}");
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Reads what the demonstration tells up to the line that contains `text`.
fn read_until(child: &mut Child, text: &str) -> Vec<String> {
    let mut told = Vec::new();
    let mut out = BufReader::new(child.stdout.as_mut().unwrap());
    loop {
        let mut line = String::new();
        let read = out.read_line(&mut line).unwrap();
        if read == 0 {
            let mut errors = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut errors)
                .unwrap();
            panic!("ended before {text:?}: {told:?}\n{errors}");
        }
        told.push(line);
        if told.last().unwrap().contains(text) {
            return told;
        }
    }
}

#[test]
fn it_fetches_a_page_both_ways_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let start = Instant::now();
    let output = demo(&scratch, &[]).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("through HTTP-CONNECT: 200"), "{told}");
    assert!(told.contains("through gRPC: 200"), "{told}");
    assert_nothing_left(&scratch);
}

#[test]
fn kept_up_it_serves_until_interrupted() {
    let scratch = Scratch::new();
    let mut child = demo(&scratch, &["--keep"]);
    let told = read_until(&mut child, "tail -f");
    let ready = told
        .iter()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("curl http://")?
                .strip_suffix("/readyz")
        })
        .collect::<Vec<_>>();
    assert_eq!(ready.len(), 2, "{told:?}");
    for address in ready {
        TcpStream::connect(address).unwrap();
    }
    assert_eq!(processes_of(scratch.path()).len(), 4);
    signal(&child, "INT");
    assert!(child.wait().unwrap().success());
    assert_nothing_left(&scratch);
}

#[test]
fn interrupted_half_way_it_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let mut child = demo(&scratch, &["--keep"]);
    read_until(&mut child, "certificates");
    signal(&child, "TERM");
    // It may have come to the point of being kept up, where ending is no failure.
    child.wait().unwrap();
    assert_nothing_left(&scratch);
}

#[test]
fn killed_it_takes_its_daemons_along() {
    let scratch = Scratch::new();
    let mut child = demo(&scratch, &["--keep"]);
    read_until(&mut child, "tail -f");
    child.kill().unwrap();
    child.wait().unwrap();
    let start = Instant::now();
    while !processes_of(scratch.path()).is_empty() {
        assert!(
            start.elapsed() < PATIENCE,
            "{:?}",
            processes_of(scratch.path())
        );
        thread::sleep(Duration::from_millis(5));
    }
}
