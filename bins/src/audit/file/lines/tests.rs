use std::collections::VecDeque;

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;

/// How a [`Scarce`] answers a write.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Takes at most so many bytes.
    Take(u8),
    Fail(io::ErrorKind),
}

use Answer::{Fail, Take};

const FULL: Answer = Fail(io::ErrorKind::StorageFull);

/// Answers as it was told to, and then takes all.
#[derive(Clone, Debug, Default)]
struct Scarce {
    bytes: Vec<u8>,
    answers: VecDeque<Answer>,
    can_cut: bool,
}

impl Scarce {
    fn new(can_cut: bool, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            bytes: Vec::new(),
            answers: answers.into_iter().collect(),
            can_cut,
        }
    }
}

impl Write for Scarce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self.answers.pop_front() {
            None => bytes.len(),
            Some(Take(most)) => bytes.len().min(usize::from(most)),
            Some(Fail(kind)) => return Err(kind.into()),
        };
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Scarce {
    fn cut_back(&mut self, bytes: usize) -> io::Result<()> {
        if !self.can_cut {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.bytes.truncate(self.bytes.len() - bytes);
        Ok(())
    }
}

/// What was taken when not all was.
fn refused(result: Result<usize, (usize, io::Error)>) -> (usize, io::ErrorKind) {
    let (taken, error) = result.expect_err("a sink that fails");
    (taken, error.kind())
}

#[test]
fn partial_writes_are_gone_on_with() {
    let answers = [Take(1), Fail(io::ErrorKind::Interrupted), Take(3)];
    let mut lines = Lines::new(Scarce::new(false, answers), false);
    assert_eq!(lines.write(b"one\ntwo\n").expect("no failure"), 8);
    assert_eq!(lines.sink().bytes, b"one\ntwo\n");
}

#[test]
fn on_a_full_disk_the_half_line_is_cut_off_and_comes_again() {
    let mut lines = Lines::new(Scarce::new(true, [Take(6), FULL]), false);
    let batch = b"one\ntwo\n";
    let (taken, kind) = refused(lines.write(batch));
    assert_eq!((taken, kind), (4, io::ErrorKind::StorageFull));
    assert_eq!(lines.sink().bytes, b"one\n");

    lines.settle().expect("nothing is left to write");
    assert_eq!(lines.write(&batch[taken..]).expect("no failure"), 4);
    assert_eq!(lines.sink().bytes, batch);
}

#[test]
fn what_can_not_be_cut_off_is_finished_within_the_line() {
    let answers = [Take(5), FULL, FULL, Take(1), FULL];
    let mut lines = Lines::new(Scarce::new(false, answers), false);
    // The second line is taken, the third is not and may be dropped.
    let (taken, _) = refused(lines.write(b"one\ntwo\nthree\n"));
    assert_eq!(taken, 8);
    lines.settle().expect_err("a full disk");
    assert_eq!(lines.sink().bytes, b"one\nt");
    lines.settle().expect_err("a full disk, a byte later");
    assert_eq!(lines.sink().bytes, b"one\ntw");

    lines.settle().expect("room");
    assert_eq!(lines.write(b"four\n").expect("no failure"), 5);
    assert_eq!(lines.sink().bytes, b"one\ntwo\nfour\n");
}

#[test]
fn a_failure_between_lines_leaves_nothing_to_finish() {
    let mut lines = Lines::new(Scarce::new(false, [Take(4), FULL]), false);
    assert_eq!(refused(lines.write(b"one\ntwo\n")).0, 4);
    lines.settle().expect("nothing is left to write");
    assert_eq!(lines.sink().bytes, b"one\n");
}

#[test]
fn a_sink_that_takes_nothing_has_failed() {
    let mut lines = Lines::new(Scarce::new(true, [Take(0)]), false);
    assert_eq!(
        refused(lines.write(b"one\n")),
        (0, io::ErrorKind::WriteZero)
    );
}

#[test]
fn a_line_of_somebody_else_is_ended_once() {
    let mut lines = Lines::new(Scarce::new(true, [FULL]), true);
    lines.settle().expect_err("a full disk");
    lines.settle().expect("room");
    lines.settle().expect("room");
    assert_eq!(lines.write(b"one\n").expect("no failure"), 4);
    assert_eq!(lines.sink().bytes, b"\none\n");
}

#[test]
fn a_line_that_stays_half_in_one_sink_is_whole_in_the_next() {
    let mut lines = Lines::new(Scarce::new(false, [Take(5), FULL]), false);
    assert_eq!(refused(lines.write(b"one\ntwo\n")).0, 8);
    lines.go_on_with(Scarce::new(false, []), true);
    lines.settle().expect("room");
    assert_eq!(lines.sink().bytes, b"\ntwo\n");
}

impl Arbitrary for Answer {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 8 {
            0 => FULL,
            1 => Fail(io::ErrorKind::Interrupted),
            2 => Fail(io::ErrorKind::WouldBlock),
            _ => Take(u8::arbitrary(g) % 16),
        }
    }
}

/// What a caller does, one after the other.
#[derive(Clone, Debug)]
enum Deed {
    /// Writes so many new lines, until all are taken or, when it may, drops the rest at the first failure.
    Write { lines: u8, drops: bool },
    /// Goes on with another sink.
    Switch {
        can_cut: bool,
        is_torn: bool,
        answers: Vec<Answer>,
    },
}

impl Arbitrary for Deed {
    fn arbitrary(g: &mut Gen) -> Self {
        if u8::arbitrary(g) % 4 > 0 {
            Self::Write {
                lines: u8::arbitrary(g) % 8,
                drops: bool::arbitrary(g),
            }
        } else {
            Self::Switch {
                can_cut: bool::arbitrary(g),
                is_torn: bool::arbitrary(g),
                answers: Vec::arbitrary(g),
            }
        }
    }
}

/// The whole lines in a sink that began with this.
fn whole_lines(sink: &Scarce, beginning: &[u8]) -> Vec<u8> {
    let ours = sink.bytes.strip_prefix(beginning).expect("what was there");
    let ours = match beginning {
        [] => ours,
        _ => ours.strip_prefix(b"\n").unwrap_or(ours),
    };
    let end = ours.iter().rposition(|byte| *byte == b'\n');
    ours[..end.map_or(0, |end| end + 1)].to_vec()
}

quickcheck! {
    fn what_is_taken_is_there_once_and_whole(deeds: Vec<Deed>) -> bool {
        let mut lines = Lines::new(Scarce::new(true, []), false);
        let mut beginning: &[u8] = b"";
        let mut taken = Vec::new();
        let mut found = Vec::new();
        let mut number = 0;
        for deed in deeds {
            match deed {
                Deed::Write { lines: count, drops } => {
                    let batch: Vec<u8> = (0..count)
                        .flat_map(|_| {
                            number += 1;
                            format!("line {number}\n").into_bytes()
                        })
                        .collect();
                    let mut rest = batch.as_slice();
                    while !rest.is_empty() {
                        let written = match lines.settle() {
                            Ok(()) => lines.write(rest),
                            Err(error) => Err((0, error)),
                        };
                        let (Ok(bytes) | Err((bytes, _))) = &written;
                        let (begun, behind) = rest.split_at(*bytes);
                        if !(begun.is_empty() || begun.ends_with(b"\n")) {
                            return false;
                        }
                        taken.extend_from_slice(begun);
                        rest = behind;
                        if written.is_err() && drops {
                            break;
                        }
                    }
                }
                Deed::Switch { can_cut, is_torn, answers } => {
                    found.extend(whole_lines(lines.sink(), beginning));
                    beginning = if is_torn { b"half" } else { b"" };
                    let mut sink = Scarce::new(can_cut, answers);
                    sink.bytes.extend_from_slice(beginning);
                    lines.go_on_with(sink, is_torn);
                }
            }
        }
        while lines.settle().is_err() {}
        found.extend(whole_lines(lines.sink(), beginning));
        found == taken
    }
}
