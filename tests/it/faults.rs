//! Not one stream ends, not one byte is lost, doubled or reordered, however the network fails under the tunnel.

use std::env;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dialback_core::SessionConfig;
use dialback_tests::agent::AgentOptions;
use dialback_tests::endpoint::{Endpoint, pattern_from};
use dialback_tests::frontend::{connect, exchange};
use dialback_tests::log::Log;
use dialback_tests::path::Path;
use dialback_tests::relay::Relay;
use dialback_tests::run::run;
use dialback_tests::server::ServerOptions;
use dialback_tests::wait::{eventually, within};
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Streams that echo, and streams on which only the endpoint speaks, as in `kubectl logs --follow`.
const ECHOES: usize = 200;
const LONG_READS: usize = 8;
/// How often the agent's connection is cut.
const CUTS: usize = 100;

/// Faults follow each other as fast as the streams get on; a freeze lasts until both ends have given the connection
/// up, for which they wait less than by default.
///
/// `DIALBACK_FAULT_SEED` names another sequence of faults.
#[test]
fn no_stream_notices_cuts_and_freezes() {
    run(async |log| {
        let session = SessionConfig {
            idle_probe: Duration::from_millis(150),
            silence_timeout: Duration::from_millis(300),
            ..SessionConfig::default()
        };
        let mut rng = rng();
        let (path, load) = start(&session, AgentOptions::default()).await;
        for number in 0..CUTS {
            let seen = load.progress();
            let further = rng.usize(0..ECHOES);
            eventually("streams move", || load.progress() >= seen + further).await;
            let connections = path.relay.accepted();
            if number % 10 == 9 {
                freeze(&path.relay, rng.u8(0..3));
            } else {
                load.lost();
                path.relay.cut();
            }
            // A freeze is over as soon as it was noticed, a cut comes as soon as there is something to cut.
            eventually("another connection", || path.relay.accepted() > connections).await;
            path.relay.thaw();
        }
        load.every_stream_moves().await;
        finish(path, load, &log).await;
    });
}

/// What an operator would see: the timeouts are the defaults, the moments random, and a freeze takes 5 s.
///
/// `cargo test -p dialback-tests --release --test it faults:: -- --ignored --nocapture`; `DIALBACK_FAULT_SEED` as above.
#[test]
#[ignore = "takes a minute and measures: run it alone, with --release"]
fn no_stream_notices_a_minute_of_cuts_and_freezes() {
    const FREEZE: Duration = Duration::from_secs(5);
    const FREEZES: usize = 4;
    const SPAN: Duration = Duration::from_secs(60);
    run(async |log| {
        let mut rng = rng();
        let agent = AgentOptions {
            fleet: dialback_core::agent::FleetConfig::default(),
            ..AgentOptions::default()
        };
        let (path, load) = start(&SessionConfig::default(), agent).await;
        let moving = SPAN - FREEZE * u32::try_from(FREEZES).unwrap();
        let mut moments: Vec<Duration> = (0..CUTS).map(|_| moving.mul_f64(rng.f64())).collect();
        moments.sort_unstable();
        let mut passed = Duration::ZERO;
        for (number, moment) in moments.into_iter().enumerate() {
            sleep(moment - passed).await;
            passed = moment;
            if number % (CUTS / FREEZES) == CUTS / FREEZES / 2 {
                let before = rng.f64();
                freeze(&path.relay, rng.u8(0..3));
                sleep(FREEZE.mul_f64(before)).await;
                // What reconnects is frozen as well.
                path.relay.cut();
                sleep(FREEZE.mul_f64(1.0 - before)).await;
                path.relay.thaw();
            } else {
                load.lost();
                path.relay.cut();
            }
        }
        load.every_stream_moves().await;
        let mut gaps = load.flows.gaps();
        gaps.sort_unstable();
        let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
        eprintln!(
            "{} exchanges, {} connections; from a cut to flow again: median {median:?}, longest {longest:?} of {}",
            load.progress(),
            path.relay.accepted(),
            gaps.len(),
        );
        finish(path, load, &log).await;
        assert!(median <= Duration::from_millis(100), "{median:?}");
    });
}

fn rng() -> Rng {
    let seed = env::var("DIALBACK_FAULT_SEED").map_or(1, |seed| seed.parse().unwrap());
    eprintln!("DIALBACK_FAULT_SEED={seed}");
    Rng::with_seed(seed)
}

/// Freezes one direction or both.
fn freeze(relay: &Relay, which: u8) {
    match which {
        0 => relay.towards_target.freeze(),
        1 => relay.back.freeze(),
        _ => relay.freeze(),
    }
}

async fn start(session: &SessionConfig, mut agent: AgentOptions) -> (Path, Load) {
    let mut server = ServerOptions::default();
    server.config.link.session = session.clone();
    agent.link.session = session.clone();
    let path = Path::start(server, agent).await;
    let load = Load::start(&path).await;
    (path, load)
}

async fn finish(path: Path, load: Load, log: &Log) {
    load.end().await;
    path.end().await;
    assert_eq!(log.count(tracing::Level::INFO, &["stream ended early"]), 0);
}

/// The streams that must not notice anything.
struct Load {
    exchanges: Arc<Vec<AtomicUsize>>,
    flows: Arc<Flows>,
    stop: Arc<AtomicBool>,
    /// What the endpoints of the long reads sent, and what was read.
    told: Arc<AtomicU64>,
    heard: Arc<AtomicU64>,
    streams: JoinSet<()>,
    _endpoints: [Endpoint; 2],
}

impl Load {
    async fn start(path: &Path) -> Self {
        let mut streams = JoinSet::new();
        let stop = Arc::new(AtomicBool::new(false));
        let flows = Arc::new(Flows::default());
        let exchanges = (0..ECHOES).map(|_| AtomicUsize::new(0)).collect();
        let exchanges: Arc<Vec<AtomicUsize>> = Arc::new(exchanges);
        let echo = Endpoint::echo().await;
        for number in 0..ECHOES {
            let address = echo.address.to_string();
            let mut stream = connect(&path.server.socket(), &address).await.unwrap();
            let (exchanges, flows) = (Arc::clone(&exchanges), Arc::clone(&flows));
            let stop = Arc::clone(&stop);
            streams.spawn(async move {
                let mut length = number * 31 + 1;
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    exchange(&mut stream, &pattern_from(number + length, length)).await;
                    flows.moved(began);
                    length = length * 7 % 20_011 + 1;
                    exchanges[number].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (told, heard) = (Arc::default(), Arc::default());
        let speaking = speaking(Arc::clone(&stop), Arc::clone(&told)).await;
        for _ in 0..LONG_READS {
            let address = speaking.address.to_string();
            let mut stream = connect(&path.server.socket(), &address).await.unwrap();
            let heard: Arc<AtomicU64> = Arc::clone(&heard);
            streams.spawn(async move {
                let mut bytes = 0;
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let read = stream.read(&mut buffer).await.unwrap();
                    let expected = pattern_from(bytes, read);
                    assert!(buffer[..read] == expected, "behind {bytes} bytes");
                    bytes += read;
                    if read == 0 {
                        break;
                    }
                }
                heard.fetch_add(bytes as u64, Ordering::Relaxed);
            });
        }
        Self {
            exchanges,
            flows,
            stop,
            told,
            heard,
            streams,
            _endpoints: [echo, speaking],
        }
    }

    /// How often any stream got an answer.
    fn progress(&self) -> usize {
        self.each().iter().sum()
    }

    fn each(&self) -> Vec<usize> {
        let counts = self.exchanges.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// The connection is being cut.
    fn lost(&self) {
        self.flows.lost();
    }

    async fn every_stream_moves(&self) {
        let before = self.each();
        eventually("every stream moves", || {
            let pairs = self.each().into_iter().zip(&before);
            pairs.into_iter().all(|(now, before)| now > *before)
        })
        .await;
    }

    /// Lets every stream come to its end, and checks that each was whole.
    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = within("the last bytes", self.streams.join_next()).await {
            ended.unwrap();
        }
        let (told, heard) = (
            self.told.load(Ordering::Relaxed),
            self.heard.load(Ordering::Relaxed),
        );
        assert!(told > 0 && heard == told, "{heard} of {told} bytes");
    }
}

/// An endpoint that speaks slowly until it is stopped, and adds up what it sent.
async fn speaking(stop: Arc<AtomicBool>, told: Arc<AtomicU64>) -> Endpoint {
    Endpoint::start(move |mut socket| {
        let (stop, told) = (Arc::clone(&stop), Arc::clone(&told));
        async move {
            let mut bytes = 0;
            while !stop.load(Ordering::Relaxed) {
                socket.write_all(&pattern_from(bytes, 700)).await.unwrap();
                bytes += 700;
                sleep(Duration::from_millis(5)).await;
            }
            told.fetch_add(bytes as u64, Ordering::Relaxed);
            socket.shutdown().await.unwrap();
            // Until the other side has closed as well.
            let _ = socket.read_u8().await;
        }
    })
    .await
}

/// How long nothing flowed behind each cut.
#[derive(Default)]
struct Flows {
    /// The cut behind which nothing has flowed yet, and the gaps so far.
    state: Mutex<(Option<Instant>, Vec<Duration>)>,
}

impl Flows {
    fn lost(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.get_or_insert_with(Instant::now);
    }

    /// An exchange that began then has ended: one that began before the cut may owe its end to the lost connection.
    fn moved(&self, began: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cut) = state.0.take_if(|cut| began >= *cut) {
            state.1.push(cut.elapsed());
        }
    }

    fn gaps(&self) -> Vec<Duration> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.clone()
    }
}
