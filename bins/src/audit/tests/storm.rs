//! Many records, many files, and somebody who has them opened again all the time.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dialback_core::audit::AuditPolicy;
use dialback_runtime::server::AuditSink as _;

use super::*;
use crate::audit::AuditLog;
use crate::flags::AuditFileOptions;
use crate::tool::scratch::Scratch;

/// How many records; `DIALBACK_AUDIT_RECORDS` says otherwise.
const RECORDS: u64 = 50_000;
/// How many threads record them.
const THREADS: u64 = 4;
/// The least number of files that they fill.
const FILES: u64 = 50;

#[test]
fn none_is_missing_or_torn_across_rotations_and_a_storm_of_hangups() {
    let asked = std::env::var("DIALBACK_AUDIT_RECORDS");
    let records: u64 = asked.map_or(RECORDS, |text| text.parse().unwrap());
    let folder = Scratch::new("audit").unwrap();
    let path = folder.path("audit.log");
    let output = AuditOutput::File(AuditFileOptions {
        path: path.clone(),
        // A record has some 500 bytes, and the storm makes files, too.
        max_bytes: records * 500 / (FILES + 30),
        max_age: None,
        max_backups: None,
        compress: false,
    });
    let of_server = ServerMetrics::new();
    let metrics = AuditMetrics::new(of_server.registry());
    let options = options(output, AuditMode::Strict, 10_000);
    let log = AuditLog::start(&options, AuditPolicy::default(), "server", metrics).unwrap();
    let done = AtomicBool::new(false);
    let moved = thread::scope(|scope| {
        // As logrotate does: the file is renamed, then the server hears of it.
        let storm = scope.spawn(|| {
            let mut moved = 0;
            while !done.load(Ordering::Acquire) {
                log.reopen();
                if moved < 10 && fs::rename(&path, folder.path(&format!("moved-{moved}"))).is_ok() {
                    moved += 1;
                    log.reopen();
                }
                thread::yield_now();
            }
            moved
        });
        let recording: Vec<_> = (0..THREADS)
            .map(|thread_number| {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..records / THREADS {
                        while !log.admits() {
                            thread::yield_now();
                        }
                        log.record(closed(thread_number << 32 | number));
                    }
                })
            })
            .collect();
        for thread in recording {
            thread.join().unwrap();
        }
        done.store(true, Ordering::Release);
        storm.join().unwrap()
    });
    assert!(
        log.finish(Duration::from_secs(60)),
        "it is written to the end"
    );
    assert!(moved > 0);

    let mut sequences = BTreeMap::new();
    let mut streams = BTreeMap::new();
    for entry in fs::read_dir(folder.folder()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            *sequences
                .entry(record["sequence"].as_u64().unwrap())
                .or_insert(0) += 1;
            if let Some(stream) = record["stream"].as_u64() {
                *streams.entry(stream).or_insert(0) += 1;
            }
        }
    }
    let written = records / THREADS * THREADS;
    assert_eq!(streams.len() as u64, written);
    // The first and the last record are about the log itself.
    assert_eq!(sequences.len() as u64, written + 2);
    assert_eq!(sequences.keys().next_back(), Some(&(written + 2)));
    assert!(
        sequences
            .values()
            .chain(streams.values())
            .all(|times| *times == 1)
    );
    let scrape = dialback_runtime::metrics::render::<&str>(of_server.registry(), &[]);
    let value = |series: &str| -> f64 {
        let line = scrape.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap().trim().parse().unwrap()
    };
    let rotations = value("dialback_audit_rotations_total ");
    assert!(rotations >= FILES as f64, "{rotations}");
    assert_eq!(
        value("dialback_audit_records_total{result=\"written\"} "),
        (written + 2) as f64
    );
    assert_eq!(
        value("dialback_audit_records_total{result=\"dropped\"} "),
        0.0
    );
    eprintln!("{written} records, {rotations} rotations, {moved} files moved away");
}
