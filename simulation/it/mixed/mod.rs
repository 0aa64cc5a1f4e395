//! Everything goes wrong at random: what holds all the same.
//!
//! - What arrives at either end is what the other sent, in order, from the start, and never twice.
//! - An end that looks orderly is one: everything has arrived. (When a process was killed, its system closes its
//!   sockets as if it were done; and plain Konnectivity can't tell an endpoint a cut from a close.)
//! - Everybody learns of an end in bounded time, whoever is gone.
//! - Once nothing goes wrong any more, agents find their servers and dials succeed.
//! - When all is over, nothing is left.

mod fault;
mod plan;
mod stream;
mod traffic;

use std::cell::Cell;
use std::time::Duration;

use dialback_simulation::{Seeds, Simulation, for_each_seed};

use self::plan::{Kind, Plan};
use self::traffic::Traffic;

/// 1,000 and more are run by hand, with `DIALBACK_SEEDS`.
const SEEDS: Seeds = Seeds {
    fixed: 0..100,
    once_failed: &[],
    fresh: 20,
};

/// When even an end that nobody was told of has been noticed.
const ALL_NOTICED: Duration = Duration::from_secs(15 * 60);

/// How many streams ended in order, and how many there were.
#[derive(Default)]
struct Tally {
    orderly: Cell<usize>,
    all: Cell<usize>,
}

fn run(test: &str, kind: Kind, once_failed: &'static [u64]) {
    let tally = Tally::default();
    let seeds = Seeds {
        once_failed,
        ..SEEDS
    };
    for_each_seed(&format!("mixed::{test}"), seeds, async |simulation| {
        let (orderly, all) = play(simulation, kind).await;
        tally.orderly.set(tally.orderly.get() + orderly);
        tally.all.set(tally.all.get() + all);
    });
    let Tally { orderly, all } = tally;
    eprintln!(
        "{test}: {} of {} streams ended in order",
        orderly.get(),
        all.get()
    );
}

/// From the start to the end. Returns how many streams ended in order, and how many there were.
async fn play(simulation: &Simulation, kind: Kind) -> (usize, usize) {
    let plan = Plan::random(simulation.seed(), kind);
    simulation.note(format!("{plan:?}"));
    let mut traffic = Traffic::start(simulation, &plan).await;
    for (wait, fault) in &plan.faults {
        traffic.pass(*wait).await;
        traffic.suffer(fault);
    }
    let orderly = traffic.end_streams(ALL_NOTICED).await;
    traffic.recover().await;
    traffic.end().await;
    (orderly, plan.streams.len())
}

#[test]
fn a_seed_gives_the_same_faults_and_the_same_event_log_again() {
    for seed in 0..10 {
        let play = || {
            Simulation::run(seed, async |simulation| {
                play(simulation, Kind::Mixed).await;
            })
        };
        assert_eq!(play().difference(&play()), None, "seed {seed}");
    }
}

#[test]
fn mixed_faults_break_no_promise() {
    // 974: what a stopping server cut off looked whole.
    run("mixed_faults_break_no_promise", Kind::Mixed, &[974]);
}

#[test]
fn no_stream_ends_while_every_tunnel_is_resumed() {
    // 10: streams were ended whose session had not been asked for. 215: a slow frontend missed the end. 276: a session
    // was offered twice, and bytes came again.
    let once_failed = &[10, 215, 276];
    let test = "no_stream_ends_while_every_tunnel_is_resumed";
    run(test, Kind::Resumed, once_failed);
}
