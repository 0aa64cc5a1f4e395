use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2026-11-24T01-30-00.000.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_483_800)
}

fn plain(stamp: Stamp) -> Backup {
    Backup {
        stamp,
        form: Form::Plain,
    }
}

fn compressed(stamp: Stamp) -> Backup {
    Backup {
        stamp,
        form: Form::Compressed,
    }
}

/// So many days before now.
fn days_ago(days: u32) -> Stamp {
    Stamp::at(now() - days * DAY)
}

#[test]
fn names_are_those_of_lumberjack() {
    let stamp = Stamp::at(now());
    for (file, name) in [
        ("audit.log", "audit-2026-11-24T01-30-00.000.log"),
        ("audit", "audit-2026-11-24T01-30-00.000"),
        ("a.b.json", "a.b-2026-11-24T01-30-00.000.json"),
        ("audit.", "audit-2026-11-24T01-30-00.000."),
        (".audit", "-2026-11-24T01-30-00.000.audit"),
    ] {
        let names = BackupNames::of(file);
        assert_eq!(names.name(plain(stamp)), name);
        assert_eq!(names.name(compressed(stamp)), format!("{name}.gz"));
    }
}

#[test]
fn names_of_others_are_foreign() {
    let names = BackupNames::of("audit.log");
    for name in [
        "audit.log",
        "audit.log.1",
        "audit-.log",
        "audit-2026-11-24T01-30-00.000.log.1",
        "audit-2026-11-24T01-30-00.000.log.gz.1",
        "audit-2026-11-24T01-30-00.000.log.tmp",
        "audit-2026-11-24T01-30-00.000.LOG",
        "audit-2026-11-24T01-30-00.000",
        "audit-2026-11-24T01-30-00.log",
        "audit-2026-11-24T01-30-00.000é.log",
        "audit-2026-11-24T01-30-00.00é.log",
        "xaudit-2026-11-24T01-30-00.000.log",
        "audit-audit-2026-11-24T01-30-00.000.log",
    ] {
        assert_eq!(names.parse(name), None, "{name}");
    }
}

#[test]
fn a_file_is_full_when_the_next_line_would_pass_the_limit() {
    let rotation = Rotation::new(8);
    let lines = b"abc\ndef\nghi\n";
    assert_eq!(rotation.step(now(), 0, lines), Step::Write(8));
    assert_eq!(rotation.step(now(), 0, &lines[..8]), Step::Write(8));
    assert_eq!(rotation.step(now(), 1, lines), Step::Write(4));
    assert_eq!(rotation.step(now(), 4, lines), Step::Write(4));
    assert_eq!(rotation.step(now(), 5, lines), Step::Rotate);
    assert_eq!(rotation.step(now(), 9, lines), Step::Rotate);
    assert_eq!(rotation.step(now(), 9, b""), Step::Write(0));
}

#[test]
fn a_line_over_the_limit_gets_a_file_of_its_own() {
    let rotation = Rotation::new(4);
    let lines = b"long line\nabc\n";
    assert_eq!(rotation.step(now(), 4, lines), Step::Rotate);
    assert_eq!(rotation.step(now(), 0, lines), Step::Write(10));
    assert_eq!(rotation.step(now(), 10, &lines[10..]), Step::Rotate);
}

#[test]
fn zero_asks_for_the_default() {
    let rotation = Rotation::new(0);
    let size = DEFAULT_MAX_BYTES;
    assert_eq!(rotation.step(now(), size - 4, b"abc\n"), Step::Write(4));
    assert_eq!(rotation.step(now(), size - 3, b"abc\n"), Step::Rotate);
}

#[test]
fn a_refused_rotation_is_tried_again_after_a_while() {
    let mut rotation = Rotation::new(4);
    rotation.refuse(now());
    let soon = now() + RETRY - Duration::from_millis(1);
    assert_eq!(rotation.step(now(), 4, b"a\nb\n"), Step::Write(4));
    assert_eq!(rotation.step(soon, 4, b"a\nb\n"), Step::Write(4));
    assert_eq!(rotation.step(now() + RETRY, 4, b"a\n"), Step::Rotate);
    assert_eq!(rotation.step(now() - DAY, 4, b"a\n"), Step::Rotate);
}

#[test]
fn the_oldest_beyond_the_number_go_in_all_their_forms() {
    let retention = Retention {
        max_backups: Some(2),
        ..Retention::default()
    };
    let [newest, middle, oldest] = [days_ago(1), days_ago(2), days_ago(3)];
    // The middle one is there twice, and counts once.
    let backups = [
        plain(newest),
        plain(oldest),
        compressed(middle),
        compressed(oldest),
        plain(middle),
    ];
    assert_eq!(
        retention.tasks(now(), backups),
        [plain(oldest), compressed(oldest)].map(BackupTask::Delete)
    );
    let all = Retention {
        max_backups: Some(0),
        ..retention
    };
    assert_eq!(all.tasks(now(), backups), []);
}

#[test]
fn what_is_older_than_the_age_goes() {
    let retention = Retention {
        max_age: Some(2 * DAY),
        ..Retention::default()
    };
    let backups = [plain(days_ago(2)), compressed(days_ago(3))];
    assert_eq!(
        retention.tasks(now(), backups),
        [BackupTask::Delete(backups[1])]
    );
    let later = now() + Duration::from_millis(1);
    assert_eq!(retention.tasks(later, backups).len(), 2);
    let longer_than_time = Retention {
        max_age: Some(Duration::MAX),
        ..retention
    };
    assert_eq!(longer_than_time.tasks(now(), backups), []);
    let all = Retention {
        max_age: Some(Duration::ZERO),
        ..retention
    };
    assert_eq!(all.tasks(now(), backups), []);
}

#[test]
fn what_stays_is_compressed_oldest_first_and_what_is_left_over_goes() {
    let retention = Retention {
        compress: true,
        max_backups: Some(3),
        ..Retention::default()
    };
    let [a, b, c, d] = [days_ago(4), days_ago(3), days_ago(2), days_ago(1)];
    let partial = Backup {
        stamp: c,
        form: Form::Partial,
    };
    let backups = [
        plain(d),
        partial,
        plain(c),
        compressed(b),
        plain(b),
        plain(a),
    ];
    assert_eq!(
        retention.tasks(now(), backups),
        [
            BackupTask::Delete(partial),
            BackupTask::Delete(plain(a)),
            BackupTask::Compress(b),
            BackupTask::Compress(c),
            BackupTask::Compress(d),
        ]
    );
}

impl Arbitrary for Form {
    fn arbitrary(g: &mut Gen) -> Self {
        *g.choose(&Self::ALL).expect("some forms")
    }
}

impl Arbitrary for Backup {
    /// Close together, so that some are of the same time.
    fn arbitrary(g: &mut Gen) -> Self {
        Self {
            stamp: days_ago(u32::from(u8::arbitrary(g)) % 16),
            form: Form::arbitrary(g),
        }
    }
}

/// The names of a directory's files: some ours, some of others.
#[derive(Clone, Debug)]
struct Listing(Vec<String>);

impl Arbitrary for Listing {
    fn arbitrary(g: &mut Gen) -> Self {
        let names = BackupNames::of("audit.log");
        let mut listing: Vec<String> = Vec::<Backup>::arbitrary(g)
            .into_iter()
            .map(|backup| {
                let mut name = names.name(backup);
                match u8::arbitrary(g) % 4 {
                    0 => name.push('~'),
                    1 => name.insert(usize::arbitrary(g) % name.len(), '0'),
                    _ => {}
                }
                name
            })
            .collect();
        listing.push("audit.log".to_owned());
        listing.sort();
        listing.dedup();
        Self(listing)
    }
}

quickcheck! {
    fn a_name_is_read_as_it_was_written(file: String, backup: Backup) -> bool {
        let names = BackupNames::of(&file);
        names.parse(&names.name(backup)) == Some(backup)
    }

    fn any_name_is_foreign_or_ours_to_the_letter(file: String, name: String) -> bool {
        let names = BackupNames::of(&file);
        names.parse(&name).is_none_or(|backup| names.name(backup) == name)
    }

    fn files_hold_whole_lines_in_order_and_are_within_the_limit(
        lines: Vec<u8>,
        max_bytes: u8,
        existing_bytes: u8
    ) -> bool {
        let max_bytes = u64::from(max_bytes) + 1;
        let rotation = Rotation::new(max_bytes);
        let batch: Vec<u8> = lines
            .iter()
            .flat_map(|length| [vec![b'x'; usize::from(length % 64)], vec![b'\n']].concat())
            .collect();
        let mut file_bytes = u64::from(existing_bytes);
        let mut rest = batch.as_slice();
        let mut written = Vec::new();
        while !rest.is_empty() {
            match rotation.step(now(), file_bytes, rest) {
                Step::Rotate if file_bytes == 0 => return false,
                Step::Rotate => file_bytes = 0,
                Step::Write(bytes) => {
                    let (lines, behind) = rest.split_at(bytes);
                    let is_one = lines.iter().filter(|byte| **byte == b'\n').count() == 1;
                    let size = file_bytes + bytes as u64;
                    if !lines.ends_with(b"\n")
                        || (size > max_bytes && !(is_one && file_bytes == 0))
                    {
                        return false;
                    }
                    written.extend_from_slice(lines);
                    rest = behind;
                    file_bytes = size;
                }
            }
        }
        written == batch
    }

    fn what_is_deleted_or_compressed_is_in_the_listing_and_ours(
        listing: Listing,
        max_backups: Option<u8>,
        max_age_days: Option<u8>,
        compress: bool
    ) -> bool {
        let names = BackupNames::of("audit.log");
        let retention = Retention {
            max_backups: max_backups.map(usize::from),
            max_age: max_age_days.map(|days| u32::from(days % 16) * DAY),
            compress,
        };
        let backups = listing.0.iter().filter_map(|name| names.parse(name));
        retention.tasks(now(), backups).into_iter().all(|task| {
            let name = match task {
                BackupTask::Delete(backup) => names.name(backup),
                BackupTask::Compress(stamp) => names.name(plain(stamp)),
            };
            name != "audit.log" && listing.0.contains(&name)
        })
    }

    fn the_newest_are_kept(backups: Vec<Backup>, most: u8) -> bool {
        let retention = Retention {
            max_backups: Some(usize::from(most % 8)),
            ..Retention::default()
        };
        let mut stamps: Vec<Stamp> = backups
            .iter()
            .filter(|backup| backup.form != Form::Partial)
            .map(|backup| backup.stamp)
            .collect();
        stamps.sort_unstable();
        stamps.dedup();
        let kept = match most % 8 {
            0 => stamps.len(),
            most => usize::from(most),
        };
        let first_kept = stamps.iter().rev().take(kept).next_back();
        let tasks = retention.tasks(now(), backups.iter().copied());
        backups.iter().all(|backup| {
            let goes = backup.form == Form::Partial || Some(&backup.stamp) < first_kept;
            tasks.contains(&BackupTask::Delete(*backup)) == goes
        })
    }

    fn once_done_nothing_is_left_to_do(backups: Vec<Backup>, most: u8, age: u8) -> bool {
        let retention = Retention {
            max_backups: Some(usize::from(most % 8)),
            max_age: Some(u32::from(age % 16) * DAY),
            compress: true,
        };
        let mut left = backups.clone();
        for task in retention.tasks(now(), backups) {
            match task {
                BackupTask::Delete(gone) => left.retain(|backup| *backup != gone),
                BackupTask::Compress(stamp) => {
                    left.retain(|backup| *backup != plain(stamp));
                    left.push(compressed(stamp));
                }
            }
        }
        retention.tasks(now(), left).is_empty()
    }
}
