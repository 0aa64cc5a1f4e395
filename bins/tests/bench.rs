//! `dialback bench`: the relay that it compares with is a true one, and a run tells figures.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod scratch;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scratch::Scratch;

/// How long anything may take; far more than it needs, so that only a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both halves of a relay, ended when dropped.
struct Relay {
    halves: [Child; 2],
    socket: PathBuf,
    _scratch: Scratch,
}

impl Relay {
    fn start(endpoint: SocketAddr) -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        // The relay's halves have to agree on a port beforehand: an address of one's own keeps it free.
        let address = Ipv4Addr::new(127, 64 | (high ^ count), middle, low.max(1));
        let far = SocketAddr::from((address, 8091));

        let scratch = Scratch::new();
        let certs = Command::new(env!("CARGO_BIN_EXE_dialback"))
            .args(["certs", "--server-name", &address.to_string(), "--out"])
            .arg(scratch.path())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(certs.success());
        let socket = scratch.path().join("s");
        let far_half = half(scratch.path(), "cluster", |command| {
            command.arg("far");
            command.args([
                "--listen",
                &far.to_string(),
                "--endpoint",
                &endpoint.to_string(),
            ]);
        });
        wait_for(|| TcpStream::connect(far).is_ok());
        let near_half = half(scratch.path(), "agent", |command| {
            command
                .args(["near", "--far", &far.to_string(), "--socket"])
                .arg(&socket);
        });
        wait_for(|| socket.exists());
        Self {
            halves: [far_half, near_half],
            socket,
            _scratch: scratch,
        }
    }

    fn connect(&self) -> UnixStream {
        // The file is there a moment before anybody listens on it.
        let mut connected = UnixStream::connect(&self.socket);
        wait_for(|| {
            if connected.is_err() {
                connected = UnixStream::connect(&self.socket);
            }
            connected.is_ok()
        });
        let stream = connected.unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        for half in &mut self.halves {
            let _ = half.kill();
            let _ = half.wait();
        }
    }
}

fn half(folder: &Path, identity: &str, arguments: impl FnOnce(&mut Command)) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialback"));
    command.args(["--end-with-stdin", "bench-relay"]);
    arguments(&mut command);
    command
        .arg("--ca")
        .arg(folder.join("cluster-ca.crt"))
        .arg("--cert")
        .arg(folder.join(format!("{identity}.crt")))
        .arg("--key")
        .arg(folder.join(format!("{identity}.key")))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An endpoint that serves the next connection for which it reads a first byte.
fn endpoint(
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        serve(stream);
    });
    (address, served)
}

/// Bytes of which no two stretches are alike, so that nothing can be lost, doubled or moved unseen.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_relay_passes_on_a_frontends_half_close_and_the_whole_answer_after_it() {
    let (address, served) = endpoint(|mut stream| {
        assert_eq!(read_all(&stream), pattern(3_000_000, 1));
        stream.write_all(&pattern(5_000_000, 2)).unwrap();
    });
    let relay = Relay::start(address);
    let mut frontend = relay.connect();
    frontend.write_all(&pattern(3_000_000, 1)).unwrap();
    frontend.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&frontend), pattern(5_000_000, 2));
    served.join().unwrap();
}

#[test]
fn the_relay_passes_on_an_endpoints_half_close_and_what_the_frontend_says_after_it() {
    let (address, served) = endpoint(|mut stream| {
        stream.write_all(&pattern(1_000_000, 3)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&stream), pattern(2_000_000, 4));
    });
    let relay = Relay::start(address);
    let mut frontend = relay.connect();
    assert_eq!(read_all(&frontend), pattern(1_000_000, 3));
    frontend.write_all(&pattern(2_000_000, 4)).unwrap();
    drop(frontend);
    served.join().unwrap();
}

#[test]
fn the_relay_carries_both_directions_at_once() {
    let (address, served) = endpoint(|mut stream| {
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&pattern(4_000_000, 5)).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = vec![0; 4_000_000];
        stream.read_exact(&mut received).unwrap();
        assert!(received == pattern(4_000_000, 6));
        writing.join().unwrap();
    });
    let relay = Relay::start(address);
    let frontend = relay.connect();
    let mut writer = frontend.try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&pattern(4_000_000, 6)).unwrap());
    assert!(read_all(&frontend) == pattern(4_000_000, 5));
    writing.join().unwrap();
    served.join().unwrap();
}

/// Runs `dialback bench` with `folder` for its temporary files.
fn bench(folder: &Scratch, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialback"));
    command
        .args(["bench", "--json"])
        .args(more)
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Process ids by a part of their command lines, in which children of `bench` have a path in `folder`.
fn processes(folder: &Scratch, part: &str) -> Vec<String> {
    let folder = folder.path().to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains(folder) && line.contains(part)
        })
        .map(|process| process.file_name().into_string().unwrap())
        .collect()
}

fn assert_nothing_left(folder: &Scratch) {
    assert_eq!(processes(folder, ""), Vec::<String>::new());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_run_tells_a_figure_for_each_scenario_and_leaves_nothing_behind() {
    for front in ["connect", "grpc"] {
        let folder = Scratch::new();
        let more = ["--scenario=bulk-up,dial", "--seconds=1", "--front", front];
        let output = bench(&folder, &more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        let figures = told
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .collect::<Vec<_>>();
        let fields = ["value", "relay", "ratio"];
        for (figure, scenario) in figures.iter().zip(["bulk-up", "dial"]) {
            assert_eq!(figure["scenario"], scenario);
            assert_eq!(figure["front"], front);
            for field in fields {
                assert!(figure[field].as_f64().unwrap() > 0.0, "{figure}");
            }
        }
        assert!(
            figures[0]["cpu_s_per_gib"].as_f64().unwrap() > 0.0,
            "{told}"
        );
        assert!(
            figures[1]["p99"].as_f64() >= figures[1]["p50"].as_f64(),
            "{told}"
        );
        assert_eq!(figures.len(), 2);
        assert_nothing_left(&folder);
    }
}

/// What a scenario tells beside its figure, for who reads the JSON.
#[test]
fn scenarios_with_more_to_tell_tell_it() {
    let folder = Scratch::new();
    let more = [
        "--scenario=resume,stalled-stream",
        "--streams=8",
        "--seconds=3",
    ];
    let output = bench(&folder, &more).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let figures = told
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .collect::<Vec<_>>();
    let resume = &figures[0];
    assert!(resume["value"].as_f64().unwrap() > 0.0, "{told}");
    for (field, number) in [
        ("cuts", 5.0),
        ("freezes", 0.0),
        ("streams_lost", 0.0),
        ("bytes_wrong", 0.0),
    ] {
        assert_eq!(resume[field].as_f64(), Some(number), "{field}: {told}");
    }
    // Its connections would end with the path's.
    assert!(resume["relay"].is_null(), "{told}");
    let stalled = &figures[1];
    for field in ["echo_slowdown", "dial_slowdown", "worst_p99", "dial_p99"] {
        assert!(stalled[field].as_f64().unwrap() > 0.0, "{field}: {told}");
    }
    assert!(stalled["worst_p99"].as_f64() >= stalled["p50"].as_f64());
    assert!(stalled["rss_growth_mib"].is_f64(), "{told}");
    assert_nothing_left(&folder);
}

/// What it shows is asserted where time is virtual: `balance` of the simulation.
#[test]
fn dials_go_round_agents_that_are_ill() {
    let folder = Scratch::new();
    let more = ["--scenario=balance", "--streams=50", "--seconds=4"];
    let output = bench(&folder, &more).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let figure = serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    assert_eq!(figure["dials_lost"].as_f64(), Some(0.0), "{figure}");
    // Five milliseconds each way.
    assert!(
        figure["healthy_p50"].as_f64().unwrap() > 10_000.0,
        "{figure}"
    );
    for field in ["p50", "p99", "p99_to_healthy_p50", "spread_percent"] {
        assert!(figure[field].is_f64(), "{field}: {figure}");
    }
    assert_nothing_left(&folder);
}

/// How well the limit holds is asserted where time is virtual: `throttle` of the simulation.
#[test]
fn a_throttled_destination_is_measured_beside_another() {
    for front in ["connect", "grpc"] {
        let folder = Scratch::new();
        let more = ["--scenario=throttle", "--seconds=3", "--front", front];
        let output = bench(&folder, &more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let figure = serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
        assert_eq!(figure["unit"], "MiB/s");
        assert_eq!(figure["limit_mib_s"].as_f64(), Some(20.0), "{figure}");
        // A second's worth at most, and what was on its way when it was begun to count.
        let value = figure["value"].as_f64().unwrap();
        assert!(value > 0.0 && value < 40.0, "{figure}");
        for field in ["p50", "p99", "echo_slowdown"] {
            assert!(figure[field].as_f64().unwrap() > 0.0, "{field}: {figure}");
        }
        assert!(figure["relay"].is_null(), "{figure}");
        assert_nothing_left(&folder);
    }
}

/// Measures with these flags, and expects figures in these fields.
fn has_figures(flags: &[&str], fields: &[&str]) {
    let folder = Scratch::new();
    let output = bench(&folder, flags).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let figure = serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    for field in fields {
        assert!(figure[*field].as_f64().unwrap() > 0.0, "{figure}");
    }
    assert_nothing_left(&folder);
}

#[cfg(feature = "smol")]
#[test]
fn another_runtime_is_measured_beside_tokio() {
    has_figures(
        &["--scenario=echo", "--seconds=1", "--runtime=smol"],
        &["value", "tokio", "ratio_to_tokio", "relay"],
    );
}

#[test]
fn an_audit_log_is_measured_beside_none() {
    has_figures(
        &["--scenario=dial", "--seconds=1", "--audit"],
        &["value", "unaudited", "ratio_to_unaudited", "relay"],
    );
}

#[test]
fn there_is_no_figure_when_a_daemon_ends() {
    let folder = Scratch::new();
    let run = bench(&folder, &["--scenario=echo", "--seconds=60"])
        .spawn()
        .unwrap();
    // Once the relay is up, so is the installation before it.
    wait_for(|| !processes(&folder, "near").is_empty());
    let agents = processes(&folder, "proxy-agent");
    assert_eq!(agents.len(), 1);
    let killed = Command::new("kill")
        .args(["-s", "KILL", &agents[0]])
        .status();
    assert!(killed.unwrap().success());

    let output = run.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("agent ended by itself"), "{told}");
    assert_nothing_left(&folder);
}

#[test]
fn a_child_ends_with_its_parents_end_of_the_pipe() {
    let (address, _served) = endpoint(drop);
    let mut relay = Relay::start(address);
    for half in &mut relay.halves {
        drop(half.stdin.take());
        assert!(half.wait().unwrap().success());
    }
}
