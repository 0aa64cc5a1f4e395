use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A stream asks to begin; what was let in is owed two records.
    Ask,
    Loose,
    Take(usize),
    Failing(bool),
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 8 {
            0..3 => Self::Ask,
            3..5 => Self::Loose,
            5 => Self::Failing(bool::arbitrary(g)),
            _ => Self::Take(usize::arbitrary(g) % 12),
        }
    }
}

/// Numbers, told gaps, and what was dropped: they are to agree.
#[derive(Default)]
struct Reader {
    next: u64,
    told: u64,
    missing: u64,
}

impl Reader {
    fn read(&mut self, records: Vec<Queued>) {
        for record in records {
            assert!(record.sequence > self.next, "numbers only grow");
            self.missing += record.sequence - self.next - 1;
            self.next = record.sequence;
            if let Event::Dropped { records } = record.event {
                self.told += records;
                assert_eq!(
                    self.told, self.missing,
                    "the gap in front of the word about it"
                );
            } else {
                assert_eq!(self.told, self.missing, "no gap without a word");
            }
        }
    }
}

fn holds(mode: AuditMode, steps: Vec<Step>) {
    const CAPACITY: usize = 8;
    let mut queue = AuditQueue::new(mode, CAPACITY, AuditPolicy::default());
    let mut reader = Reader::default();
    let (mut dropped, mut owed) = (0, 0);
    for step in steps {
        match step {
            Step::Ask if queue.admits() => {
                owed += 1;
                for event in [opened(), closed(CloseReason::FrontendClosed)] {
                    let offered = queue.offer(time(), event);
                    dropped += u64::from(offered == Offered::Dropped);
                    assert!(mode == AuditMode::BestEffort || offered == Offered::Taken);
                }
            }
            Step::Ask => {
                let offered = queue.offer(time(), failed(Some(DialError::AuditBlocked)));
                dropped += u64::from(offered == Offered::Dropped);
            }
            Step::Loose => {
                let offered = queue.offer(time(), agent(AgentChange::Resumed));
                dropped += u64::from(offered == Offered::Dropped);
            }
            Step::Take(most) => {
                let records = queue.take(time(), most);
                assert!(records.len() <= most);
                if !records.is_empty() {
                    owed = 0;
                }
                reader.read(records);
            }
            Step::Failing(failing) => queue.set_failing(failing),
        }
        let most = CAPACITY
            + 1
            + if mode == AuditMode::Strict {
                2 * owed
            } else {
                0
            };
        assert!(queue.len() <= most + 1, "{} of {most}", queue.len());
    }
    while !queue.is_empty() {
        reader.read(queue.take(time(), usize::MAX));
    }
    assert_eq!(reader.told, dropped, "whatever was dropped was told");
}

quickcheck! {
    fn nothing_is_dropped_without_a_word(steps: Vec<Step>) -> bool {
        holds(AuditMode::BestEffort, steps);
        true
    }

    fn what_was_let_in_is_recorded_where_that_is_strict(steps: Vec<Step>) -> bool {
        holds(AuditMode::Strict, steps);
        true
    }
}

#[test]
fn strict_lets_nothing_in_while_records_can_not_be_written() {
    let mut queue = AuditQueue::new(AuditMode::Strict, 2, AuditPolicy::default());
    assert!(queue.admits());
    queue.set_failing(true);
    assert!(!queue.admits());
    queue.set_failing(false);
    queue.offer(time(), opened());
    assert!(queue.admits());
    queue.offer(time(), opened());
    assert!(!queue.admits(), "it is full");
    assert_eq!(queue.take(time(), 1).len(), 1);
    assert!(queue.admits());
}

#[test]
fn what_the_policy_has_no_use_for_takes_no_room_and_no_number() {
    let text = "apiVersion: dialback/v1\nkind: AuditPolicy\nrules: [{events: [stream.opened], record: none}]";
    let policy = AuditPolicy::parse(text).expect("it is good");
    let mut queue = AuditQueue::new(AuditMode::BestEffort, 4, AuditPolicy::default());
    queue.set_policy(policy);
    assert_eq!(queue.offer(time(), opened()), Offered::Unwanted);
    assert_eq!(queue.offer(time(), failed(None)), Offered::Taken);
    let [record] = &queue.take(time(), 4)[..] else {
        panic!("one was taken");
    };
    assert_eq!(
        (record.sequence, record.event.kind()),
        (1, EventKind::StreamFailed)
    );
}
