//! Tasks and time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialback_runtime::{Runtime, Sleep as _, Task};
use dialback_simulation::{EventLog, Simulation};

#[test]
fn time_passes_only_in_sleep() {
    Simulation::run(1, async |simulation| {
        let host = simulation.host("host");
        let start = host.now();
        simulation.sleep(Duration::from_secs(3600)).await;
        assert_eq!(host.now() - start, Duration::from_secs(3600));
        let mut sleep = host.sleep_until(start);
        (&mut sleep).await;
        assert_eq!(simulation.elapsed(), Duration::from_secs(3600));
        sleep.reset(host.now() + Duration::from_nanos(1));
        sleep.await;
        let elapsed = Duration::from_secs(3600) + Duration::from_nanos(1);
        assert_eq!(simulation.elapsed(), elapsed);
    });
}

#[test]
fn what_takes_too_long_is_given_up() {
    Simulation::run(1, async |simulation| {
        let second = Duration::from_secs(1);
        assert_eq!(simulation.within(second, async { 7 }).await, Some(7));
        let never = std::future::pending::<()>();
        assert_eq!(simulation.within(second, never).await, None);
        assert_eq!(simulation.elapsed(), second);
    });
}

/// The order in which tasks get their turn, and the log of it.
fn order(seed: u64) -> (Vec<usize>, EventLog) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let log = Simulation::run(seed, async |simulation| {
        let host = simulation.host("host");
        for index in 0..20 {
            let order = Arc::clone(&order);
            host.spawn(async move { order.lock().unwrap().push(index) });
        }
        simulation
            .eventually("all ended", || host.task_count() == 0)
            .await;
    });
    let order = order.lock().unwrap().clone();
    (order, log)
}

#[test]
fn tasks_take_turns_in_an_order_that_the_seed_decides() {
    let (first, log) = order(1);
    let (again, same) = order(1);
    assert_eq!(first, again);
    assert_eq!(log.difference(&same), None);
    let (second, other) = order(2);
    assert_ne!(first, second);
    assert!(log.difference(&other).is_some());
}

/// Counts up when dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_is_aborted_killed_or_left_at_the_end_is_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    Simulation::run(1, async |simulation| {
        let (host, other) = (simulation.host("host"), simulation.host("other"));
        let spawn = |host: &dialback_simulation::Host| {
            let held = Dropped(Arc::clone(&dropped));
            host.spawn(async move {
                std::future::pending::<()>().await;
                drop(held);
            })
        };
        let task = spawn(&host);
        spawn(&host);
        spawn(&other);
        simulation.sleep(Duration::from_secs(1)).await;
        task.abort();
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        simulation.kill(&host);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        assert_eq!((host.task_count(), other.task_count()), (0, 1));
    });
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[test]
#[should_panic(expected = "everybody waits, and nothing will happen")]
fn a_deadlock_is_told() {
    Simulation::run(1, async |_| std::future::pending().await);
}

#[test]
#[should_panic(expected = "somebody turns in circles")]
fn a_task_that_never_rests_is_told() {
    Simulation::run(1, async |simulation| {
        let host = simulation.host("host");
        host.spawn(std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        }));
        simulation.sleep(Duration::from_secs(1)).await;
    });
}

#[test]
#[should_panic(expected = "a program wrote an error to its log")]
fn an_error_in_a_log_is_told() {
    Simulation::run(1, async |_| {
        tracing::error!(target: "dialback_test", what = 7, "broken");
    });
}
