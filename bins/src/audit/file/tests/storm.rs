//! Many rotations, while somebody else renames the file and has it opened again.

use std::sync::mpsc::{TryRecvError, sync_channel};
use std::thread;

use super::*;

const LINES: usize = 40_000;
const LINES_PER_BATCH: usize = 16;
const RENAMES: usize = 60;

#[test]
fn every_line_is_in_some_file_once_and_whole() {
    let log = Log::new();
    let options = AuditFileOptions {
        compress: true,
        ..log.options(16 << 10)
    };
    let mut file = AuditFile::open(options).expect("it opens");
    // As logrotate and SIGHUP: renames come at any moment, and later the word that it is to be opened again.
    let (hang_ups, asked) = sync_channel(0);
    let path = log.path("audit.log");
    let folder = log.scratch.folder().to_owned();
    let renaming = thread::spawn(move || {
        for number in 0..RENAMES {
            // It may be away for a moment: between a rename of ours and the new file.
            let _ = fs::rename(&path, folder.join(format!("moved-{number}")));
            if hang_ups.send(()).is_err() {
                break;
            }
        }
    });
    let lines: Vec<String> = (0..LINES)
        .map(|number| format!("{number} {}\n", "x".repeat(number % 97)))
        .collect();
    let mut clock = now();
    for (turn, batch) in lines.chunks(LINES_PER_BATCH).enumerate() {
        // Several rotations share a millisecond.
        clock += Duration::from_millis(turn as u64 % 2);
        let appended = file.append(clock, batch.concat().as_bytes());
        appended.expect("lines that are taken");
        // Not at once, so that lines go into the renamed file, too.
        if turn % 16 == 0 {
            match asked.try_recv() {
                Ok(()) => file.reopen().expect("it opens"),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
        }
        assert_no_problems(&mut file);
    }
    drop(asked);
    renaming.join().expect("it ends");
    assert!(file.rotations() >= 50, "{}", file.rotations());
    let bytes: usize = lines.iter().map(String::len).sum();
    assert_eq!(file.bytes_written(), bytes as u64);
    close(file);

    let names = log.names();
    let is_left = |name: &&String| {
        name.ends_with(".tmp") || name.starts_with("audit-") && !name.ends_with(".gz")
    };
    assert_eq!(names.iter().find(is_left), None);
    assert!(
        names.iter().any(|name| name.starts_with("moved-")),
        "{names:?}"
    );
    let mut found: Vec<String> = names
        .iter()
        .flat_map(|name| {
            let text = log.read(name);
            let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
            lines
        })
        .collect();
    let mut expected = lines;
    found.sort_unstable();
    expected.sort_unstable();
    assert!(found == expected, "{} of {}", found.len(), expected.len());
}
