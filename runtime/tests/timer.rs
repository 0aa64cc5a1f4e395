//! Timers and time limits, on tokio's paused clock.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::future::{pending, poll_fn};
use std::task::Poll;
use std::time::Duration;

use dialback_runtime::{Elapsed, Runtime, Timer, timeout_at};
use dialback_tokio::TokioRuntime;

const SECOND: Duration = Duration::from_secs(1);

fn timer() -> (TokioRuntime, Timer<TokioRuntime>) {
    let runtime = TokioRuntime::current().unwrap();
    (runtime.clone(), Timer::new(runtime))
}

#[tokio::test(start_paused = true)]
async fn a_timer_fires_once() {
    let (runtime, mut timer) = timer();
    let start = runtime.now();
    timer.set(Some(start + 5 * SECOND));
    let now = poll_fn(|cx| timer.poll(cx)).await;
    assert_eq!(now - start, 5 * SECOND);
    assert_eq!(timer.deadline(), None);
    assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx).is_pending())).await);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_moves_both_ways_and_away() {
    let (runtime, mut timer) = timer();
    let start = runtime.now();
    for (first, second) in [(5, 50), (50, 5), (5, 5), (50, 0)] {
        let begin = runtime.now();
        timer.set(Some(begin + first * SECOND));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx).is_pending())).await);
        timer.set(Some(begin + second * SECOND));
        let now = poll_fn(|cx| timer.poll(cx)).await;
        assert_eq!(now - begin, second * SECOND);
    }
    timer.set(Some(start + 100 * SECOND));
    timer.set(None);
    let deadline = start + 1000 * SECOND;
    let result = timeout_at(&runtime, deadline, poll_fn(|cx| timer.poll(cx))).await;
    assert_eq!(result, Err(Elapsed));
}

#[tokio::test(start_paused = true)]
async fn a_timer_can_be_set_again_after_it_fired() {
    let (runtime, mut timer) = timer();
    let start = runtime.now();
    for round in 1..4 {
        timer.set(Some(start + round * SECOND));
        poll_fn(|cx| timer.poll(cx)).await;
        assert_eq!(runtime.now() - start, round * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_is_limited_by_its_deadline_only() {
    let runtime = TokioRuntime::current().unwrap();
    let start = runtime.now();
    let deadline = start + SECOND;
    assert_eq!(timeout_at(&runtime, deadline, async { 7 }).await, Ok(7));
    assert_eq!(runtime.now(), start);
    let never = timeout_at(&runtime, deadline, pending::<()>()).await;
    assert_eq!(never, Err(Elapsed));
    assert_eq!(runtime.now(), deadline);
    // A future that is done at once may still run after the deadline.
    assert_eq!(timeout_at(&runtime, start, async { 8 }).await, Ok(8));
}
