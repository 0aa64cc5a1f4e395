//! A run: hosts, time and faults, as a scenario sees them.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tracing::dispatcher::with_default;

use crate::clock::SimulatedSleep;
use crate::event_log::{Event, EventLog};
use crate::executor::{Executor, TaskId};
use crate::host::Host;
use crate::network::{HostId, HostState, PathConfig, Told};
use crate::spoken::listen;
use crate::world::World;

/// Polls without any time passing after which somebody is held to turn in circles.
const LONGEST_TURN: usize = 1_000_000;
/// Simulated time after which a scenario is held never to end.
const LONGEST_RUN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long [`Simulation::eventually`] waits in simulated time, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(10);
/// Events that are shown when a scenario fails.
const SHOWN: usize = 40;

/// A simulation that runs, as its scenario sees it.
#[derive(Clone)]
pub struct Simulation {
    shared: Arc<Shared>,
    seed: u64,
}

/// What every handle on the simulation holds.
pub(crate) struct Shared {
    /// What is called the start; all time is an offset from it.
    start: Instant,
    pub(crate) executor: Executor,
    world: Mutex<World>,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Instant {
        self.start + self.world().now
    }

    /// Zero for what lies before the start.
    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// Runs a scenario to its end. What still runs then is dropped.
    ///
    /// # Panics
    /// When the scenario or a task does; when everybody waits for somebody else; when a program wrote an error to
    /// its log.
    pub fn run(seed: u64, scenario: impl AsyncFnOnce(&Self)) -> EventLog {
        // The generator that the drivers draw jitter and ids from is the thread's.
        fastrand::seed(seed);
        let shared = Arc::new(Shared {
            start: Instant::now(),
            executor: Executor::default(),
            world: Mutex::new(World::new(seed)),
        });
        let simulation = Self { shared, seed };
        with_default(&listen(&simulation.shared), || {
            let last_words = LastWords(&simulation.shared);
            simulation.poll_to_end(scenario(&simulation));
            simulation.shared.executor.clear();
            drop(last_words);
        });
        let log = simulation.shared.world().event_log().clone();
        if let Some(error) = log.first_error() {
            panic!("a program wrote an error to its log: {error}");
        }
        log
    }

    fn poll_to_end(&self, scenario: impl Future<Output = ()>) {
        let Shared { executor, .. } = &*self.shared;
        let mut scenario = pin!(scenario);
        let waker = executor.waker(TaskId::SCENARIO);
        waker.wake_by_ref();
        let mut order = Rng::with_seed(self.seed);
        let mut polls = 0;
        loop {
            let mut ready = executor.take_ready();
            if ready.is_empty() {
                polls = 0;
                let mut world = self.shared.world();
                assert!(world.advance(), "everybody waits, and nothing will happen");
                assert!(world.now < LONGEST_RUN, "the scenario does not end");
                continue;
            }
            polls += ready.len();
            assert!(polls < LONGEST_TURN, "somebody turns in circles");
            order.shuffle(&mut ready);
            for task in ready {
                self.shared.world().log(Event::Polled(task));
                if task == TaskId::SCENARIO {
                    let turn = scenario.as_mut().poll(&mut Context::from_waker(&waker));
                    if turn.is_ready() {
                        return;
                    }
                } else if executor.poll(task) {
                    self.shared.world().log(Event::Ended(task));
                }
            }
        }
    }

    /// What everything that chance decides is drawn from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A new host, with an address of its own. Its name can be looked up.
    #[must_use]
    pub fn host(&self, name: &str) -> Host {
        let mut world = self.shared.world();
        let id = HostId::new(world.hosts.len());
        let state = HostState::new(id);
        world.names.insert(name.to_owned(), vec![state.ip]);
        let ip = state.ip;
        world.hosts.push(state);
        drop(world);
        Host::new(Arc::clone(&self.shared), id, ip)
    }

    /// Has `name` looked up as these addresses; none at all makes it unknown.
    pub fn set_name(&self, name: &str, addresses: Vec<IpAddr>) {
        self.shared.world().names.insert(name.to_owned(), addresses);
    }

    /// Has every connection to `address` go to one of `targets`, chosen at random and without asking it: a load
    /// balancer.
    pub fn balance(&self, address: SocketAddr, targets: Vec<SocketAddr>) {
        self.shared.world().balancers.insert(address, targets);
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.world().now
    }

    /// Writes to the event log.
    pub fn note(&self, text: impl Into<String>) {
        self.shared.world().log(Event::Noted(text.into()));
    }

    /// Lets time pass.
    pub async fn sleep(&self, time: Duration) {
        let deadline = self.shared.now() + time;
        SimulatedSleep::new(&self.shared, deadline).await;
    }

    /// What `future` gives, or `None` if that takes longer than `limit`.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut sleep = SimulatedSleep::new(&self.shared, self.shared.now() + limit);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => pin!(&mut sleep).poll(cx).map(|()| None),
        })
        .await
    }

    /// Waits until `condition` holds.
    ///
    /// # Panics
    /// When it does not within two minutes of simulated time.
    pub async fn eventually(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = self.elapsed() + PATIENCE;
        while !condition() {
            assert!(self.elapsed() < deadline, "waited in vain: {what}");
            self.sleep(GLANCE).await;
        }
    }

    /// Makes the way between two hosts such, in both directions.
    pub fn set_path(&self, one: &Host, other: &Host, config: PathConfig) {
        let mut world = self.shared.world();
        for (from, to) in [(one.id(), other.id()), (other.id(), one.id())] {
            world.paths.get(from, to).config = config;
        }
    }

    /// Nothing gets from either host to the other any more; neither is told.
    pub fn partition(&self, one: &Host, other: &Host) {
        self.note(format!("{} and {} are parted", one.id(), other.id()));
        let mut world = self.shared.world();
        world.block(one.id(), other.id());
        world.block(other.id(), one.id());
    }

    /// Nothing gets from `from` to `to` any more, while the other direction stays open.
    pub fn block(&self, from: &Host, to: &Host) {
        self.note(format!("{} does not reach {}", from.id(), to.id()));
        self.shared.world().block(from.id(), to.id());
    }

    /// What was held back arrives, as far as those who sent it still wait.
    pub fn heal(&self, one: &Host, other: &Host) {
        self.note(format!("{} and {} are joined", one.id(), other.id()));
        let mut world = self.shared.world();
        world.unblock(one.id(), other.id());
        world.unblock(other.id(), one.id());
    }

    /// Cuts all connections between two hosts, as a middlebox does that has lost its table; `told` says who gets a
    /// reset. New connections work.
    pub fn cut(&self, one: &Host, other: &Host, told: Told) {
        self.note(format!(
            "connections of {} and {} are cut, {told:?} told",
            one.id(),
            other.id()
        ));
        self.shared.world().cut(one.id(), other.id(), told);
    }

    /// The processes of a host end; the system closes their sockets.
    pub fn kill(&self, host: &Host) {
        self.note(format!("{} is killed", host.id()));
        let executor = &self.shared.executor;
        // The end of a task may start another.
        while let Some(task) = executor.tasks_of(host.id()).first() {
            executor.abort(*task);
        }
    }

    /// The plug is pulled: nobody hears of it, and nobody answers.
    pub fn power_off(&self, host: &Host) {
        self.note(format!("the plug of {} is pulled", host.id()));
        self.shared.world().power_off(host.id());
        self.kill(host);
    }

    /// The host is there again, and knows of no connection.
    pub fn power_on(&self, host: &Host) {
        self.note(format!("{} is switched on", host.id()));
        self.shared.world().power_on(host.id());
    }

    /// What happened so far.
    #[must_use]
    pub fn log(&self) -> EventLog {
        self.shared.world().event_log().clone()
    }
}

/// Shows the end of the log when a scenario fails.
struct LastWords<'a>(&'a Shared);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let world = self.0.world();
            let log = world.event_log();
            eprintln!("What was said:\n{}", log.words());
            eprintln!("The last events:\n{}", log.tail(SHOWN));
        }
    }
}
