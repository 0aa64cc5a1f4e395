//! How an agent comes back after its transport was lost: its side of the handshake, and what is under way of it.

use std::time::{Duration, Instant};

use dialback_core::server::ResumeRefused;
use dialback_core::wire::{ResumeOffer, SessionId, SessionToken};

/// How an agent reconnects, and how long the network takes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// From the loss, or a failed attempt, to the next one; `None` for never.
    pub after: Option<Duration>,
    /// From the attempt to the offer's arrival, beside the wire's delay.
    pub offer_takes: Duration,
    /// How long the agent waits for an answer before it gives an attempt up.
    pub patience: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            after: Some(Duration::ZERO),
            offer_takes: Duration::ZERO,
            patience: Duration::from_secs(5),
        }
    }
}

/// What the server answers an offer: how many packets it took and the next token, or why not.
pub(crate) type Answer = Result<(u64, SessionToken), ResumeRefused>;

/// One offer under way, on a transport of its own.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) transport: u64,
    /// When it arrives, until it has.
    pub(crate) offer: Option<(Instant, ResumeOffer)>,
    /// When the answer arrives.
    pub(crate) answer: Option<(Instant, Answer)>,
    /// `None` once the agent has given it up; the server may still get it.
    pub(crate) given_up_at: Option<Instant>,
}

/// The agent's side of a session's handshakes.
#[derive(Debug)]
pub(crate) struct Resumption {
    pub(crate) id: SessionId,
    pub(crate) token: SessionToken,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) attempt_at: Option<Instant>,
}

impl Resumption {
    pub(crate) const fn new(id: SessionId, token: SessionToken) -> Self {
        Self {
            id,
            token,
            attempts: Vec::new(),
            attempt_at: None,
        }
    }

    /// The attempt whose answer the agent waits for.
    pub(crate) fn live(&mut self) -> Option<&mut Attempt> {
        self.attempts
            .iter_mut()
            .find(|attempt| attempt.given_up_at.is_some())
    }

    /// The next offer that has arrived at the server, and on which transport.
    pub(crate) fn arrived(&mut self, now: Instant) -> Option<(u64, ResumeOffer)> {
        let attempts = self.attempts.iter_mut();
        attempts
            .filter_map(|attempt| {
                let (_, offer) = attempt.offer.take_if(|(at, _)| *at <= now)?;
                Some((attempt.transport, offer))
            })
            .next()
    }

    /// Forgets attempts of which nothing is under way any more.
    pub(crate) fn tidy(&mut self) {
        self.attempts
            .retain(|attempt| attempt.offer.is_some() || attempt.given_up_at.is_some());
    }

    /// A network that loses everything under way.
    pub(crate) fn cut(&mut self) {
        for attempt in &mut self.attempts {
            attempt.offer = None;
            attempt.answer = None;
        }
    }

    pub(crate) fn next_event(&self) -> Option<Instant> {
        let attempts = self.attempts.iter().flat_map(|attempt| {
            [
                attempt.offer.as_ref().map(|(at, _)| *at),
                attempt.answer.as_ref().map(|(at, _)| *at),
                attempt.given_up_at,
            ]
        });
        attempts.chain([self.attempt_at]).flatten().min()
    }
}
