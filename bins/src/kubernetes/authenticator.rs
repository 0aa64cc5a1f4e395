//! Answers about tokens, remembered for a moment, so that a storm of agents is no storm of reviews.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use dialback_runtime::server::{
    AgentAuthenticator, AgentIdentity, AgentRefused, Authentication, BearerToken,
};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// How long an answer about a token stands, good or bad; it is also how long a token that was taken back still lets an
/// agent in. kube-apiserver itself remembers answers for as long.
const REMEMBER: Duration = Duration::from_secs(10);
/// How long it stands that nobody could be asked.
const REMEMBER_UNAVAILABLE: Duration = Duration::from_secs(1);
/// Reviews at a time; further tokens wait.
const MAX_REVIEWS: usize = 32;
/// Tokens that are known or waited for; agents with further ones are told to come again.
const MAX_TOKENS: usize = 10_000;

/// Whoever knows whose a token is.
pub(crate) trait Reviewer: fmt::Debug + Send + Sync + 'static {
    /// Looks at a token.
    fn review(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<AgentIdentity, AgentRefused>> + Send;
}

type Answer = Result<AgentIdentity, AgentRefused>;
/// A token's SHA-256: the tokens themselves are not kept.
type TokenHash = [u8; 32];

/// Remembers what a [`Reviewer`] says, asks it about each token once at a time, and about few tokens at a time.
///
/// A review that nobody waits for any more when its turn comes is not made; one that has begun is finished, and its
/// answer remembered.
#[derive(Debug)]
pub(crate) struct CachingAuthenticator<V> {
    shared: Arc<Shared<V>>,
    tokio: Handle,
}

#[derive(Debug)]
struct Shared<V> {
    reviewer: V,
    reviews: Semaphore,
    tokens: Mutex<BTreeMap<TokenHash, Token>>,
}

#[derive(Debug)]
struct Token {
    answer: watch::Receiver<Option<Answer>>,
    /// When it is to be forgotten; `None` while it is looked at.
    until: Option<Instant>,
}

impl Token {
    fn stands(&self, now: Instant) -> bool {
        match self.until {
            Some(until) => now < until,
            // A review that ended in a panic has no answer.
            None => self.answer.has_changed().is_ok(),
        }
    }
}

impl<V: Reviewer> CachingAuthenticator<V> {
    /// Reviews are made on `tokio`, wherever they are waited for.
    pub(crate) fn new(reviewer: V, tokio: Handle) -> Self {
        Self {
            shared: Arc::new(Shared {
                reviewer,
                reviews: Semaphore::new(MAX_REVIEWS),
                tokens: Mutex::default(),
            }),
            tokio,
        }
    }

    /// Where the answer will be, or is; `None` when too many are waited for.
    fn answer(&self, token: &BearerToken) -> Option<watch::Receiver<Option<Answer>>> {
        let mut hash = TokenHash::default();
        hash.copy_from_slice(digest(&SHA256, token.secret().as_bytes()).as_ref());
        let now = Instant::now();
        let mut tokens = self.shared.tokens();
        if let Some(known) = tokens.get(&hash).filter(|known| known.stands(now)) {
            return Some(known.answer.clone());
        }
        if tokens.len() >= MAX_TOKENS {
            make_room(&mut tokens, now);
        }
        if tokens.len() >= MAX_TOKENS {
            return None;
        }
        let (tell, answer) = watch::channel(None);
        let (waiting, until) = (answer.clone(), None);
        tokens.insert(hash, Token { answer, until });
        let (shared, token) = (Arc::clone(&self.shared), token.clone());
        self.tokio
            .spawn(async move { shared.review(hash, &token, tell).await });
        Some(waiting)
    }
}

/// Forgets what stands no more, and if nothing does, the answer that would be forgotten next.
fn make_room(tokens: &mut BTreeMap<TokenHash, Token>, now: Instant) {
    tokens.retain(|_, token| token.stands(now));
    if tokens.len() < MAX_TOKENS {
        return;
    }
    let known = tokens
        .iter()
        .filter_map(|(hash, token)| Some((token.until?, *hash)));
    if let Some((_, next)) = known.min() {
        tokens.remove(&next);
    }
}

impl<V: Reviewer> Shared<V> {
    fn tokens(&self) -> MutexGuard<'_, BTreeMap<TokenHash, Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn review(
        &self,
        hash: TokenHash,
        token: &BearerToken,
        tell: watch::Sender<Option<Answer>>,
    ) {
        // It is never closed, and if it were, nothing would be left to bound.
        let _permit = self.reviews.acquire().await;
        {
            let mut tokens = self.tokens();
            // The table's own copy is the only one: nobody waits, and nobody can begin to under this lock.
            if tell.receiver_count() <= 1 {
                tokens.remove(&hash);
                return;
            }
        }
        let answer = self.reviewer.review(token.secret()).await;
        let stands = match &answer {
            Ok(_) | Err(AgentRefused::Rejected(_)) => REMEMBER,
            Err(_) => REMEMBER_UNAVAILABLE,
        };
        if let Some(known) = self.tokens().get_mut(&hash) {
            known.until = Some(Instant::now() + stands);
        }
        tell.send_replace(Some(answer));
    }
}

impl<V: Reviewer> AgentAuthenticator for CachingAuthenticator<V> {
    fn authenticate(&self, token: &BearerToken) -> Authentication {
        let answer = self.answer(token);
        Box::pin(async move {
            let Some(mut answer) = answer else {
                return Err(AgentRefused::Unavailable(Arc::new(TooMany)));
            };
            let answer = match answer.wait_for(Option::is_some).await {
                Ok(answer) => answer.clone(),
                Err(_) => None,
            };
            // Without an answer the review ended in the middle: the process ends.
            answer.unwrap_or_else(|| Err(AgentRefused::Unavailable(Arc::new(Ending))))
        })
    }
}

#[derive(Clone, Copy, Debug, Error)]
#[error("too many agents wait for their tokens to be looked at")]
struct TooMany;

#[derive(Clone, Copy, Debug, Error)]
#[error("the server is about to end")]
struct Ending;

#[cfg(test)]
mod tests;
