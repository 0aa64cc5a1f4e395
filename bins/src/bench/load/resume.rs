//! Streams on a path that is cut and frozen again and again.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dialback_fault_relay::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::{LoadError, OVERTIME};
use crate::bench::endpoint::{FEED_RECORD, Role, feed_record};
use crate::bench::frontend::Stream;
use crate::bench::side::Side;
use crate::bench::statistics::Latencies;

/// Cuts in a second, on average: 100 in a minute.
const CUTS_PER_SECOND: f64 = 100.0 / 60.0;

/// How long a freeze lasts, and how far its beginning is from the next one's.
const FREEZE: Duration = Duration::from_secs(5);
const FREEZE_EVERY: Duration = Duration::from_secs(20);

/// Of so many streams one is only read from, as a watch or a log that is followed.
const FEEDS: usize = 8;

/// The longest question, in bytes.
const LONGEST: usize = 32 * 1024;

/// The moments of the cuts are drawn, the same ones in each run.
const SEED: u64 = 0x0d1a_1bac;

/// What came of it.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Resumed {
    /// From a cut until bytes flow again, for every stream and cut.
    pub(in crate::bench) outages: Latencies,
    /// How often the path was cut.
    pub(in crate::bench) cuts: usize,
    /// How often it was frozen.
    pub(in crate::bench) freezes: usize,
    /// Streams that ended.
    pub(in crate::bench) streams_lost: usize,
    /// Bytes that were not what they had to be.
    pub(in crate::bench) bytes_wrong: u64,
}

/// What is done to the path, and what the streams see of it.
#[derive(Debug)]
struct Trial {
    path: Arc<Relay>,
    cuts: Mutex<Vec<Cut>>,
    over: AtomicBool,
    bytes_wrong: AtomicU64,
}

/// The path was cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at: Instant,
    /// Connections on the path until then: an answer that had passed it already comes before there is another.
    connections: usize,
}

/// Lets `streams` streams ask and be answered for `length`, while `path` is cut 100 times a minute at random moments
/// and, every 20 seconds, frozen for 5.
pub(in crate::bench) async fn resume(
    side: &Side,
    path: &Arc<Relay>,
    streams: usize,
    length: Duration,
) -> Result<Resumed, LoadError> {
    let trial = Arc::new(Trial {
        path: Arc::clone(path),
        cuts: Mutex::default(),
        over: AtomicBool::new(false),
        bytes_wrong: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    for number in 0..streams {
        let feed = number % FEEDS == FEEDS - 1;
        let role = if feed { Role::Feed } else { Role::Echo };
        let stream = side.frontend.dial(role).await?;
        let mut outages = Outages::new(Arc::clone(&trial));
        tasks.spawn(async move {
            let lived = if feed {
                follow(stream, &mut outages).await
            } else {
                ask(stream, &mut outages, number).await
            };
            (lived.is_ok(), outages.samples)
        });
    }
    let (cuts, freezes) = disturb(&trial, length).await;
    trial.over.store(true, Ordering::Relaxed);
    let (mut samples, mut lost) = (Vec::new(), 0);
    while !tasks.is_empty() {
        let Ok(ended) = timeout(OVERTIME, tasks.join_next()).await else {
            return Err(LoadError::Stuck(tasks.len()));
        };
        if let Some(ended) = ended {
            let (lived, mut outages) = ended?;
            lost += usize::from(!lived);
            samples.append(&mut outages);
        }
    }
    Ok(Resumed {
        outages: Latencies::new(samples),
        cuts,
        freezes,
        streams_lost: lost,
        bytes_wrong: trial.bytes_wrong.load(Ordering::Relaxed),
    })
}

/// How long one stream was without bytes after each cut.
#[derive(Debug)]
struct Outages {
    trial: Arc<Trial>,
    samples: Vec<Duration>,
}

impl Outages {
    fn new(trial: Arc<Trial>) -> Self {
        let samples = Vec::new();
        Self { trial, samples }
    }

    /// Bytes have come, which ends the outages on whose way they cannot have been before; whether more are wanted.
    fn flows(&mut self, came: &[u8], expected: &[u8]) -> bool {
        let wrong = came
            .iter()
            .zip(expected)
            .filter(|(one, other)| one != other);
        let wrong = wrong.count() as u64;
        self.trial.bytes_wrong.fetch_add(wrong, Ordering::Relaxed);
        let over = self.trial.over.load(Ordering::Relaxed);
        let connections = self.trial.path.accepted();
        let cuts = self.trial.cuts();
        let ended = cuts[self.samples.len()..].iter();
        let ended = ended.take_while(|cut| cut.connections < connections);
        self.samples.extend(ended.map(|cut| cut.at.elapsed()));
        !over || self.samples.len() < cuts.len()
    }
}

impl Trial {
    fn cuts(&self) -> MutexGuard<'_, Vec<Cut>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what nobody could make up and takes it back, in ever other sizes.
async fn ask(mut stream: Stream, outages: &mut Outages, number: usize) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let (mut question, mut answer) = (Vec::new(), Vec::new());
    loop {
        question.resize(random.usize(1..=LONGEST), 0);
        random.fill(&mut question);
        answer.resize(question.len(), 0);
        stream.write_all(&question).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await?;
        if !outages.flows(&answer, &question) {
            return Ok(());
        }
    }
}

/// Reads what the endpoint sends by itself.
async fn follow(mut stream: Stream, outages: &mut Outages) -> io::Result<()> {
    let mut record = [0; FEED_RECORD];
    for number in 0.. {
        stream.read_exact(&mut record).await?;
        if !outages.flows(&record, &feed_record(number)) {
            break;
        }
    }
    Ok(())
}

/// Cuts and freezes the path for `length`; it is whole when this returns.
async fn disturb(trial: &Trial, length: Duration) -> (usize, usize) {
    let (path, begin) = (&trial.path, Instant::now());
    let mut random = fastrand::Rng::with_seed(SEED);
    let cuts = (length.as_secs_f64() * CUTS_PER_SECOND).round() as usize;
    let mut moments: Vec<_> = std::iter::repeat_with(|| (length.mul_f64(random.f64()), Deed::Cut))
        .take(cuts)
        .collect();
    let mut freezes = 0;
    let mut from = FREEZE_EVERY / 2;
    while from + FREEZE < length {
        moments.push((from, Deed::Freeze));
        moments.push((from + FREEZE, Deed::Thaw));
        from += FREEZE_EVERY;
        freezes += 1;
    }
    moments.sort_unstable_by_key(|(at, _)| *at);
    for (at, deed) in moments {
        sleep_until(begin + at).await;
        match deed {
            Deed::Cut => {
                trial.cuts().push(Cut {
                    at: Instant::now(),
                    connections: path.accepted(),
                });
                path.cut();
            }
            Deed::Freeze => path.freeze(),
            Deed::Thaw => path.thaw(),
        }
    }
    sleep_until(begin + length).await;
    (cuts, freezes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Cut,
    Freeze,
    Thaw,
}
