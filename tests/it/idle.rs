//! Ten thousand connects that send nothing: bounded, timed out, and nobody else notices.

use std::process::Stdio;
use std::time::Duration;

use dialback_runtime::server::FrontendMode;
use dialback_tests::canary::Canary;
use dialback_tests::descriptors::{allow, back_to, open};
use dialback_tests::pair::PairOptions;
use dialback_tests::run::run_alone;
use dialback_tests::wait::{eventually, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tracing::Level;

const CONNECTS: usize = 10_000;

/// What a server gives a connection that sends nothing. Long enough for all of them to be there at once.
const PATIENCE: Duration = Duration::from_secs(3);

/// A process that holds connections.
struct Idle {
    child: Child,
    stdin: ChildStdin,
}

impl Idle {
    async fn start(count: usize, target: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_idle_connects"))
            .args([&count.to_string(), target])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        within("connections are open", stdout.read_line(&mut line))
            .await
            .unwrap();
        assert_eq!(line, "open\n");
        Self { child, stdin }
    }

    async fn end(mut self) {
        drop(self.stdin);
        let status = within("the process ends", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

fn impatient(mode: FrontendMode) -> PairOptions {
    let mut options = PairOptions::default();
    options.server.mode = mode;
    options.server.config.request_timeout = PATIENCE;
    options.server.config.handshake_timeout = PATIENCE;
    options
}

/// Which of a server's listeners.
#[derive(Clone, Copy)]
enum Listener {
    Unix,
    Tcp,
    Tls,
    Agents,
}

/// `told` is what the log says of every one that is given up.
fn ten_thousand(mode: FrontendMode, listener: Listener, told: &'static str) {
    run_alone(async |log| {
        allow(CONNECTS as u64 + 1000);
        let before = open();
        let mut canary = Canary::start(impatient(mode)).await;
        canary.sings().await;
        let server = &canary.pair.server;
        let target = match listener {
            Listener::Unix => server.socket().to_str().unwrap().to_owned(),
            Listener::Tcp => server.tcp.to_string(),
            Listener::Tls => server.tls.to_string(),
            Listener::Agents => server.agent_address.to_string(),
        };
        let with_canary = open();
        let idle = Idle::start(CONNECTS, &target).await;
        // On a busy machine the first may be given up before the last is there.
        eventually("all of them are accepted", || {
            open() >= with_canary + CONNECTS || log.count(Level::INFO, &["peer=", told]) > 0
        })
        .await;
        canary.sings().await;
        // Each is given up, with a word that names it.
        eventually("all of them are told of", || {
            log.count(Level::INFO, &["peer=", told]) == CONNECTS
        })
        .await;
        eventually("all of them are closed", || open() < with_canary + 100).await;
        canary.sings().await;
        idle.end().await;
        canary.end().await;
        back_to(before).await;
    });
}

#[test]
fn on_the_connect_listener() {
    let told = "frontend sent no complete request in time";
    ten_thousand(FrontendMode::HttpConnect, Listener::Unix, told);
}

#[test]
fn on_the_tls_frontend_listener() {
    let told = "TLS handshake with a frontend took too long";
    ten_thousand(FrontendMode::HttpConnect, Listener::Tls, told);
}

#[test]
fn on_the_grpc_frontend_listener() {
    let told = "the peer took too long for the HTTP/2 handshake";
    ten_thousand(FrontendMode::Grpc, Listener::Tcp, told);
}

#[test]
fn on_the_agent_listener() {
    let told = "TLS handshake with an agent took too long";
    ten_thousand(FrontendMode::HttpConnect, Listener::Agents, told);
}

/// More than there is room for wait in the backlog, and get their turn.
#[test]
fn more_than_there_is_room_for() {
    run_alone(async |log| {
        let before = open();
        let mut options = impatient(FrontendMode::HttpConnect);
        options.server.config.request_timeout = Duration::from_millis(100);
        options.server.config.max_frontends = 50;
        let mut canary = Canary::start(options).await;
        let with_canary = open();
        let target = canary.pair.server.tcp.to_string();
        let idle = Idle::start(500, &target).await;
        let mut most = 0;
        eventually("each had its turn", || {
            most = most.max(open());
            log.count(Level::INFO, &["no complete request in time"]) == 500
        })
        .await;
        // Each listener has its own room, and a few descriptors are the child's pipes.
        assert!(most <= with_canary + 50 + 20, "{with_canary}, then {most}");
        log.tells(&["as many connections as may be", "limit=50"])
            .await;
        canary.sings().await;
        idle.end().await;
        canary.end().await;
        back_to(before).await;
    });
}
