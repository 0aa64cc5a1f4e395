use std::sync::atomic::{AtomicUsize, Ordering};

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
