//! Records on their way to the thread that writes them.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dialback_core::audit::{AuditMode, AuditPolicy, AuditQueue, Event, Offered, Queued};
use dialback_runtime::metrics::AuditMetrics;
use dialback_runtime::server::AuditSink;
use dialback_runtime::status::AuditStatus;

use super::file::{AuditFile, AuditFileError};
use super::writer::{LineOutput, Writer};
use crate::flags::{AuditOptions, AuditOutput};

/// Records are gathered for so long before they are written: a busy server wakes the writing thread a hundred times a second
/// and not once a record.
const GATHER: Duration = Duration::from_millis(10);

/// What could not be written is tried again after this when the log is to end.
const SOON: Duration = Duration::from_millis(100);

/// How long a log that is dropped waits for its last records.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The audit log. Dropped, it writes what waits, for a second at most.
pub(crate) struct AuditLog {
    shared: Arc<Shared>,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("waiting", &self.shared.state().queue.len())
            .finish_non_exhaustive()
    }
}

/// What the log and its thread share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Told when the thread has something to do.
    work: Condvar,
    /// Told when the thread has ended.
    ended: Condvar,
    /// Above so many records none is waited for any more.
    many: usize,
    pub(super) metrics: AuditMetrics,
}

struct State {
    queue: AuditQueue,
    /// Why the log can't be written.
    failure: Option<String>,
    reopen: bool,
    /// What waits is written, until then, and the thread ends.
    end: Option<Instant>,
    /// The thread has ended, and so many records were not written.
    lost: Option<usize>,
    /// The thread waits for the first record.
    idle: bool,
}

/// What the thread is to do next.
#[derive(Debug)]
pub(super) enum Task {
    /// To write these.
    Write(Vec<Queued>),
    /// To open the file again.
    Reopen,
    /// To end: nothing waits any more.
    End,
}

impl AuditLog {
    /// Opens the log and starts the thread that writes it.
    ///
    /// # Errors
    /// Why the log can't be written.
    pub(crate) fn start(
        options: &AuditOptions,
        policy: AuditPolicy,
        server: &str,
        metrics: AuditMetrics,
    ) -> Result<Arc<Self>, AuditFileError> {
        let file = match &options.output {
            AuditOutput::Standard => AuditFile::standard_output()?,
            AuditOutput::File(options) => AuditFile::open(options.clone())?,
        };
        Self::writing_to(file, options, policy, server, metrics)
    }

    /// As [`AuditLog::start`], whatever it writes to.
    pub(super) fn writing_to(
        output: impl LineOutput + Send + 'static,
        options: &AuditOptions,
        policy: AuditPolicy,
        server: &str,
        metrics: AuditMetrics,
    ) -> Result<Arc<Self>, AuditFileError> {
        let queue = AuditQueue::new(options.mode, options.waiting, policy);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue,
                failure: None,
                reopen: false,
                end: None,
                lost: None,
                idle: false,
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
            many: options.waiting.div_ceil(2),
            metrics,
        });
        let writer = Writer::new(Arc::clone(&shared), output, options.format, server);
        std::thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| AuditFileError::Thread { source })?;
        let log = Arc::new(Self { shared });
        log.record(Event::Started {
            version: env!("CARGO_PKG_VERSION"),
        });
        Ok(log)
    }

    /// Another policy for what comes from now on.
    pub(crate) fn set_policy(&self, policy: AuditPolicy) {
        self.shared.state().queue.set_policy(policy);
    }

    /// What its policy file was found to be, when it had changed.
    pub(crate) fn policy_reloaded(&self, taken_up: bool) {
        self.shared.metrics.reloaded(taken_up);
    }

    /// Has the file opened again, after what waits for it now has been written to the old one.
    pub(crate) fn reopen(&self) {
        self.shared.state().reopen = true;
        self.shared.work.notify_one();
    }

    /// Writes the last record, and waits for as long until it is written; `false` if it was not.
    pub(crate) fn finish(&self, patience: Duration) -> bool {
        let shared = &self.shared;
        let until = Instant::now() + patience;
        let mut state = shared.state();
        if state.end.is_none() {
            state.queue.offer(SystemTime::now(), Event::Stopped);
            state.end = Some(until);
            shared.work.notify_one();
        }
        loop {
            if let Some(lost) = state.lost {
                return lost == 0;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = shared.ended.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.finish(LAST_PATIENCE);
    }
}

impl AuditSink for AuditLog {
    fn record(&self, event: Event) {
        let mut state = self.shared.state();
        if state.lost.is_some() {
            return self.shared.metrics.dropped(1);
        }
        // Under the lock, so that records are in the order of their times.
        match state.queue.offer(SystemTime::now(), event) {
            Offered::Taken => {}
            Offered::Dropped => return self.shared.metrics.dropped(1),
            Offered::Unwanted => return,
        }
        let wakes = state.idle || state.queue.len() == self.shared.many;
        drop(state);
        if wakes {
            self.shared.work.notify_one();
        }
    }

    fn admits(&self) -> bool {
        self.shared.state().queue.admits()
    }

    fn status(&self) -> AuditStatus {
        let (written, dropped) = self.shared.metrics.counts();
        let state = self.shared.state();
        AuditStatus {
            strict: state.queue.mode() == AuditMode::Strict,
            failure: state.failure.clone(),
            blocked: !state.queue.admits(),
            waiting: u64::try_from(state.queue.len()).unwrap_or(u64::MAX),
            written,
            dropped,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match timeout {
            None => self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = self.work.wait_timeout(state, timeout);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Waits for something to do.
    pub(super) fn next_task(&self, most: usize) -> Task {
        let mut state = self.state();
        loop {
            if std::mem::take(&mut state.reopen) {
                return Task::Reopen;
            }
            if !state.queue.is_empty() {
                break;
            }
            if state.end.is_some() {
                return Task::End;
            }
            state.idle = true;
            state = self.wait(state, None);
            state.idle = false;
            if !state.queue.is_empty() && !state.reopen && state.end.is_none() {
                state = self.wait(state, Some(GATHER));
            }
        }
        let records = state.queue.take(SystemTime::now(), most);
        self.metrics.waiting(state.queue.len());
        Task::Write(records)
    }

    /// Whether the log could be written; `true` when that is news.
    pub(super) fn tried(&self, failure: Option<String>) -> bool {
        let mut state = self.state();
        state.queue.set_failing(failure.is_some());
        self.metrics.failing(failure.is_some());
        self.metrics.waiting(state.queue.len());
        let is_news = state.failure != failure;
        state.failure = failure;
        is_news
    }

    /// Waits before the next attempt, shorter when the file is to be opened again or all is to end; whether there is a next one.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.state();
        loop {
            let now = Instant::now();
            match state.end {
                Some(end) if now >= end => return false,
                _ if state.reopen || now >= until => return true,
                // Once more, soon.
                Some(_) => {
                    drop(self.wait(state, Some(pause.min(SOON))));
                    return true;
                }
                None => state = self.wait(state, Some(until - now)),
            }
        }
    }

    /// Whether the file is to be opened again, which is done then.
    pub(super) fn takes_reopen(&self) -> bool {
        std::mem::take(&mut self.state().reopen)
    }

    /// The thread ends, with so many records in its hands that were not written.
    pub(super) fn ended(&self, unwritten: usize) -> usize {
        let mut state = self.state();
        let lost = state.queue.len() + unwritten;
        state.lost = Some(lost);
        self.metrics
            .dropped(u64::try_from(lost).unwrap_or(u64::MAX));
        self.ended.notify_all();
        lost
    }
}
