//! When a dial is given to another agent too, and which agents are left alone for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::pressure::AnswerTime;
use crate::ids::LinkId;

/// A dial is left to its agent for at least so long: what is quicker is noise.
const LEAST_PATIENCE: Duration = Duration::from_millis(10);
/// And for no longer than this, however slow the agent is as a rule.
const MOST_PATIENCE: Duration = Duration::from_secs(2);
/// How long where nobody knows how long answers take.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);
/// Dials in a row that another agent had to answer, after which an agent is set aside.
const STRIKES: u32 = 3;
/// How long an agent is set aside for the first time; doubled each time it does not answer its next dial either.
const FIRST_ASIDE: Duration = Duration::from_secs(5);
const MOST_ASIDE: Duration = Duration::from_secs(60);
/// Dials that may be given to a second agent: for each other dial a tenth of one, up to [`MOST_SPARE`] in hand.
const SPARE_FOR_EACH: u32 = 1;
const SPARE_FOR_ONE: u32 = 10;
const MOST_SPARE: u32 = 20 * SPARE_FOR_ONE;

/// Hedged dials of one server: a dial that its agent does not answer in the usual time is given to another agent as
/// well, and whoever connects first serves it.
///
/// An agent whose dials others had to answer several times in a row is *set aside*: it gets no dials while another can
/// serve, and after a while one, to see whether it answers. What both agents leave unanswered is the endpoint's
/// doing and held against nobody. At most one dial in ten, beside a reserve, is given to a second agent: where everything
/// is slow, twice the dials would make it slower.
///
/// The driver calls [`Hedging::dialled`] for each dial, [`Hedging::answered`] or [`Hedging::overtaken`] when it is
/// decided, and [`Hedging::forget`] for links that are gone. Bounded by the number of links.
#[derive(Debug)]
pub struct Hedging {
    /// Over all agents.
    answers: AnswerTime,
    spare: u32,
    suspects: BTreeMap<LinkId, Suspect>,
}

/// An agent that left dials unanswered.
#[derive(Clone, Copy, Debug, Default)]
struct Suspect {
    strikes: u32,
    /// Times that it was set aside in a row.
    times: u32,
    /// It gets no dials until then.
    until: Option<Instant>,
    /// It was given one to see whether it answers, at that time.
    tried: Option<Instant>,
}

impl Default for Hedging {
    fn default() -> Self {
        Self {
            answers: AnswerTime::default(),
            spare: MOST_SPARE,
            suspects: BTreeMap::new(),
        }
    }
}

impl Hedging {
    /// How long a dial is left to an agent alone; `patience` is what that agent's own history says
    /// ([`Link::dial_patience`](super::Link::dial_patience)).
    #[must_use]
    pub fn patience(&self, patience: Option<Duration>) -> Duration {
        patience
            .or(self.answers.patience())
            .unwrap_or(FIRST_PATIENCE)
            .clamp(LEAST_PATIENCE, MOST_PATIENCE)
    }

    /// A dial was given to its first agent.
    pub fn dialled(&mut self, now: Instant, link: LinkId) {
        self.spare = (self.spare + SPARE_FOR_EACH).min(MOST_SPARE);
        if let Some(suspect) = self.suspects.get_mut(&link)
            && suspect.until.is_some_and(|until| until <= now)
        {
            suspect.tried = Some(now);
        }
    }

    /// Whether a dial may be given to a second agent, which then counts against what is spared for that.
    pub fn take_spare(&mut self) -> bool {
        let left = self.spare.checked_sub(SPARE_FOR_ONE);
        self.spare = left.unwrap_or(self.spare);
        left.is_some()
    }

    /// An agent answered a dial after `took`, be it by an error.
    pub fn answered(&mut self, link: LinkId, took: Duration) {
        self.answers.observe(took);
        self.suspects.remove(&link);
    }

    /// Another agent answered a dial that this one did not. `true` when it is set aside by this.
    pub fn overtaken(&mut self, now: Instant, link: LinkId) -> bool {
        let suspect = self.suspects.entry(link).or_default();
        suspect.strikes += 1;
        let was_aside = suspect.until.is_some();
        let tried = suspect.tried.take().is_some();
        // Dials that were under way when it was set aside say nothing new.
        if suspect.strikes < STRIKES || (was_aside && !tried) {
            return false;
        }
        let doubled = FIRST_ASIDE.saturating_mul(1 << suspect.times.min(8));
        suspect.times += 1;
        suspect.until = now.checked_add(doubled.min(MOST_ASIDE));
        !was_aside
    }

    /// Whether an agent is to get no dial while another can serve it.
    #[must_use]
    pub fn is_set_aside(&self, now: Instant, link: LinkId) -> bool {
        self.suspects.get(&link).is_some_and(|suspect| {
            let waits = suspect.until.is_some_and(|until| now < until);
            // One at a time; should nothing ever come of it, another after a while.
            let is_tried = suspect
                .tried
                .is_some_and(|tried| now.saturating_duration_since(tried) < FIRST_ASIDE);
            waits || is_tried
        })
    }

    /// Agents that are set aside, or on trial.
    #[must_use]
    pub fn set_aside_count(&self) -> usize {
        let suspects = self.suspects.values();
        suspects.filter(|suspect| suspect.until.is_some()).count()
    }

    /// A link is over.
    pub fn forget(&mut self, link: LinkId) {
        self.suspects.remove(&link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::epoch;

    const A: LinkId = LinkId(1);
    const MILLISECOND: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn struck(now: Instant) -> Hedging {
        let mut hedging = Hedging::default();
        assert!(!hedging.overtaken(now, A) && !hedging.overtaken(now, A));
        assert!(!hedging.is_set_aside(now, A), "it may be chance");
        assert!(hedging.overtaken(now, A));
        hedging
    }

    #[test]
    fn patience_follows_the_agents_history_then_everybodys() {
        let mut hedging = Hedging::default();
        assert_eq!(hedging.patience(None), FIRST_PATIENCE);
        hedging.answered(A, 20 * MILLISECOND);
        assert_eq!(hedging.patience(None), 60 * MILLISECOND);
        assert_eq!(hedging.patience(Some(30 * MILLISECOND)), 30 * MILLISECOND);
        assert_eq!(hedging.patience(Some(Duration::ZERO)), LEAST_PATIENCE);
        assert_eq!(hedging.patience(Some(60 * SECOND)), MOST_PATIENCE);
    }

    #[test]
    fn an_agent_that_answers_nothing_is_set_aside_and_tried_now_and_then() {
        let now = epoch();
        let mut hedging = struck(now);
        assert!(hedging.is_set_aside(now, A));
        // Those that were under way.
        assert!(!hedging.overtaken(now, A));
        assert!(hedging.is_set_aside(now + FIRST_ASIDE - MILLISECOND, A));
        let mut now = now + FIRST_ASIDE;
        for aside in [10, 20, 40, 60, 60] {
            assert!(!hedging.is_set_aside(now, A), "it gets one");
            hedging.dialled(now, A);
            assert!(hedging.is_set_aside(now, A), "and no more");
            assert!(!hedging.overtaken(now, A), "it was aside before");
            let until = now + aside * SECOND;
            assert!(hedging.is_set_aside(until - MILLISECOND, A), "{aside}");
            now = until;
        }
        assert_eq!(hedging.set_aside_count(), 1);
        hedging.dialled(now, A);
        hedging.answered(A, MILLISECOND);
        assert!(!hedging.is_set_aside(now, A), "it is back");
        assert_eq!(hedging.set_aside_count(), 0);
    }

    #[test]
    fn a_trial_that_nothing_came_of_is_repeated() {
        let now = epoch();
        let mut hedging = struck(now);
        let now = now + FIRST_ASIDE;
        hedging.dialled(now, A);
        assert!(hedging.is_set_aside(now + FIRST_ASIDE - MILLISECOND, A));
        assert!(!hedging.is_set_aside(now + FIRST_ASIDE, A));
    }

    #[test]
    fn an_answer_in_between_clears_an_agent() {
        let now = epoch();
        let mut hedging = Hedging::default();
        for _ in 0..5 {
            hedging.overtaken(now, A);
            hedging.overtaken(now, A);
            hedging.answered(A, MILLISECOND);
        }
        assert!(!hedging.is_set_aside(now, A));
        let mut hedging = struck(now);
        hedging.forget(A);
        assert!(!hedging.is_set_aside(now, A));
    }

    #[test]
    fn one_dial_in_ten_has_a_second_agent_when_the_reserve_is_used_up() {
        let now = epoch();
        let mut hedging = Hedging::default();
        let reserve = (0..).take_while(|_| hedging.take_spare()).count();
        assert_eq!(reserve, 20);
        let hedged = (0..1000).filter(|_| {
            hedging.dialled(now, A);
            hedging.take_spare()
        });
        assert_eq!(hedged.count(), 100);
    }
}
