use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::limiter::Limiter;
use super::*;

/// Answers when there are permits: `good*` is let in, `away` can't be asked about, anything else is refused.
#[derive(Clone, Debug)]
struct Oracle(Arc<OracleState>);

#[derive(Debug)]
struct OracleState {
    permits: Semaphore,
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Oracle {
    fn new(permits: usize) -> Self {
        Self(Arc::new(OracleState {
            permits: Semaphore::new(permits),
            asked: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        }))
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }
}

#[derive(Debug, Error)]
#[error("no")]
struct No;

impl Reviewer for Oracle {
    async fn review(&self, token: &str) -> Answer {
        let state = &self.0;
        state.asked.fetch_add(1, Ordering::SeqCst);
        let now = state.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_at_once.fetch_max(now, Ordering::SeqCst);
        if let Ok(permit) = state.permits.acquire().await {
            permit.forget();
        }
        state.at_once.fetch_sub(1, Ordering::SeqCst);
        match token {
            "away" => Err(AgentRefused::Unavailable(Arc::new(No))),
            _ if token.starts_with("good") => Ok(AgentIdentity::new(token)),
            _ => Err(AgentRefused::Rejected(Arc::new(No))),
        }
    }
}

fn authenticator(permits: usize) -> (Arc<CachingAuthenticator<Oracle>>, Oracle) {
    let oracle = Oracle::new(permits);
    let authenticator = CachingAuthenticator::new(oracle.clone(), Handle::current());
    (Arc::new(authenticator), oracle)
}

async fn ask(authenticator: &CachingAuthenticator<Oracle>, token: &str) -> Result<String, String> {
    authenticator
        .authenticate(&BearerToken::from(token))
        .await
        .map(|identity| identity.to_string())
        .map_err(|refused| refused.label().to_owned())
}

/// Lets every task go on until none can.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn answers_stand_for_a_moment_refusals_too() {
    let (authenticator, oracle) = authenticator(100);
    for (token, answer) in [
        ("good", Ok("good".to_owned())),
        ("bad", Err("rejected".to_owned())),
    ] {
        let before = oracle.asked();
        for _ in 0..10 {
            assert_eq!(ask(&authenticator, token).await, answer);
        }
        assert_eq!(oracle.asked(), before + 1, "{token}");
        tokio::time::sleep(REMEMBER).await;
        assert_eq!(ask(&authenticator, token).await, answer);
        assert_eq!(oracle.asked(), before + 2, "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn that_nobody_could_be_asked_stands_shorter() {
    let (authenticator, oracle) = authenticator(100);
    assert_eq!(
        ask(&authenticator, "away").await,
        Err("unavailable".to_owned())
    );
    assert_eq!(
        ask(&authenticator, "away").await,
        Err("unavailable".to_owned())
    );
    assert_eq!(oracle.asked(), 1);
    tokio::time::sleep(REMEMBER_UNAVAILABLE).await;
    assert_eq!(
        ask(&authenticator, "away").await,
        Err("unavailable".to_owned())
    );
    assert_eq!(oracle.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_looked_at_once_however_many_show_it() {
    let (authenticator, oracle) = authenticator(0);
    let token = BearerToken::from("good");
    let waiting: Vec<_> = (0..50)
        .map(|_| authenticator.authenticate(&token))
        .collect();
    settle().await;
    oracle.0.permits.add_permits(1);
    for answer in waiting {
        assert!(answer.await.is_ok());
    }
    assert_eq!(oracle.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn few_tokens_are_looked_at_at_once_and_all_in_the_end() {
    let (authenticator, oracle) = authenticator(0);
    let tokens = 5000;
    let waiting: Vec<_> = (0..tokens)
        .map(|n| authenticator.authenticate(&BearerToken::from(format!("good {n}").as_str())))
        .collect();
    settle().await;
    assert_eq!(oracle.asked(), MAX_REVIEWS);
    oracle.0.permits.add_permits(tokens);
    for answer in waiting {
        assert!(answer.await.is_ok());
    }
    assert_eq!(oracle.asked(), tokens);
    assert_eq!(oracle.0.most_at_once.load(Ordering::SeqCst), MAX_REVIEWS);
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_away_is_not_asked_about() {
    let (authenticator, oracle) = authenticator(0);
    let under_way: Vec<_> = (0..MAX_REVIEWS)
        .map(|n| authenticator.authenticate(&BearerToken::from(format!("good {n}").as_str())))
        .collect();
    settle().await;
    let token = BearerToken::from("good late");
    drop(authenticator.authenticate(&token));
    settle().await;
    oracle.0.permits.add_permits(1000);
    for answer in under_way {
        assert!(answer.await.is_ok());
    }
    settle().await;
    assert_eq!(oracle.asked(), MAX_REVIEWS);
    // It may come again.
    assert!(authenticator.authenticate(&token).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_table_is_bounded() {
    let (authenticator, oracle) = authenticator(0);
    let waiting: Vec<_> = (0..MAX_TOKENS)
        .map(|n| authenticator.authenticate(&BearerToken::from(format!("good {n}").as_str())))
        .collect();
    assert_eq!(
        ask(&authenticator, "good one more").await,
        Err("unavailable".to_owned())
    );
    // One that is waited for may have others beside it.
    let beside = authenticator.authenticate(&BearerToken::from("good 7"));
    oracle.0.permits.add_permits(MAX_TOKENS + 1);
    for answer in waiting {
        assert!(answer.await.is_ok());
    }
    assert!(beside.await.is_ok());
    // Answers make room before they are due to be forgotten.
    assert!(ask(&authenticator, "good one more").await.is_ok());
    assert_eq!(authenticator.shared.tokens().len(), MAX_TOKENS);
}

/// Looks at tokens at the pace at which the API server is asked.
#[derive(Debug)]
struct Paced {
    limiter: Limiter,
    asked: AtomicUsize,
}

impl Reviewer for Arc<Paced> {
    async fn review(&self, token: &str) -> Result<AgentIdentity, AgentRefused> {
        self.limiter.turn().await;
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(AgentIdentity::new(token))
    }
}

/// Agents that come back at once, each with a token of its own, and give an attempt up as agents do.
#[tokio::test(start_paused = true)]
async fn a_storm_of_agents_is_let_in_at_the_pace_of_the_reviews() {
    const AGENTS: usize = 5000;
    const PER_SECOND: f64 = 50.0;
    const BURST: f64 = 100.0;
    /// How long an agent waits for the answer to its call, and at most before its next one.
    const ATTEMPT: Duration = Duration::from_secs(20);
    const PAUSE: std::ops::Range<u64> = 1000..10_000;

    let reviews = Arc::new(Paced {
        limiter: Limiter::new(PER_SECOND, BURST),
        asked: AtomicUsize::new(0),
    });
    let authenticator = Arc::new(CachingAuthenticator::new(
        Arc::clone(&reviews),
        Handle::current(),
    ));
    let mut random = fastrand::Rng::with_seed(1);
    let start = Instant::now();
    let agents: Vec<_> = (0..AGENTS)
        .map(|index| {
            let (authenticator, mut random) = (Arc::clone(&authenticator), random.fork());
            tokio::spawn(async move {
                let token = BearerToken::from(format!("agent {index}").as_str());
                let mut attempts = 0;
                loop {
                    attempts += 1;
                    let answer = authenticator.authenticate(&token);
                    if let Ok(Ok(_)) = tokio::time::timeout(ATTEMPT, answer).await {
                        return attempts;
                    }
                    tokio::time::sleep(Duration::from_millis(random.u64(PAUSE))).await;
                }
            })
        })
        .collect();
    let mut most = 0;
    for agent in agents {
        most = most.max(agent.await.expect("no agent panics"));
    }
    let took = start.elapsed();
    let asked = reviews.asked.load(Ordering::SeqCst);
    tell(&format!(
        "{AGENTS} agents: all let in after {took:?} of virtual time, by {asked} reviews, with {most} attempts at most"
    ));
    // Some answers come when their agent has just given up, and are asked for anew after they are forgotten.
    assert!(asked <= AGENTS + AGENTS / 20, "{asked} reviews");
    let least = Duration::from_secs_f64((AGENTS as f64 - BURST) / PER_SECOND);
    assert!(took <= least + 2 * ATTEMPT, "{took:?}");
}

#[expect(clippy::print_stdout, reason = "what was measured")]
fn tell(text: &str) {
    println!("{text}");
}
