//! Stopping a server in order: who is told when, and who is waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dialback_core::server::Link;
use dialback_core::{CloseReason, Initiator};
use tokio::sync::{mpsc, watch};

use super::Server;
use crate::runtime::Runtime;
use crate::timer::timeout_at;

/// How far the stop has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Running,
    /// No new connections and no new streams; what runs goes on.
    Draining,
    /// Tunnels end, and say so to agents; frontends hear of it by that.
    EndingTunnels,
    /// Everything that is left ends now.
    Cut,
}

/// The stop as the server holds it.
#[derive(Debug)]
pub(super) struct Stop {
    stage: watch::Sender<Stage>,
    frontends: Served,
    agents: Served,
}

/// Who is served, and that nobody is any more.
#[derive(Debug)]
struct Served {
    /// Held by everyone: when the last clone is gone, nobody is served any more.
    held: std::sync::Mutex<Option<mpsc::Sender<()>>>,
    gone: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Served {
    fn new() -> Self {
        let (held, gone) = mpsc::channel(1);
        Self {
            held: std::sync::Mutex::new(Some(held)),
            gone: tokio::sync::Mutex::new(gone),
        }
    }

    fn hold(&self) -> ServedGuard {
        let held = self
            .held
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        ServedGuard {
            _held: held.clone(),
        }
    }

    /// Nobody comes any more: ready when the last has gone, `false` when the deadline passes before.
    async fn none_left<R: Runtime>(&self, runtime: &R, deadline: Instant) -> bool {
        drop(
            self.held
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take(),
        );
        let mut gone = self.gone.lock().await;
        timeout_at(runtime, deadline, gone.recv()).await.is_ok()
    }
}

/// The stop as a connection's task sees it.
#[derive(Clone, Debug)]
pub(super) struct StopSignal(watch::Receiver<Stage>);

/// Kept by a connection's task for as long as it serves someone.
#[derive(Debug)]
pub(super) struct ServedGuard {
    _held: Option<mpsc::Sender<()>>,
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every frontend had finished by itself.
    Idle,
    /// The limit passed and the rest was cut.
    Cut,
}

impl Stop {
    pub(super) fn new() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Running),
            frontends: Served::new(),
            agents: Served::new(),
        }
    }

    pub(super) fn signal(&self) -> StopSignal {
        StopSignal(self.stage.subscribe())
    }

    pub(super) fn frontend(&self) -> ServedGuard {
        self.frontends.hold()
    }

    pub(super) fn agent(&self) -> ServedGuard {
        self.agents.hold()
    }

    /// Whether tunnels are being ended, or have been.
    pub(super) fn is_ending(&self) -> bool {
        *self.stage.borrow() >= Stage::EndingTunnels
    }

    /// Whether no new streams are wanted any more.
    pub(super) fn is_draining(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }
}

impl StopSignal {
    /// Ready once the stop has got to `stage`.
    pub(super) async fn reached(&mut self, stage: Stage) {
        // An error means that the server itself is gone: then everything ends.
        let _ = self.0.wait_for(|now| *now >= stage).await;
    }
}

impl<R: Runtime> Server<R> {
    /// Stops the server: no new connections; running streams may go on for `limit`, then everything is cut.
    ///
    /// Agents stay connected until the end, so that running streams do (a GOAWAY would make a Go agent drop
    /// them at once). Those that know `drain/1` are told at the start, and look for another server meanwhile.
    pub async fn stop(self: &Arc<Self>, limit: Duration) -> Stopped {
        self.stop.stage.send_replace(Stage::Draining);
        // After the stage: an agent that comes later looks at that.
        for tunnel in self.tunnels() {
            tunnel.with(Link::drain);
        }
        let deadline = self.runtime.now() + limit;
        let idle = self.stop.frontends.none_left(&self.runtime, deadline).await;
        // Who is cut, and every agent, is still told so, in bounded time. The tunnels go first, so that streams end
        // with the true reason on both sides.
        let deadline = self.runtime.now() + CUT_TIME;
        self.stop.stage.send_replace(Stage::EndingTunnels);
        self.stop.agents.none_left(&self.runtime, deadline).await;
        self.end_suspended_tunnels();
        self.stop.stage.send_replace(Stage::Cut);
        if idle {
            return Stopped::Idle;
        }
        self.stop.frontends.none_left(&self.runtime, deadline).await;
        Stopped::Cut
    }

    /// An agent's connection has ended. One that came at the last moment may have left a tunnel that waits for another.
    pub(super) fn agent_connection_ended(&self) {
        if self.stop.is_ending() {
            self.end_suspended_tunnels();
        }
    }

    /// Ends the tunnels that wait for another transport, which would come to a server that is gone.
    fn end_suspended_tunnels(&self) {
        let now = self.runtime.now();
        for tunnel in self.tunnels() {
            tunnel.with(|link| {
                if link.is_suspended() {
                    link.handle_ended(now, CloseReason::TunnelEnded(Initiator::Server));
                }
            });
        }
    }
}

/// How long cut connections may take for their last words.
const CUT_TIME: Duration = Duration::from_secs(1);
