//! What a link tells about how busy it is.

use std::time::{Duration, Instant};

use super::Link;
use crate::load::LinkLoad;
use crate::server::pressure::{AnswerTime, Pressure};

/// How long the sum of queued bytes stands: it takes a walk over all streams.
const QUEUED_STANDS: Duration = Duration::from_millis(100);
/// How much one dial changes the share of failed ones.
const FAILURE_STEP: f64 = 1.0 / 8.0;

/// What a link remembers of its dials, for the choice between agents.
#[derive(Debug, Default)]
pub(super) struct DialHistory {
    answers: AnswerTime,
    failures: f64,
    queued: Option<(Instant, usize)>,
}

impl DialHistory {
    /// The agent answered a dial.
    pub(super) fn answered(&mut self, took: Duration, failed: bool) {
        self.answers.observe(took);
        let outcome = if failed { 1.0 } else { 0.0 };
        self.failures += (outcome - self.failures) * FAILURE_STEP;
    }
}

impl Link {
    /// What the link holds now; `None` once it has ended.
    #[must_use]
    pub fn load(&self) -> Option<LinkLoad> {
        (!self.is_down()).then(|| LinkLoad {
            pending_dials: self.dials.len(),
            ..self.session.load(self.mux.load())
        })
    }

    /// What the link is under now. Cheap: of the bytes in its queues it says what they were up to 100 ms ago.
    pub fn pressure(&mut self, now: Instant) -> Pressure {
        let history = &mut self.history;
        let queued_bytes = match history.queued {
            Some((since, bytes)) if now < since + QUEUED_STANDS => bytes,
            Some(_) | None => {
                let load = self.mux.load();
                let bytes = load.outgoing_bytes + load.incoming_bytes;
                history.queued = Some((now, bytes));
                bytes
            }
        };
        // Ids grow, so the first is the oldest, but for the one time that they may wrap around.
        let oldest = self
            .dials
            .values()
            .next()
            .and_then(|id| self.mux.stream(*id));
        let oldest = oldest.map(|stream| now.saturating_duration_since(stream.state.started));
        Pressure {
            streams: self.mux.len(),
            queued_bytes,
            answer_time: self.history.answers.mean().or(self.session.round_trip()),
            oldest_dial: oldest.unwrap_or_default(),
            failures: self.history.failures,
        }
    }

    /// By when this agent answers nearly all of its dials, after they were given to it; `None` before the first.
    #[must_use]
    pub fn dial_patience(&self) -> Option<Duration> {
        self.history.answers.patience()
    }
}
