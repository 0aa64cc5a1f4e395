//! Stopping a server in order: who is told when, and who is waited for.

use std::sync::Arc;
use std::time::Duration;

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
    /// Everything ends now.
    Cut,
}

/// The stop as the server holds it.
#[derive(Debug)]
pub(super) struct Stop {
    stage: watch::Sender<Stage>,
    /// Held by every frontend: when the last clone is gone, nobody is served any more.
    frontends: std::sync::Mutex<Option<mpsc::Sender<()>>>,
    gone: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

/// The stop as a connection's task sees it.
#[derive(Clone, Debug)]
pub(super) struct StopSignal(watch::Receiver<Stage>);

/// Kept by a frontend's task for as long as it serves someone.
#[derive(Debug)]
pub(super) struct FrontendGuard {
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
        let (held, gone) = mpsc::channel(1);
        Self {
            stage: watch::Sender::new(Stage::Running),
            frontends: std::sync::Mutex::new(Some(held)),
            gone: tokio::sync::Mutex::new(gone),
        }
    }

    pub(super) fn signal(&self) -> StopSignal {
        StopSignal(self.stage.subscribe())
    }

    pub(super) fn frontend(&self) -> FrontendGuard {
        let held = self
            .frontends
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        FrontendGuard {
            _held: held.clone(),
        }
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
    /// them at once).
    pub async fn stop(self: &Arc<Self>, limit: Duration) -> Stopped {
        self.stop.stage.send_replace(Stage::Draining);
        drop(
            self.stop
                .frontends
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take(),
        );
        let deadline = self.runtime.now() + limit;
        let mut gone = self.stop.gone.lock().await;
        let idle = timeout_at(&self.runtime, deadline, gone.recv())
            .await
            .is_ok();
        self.stop.stage.send_replace(Stage::Cut);
        if idle {
            return Stopped::Idle;
        }
        // What is cut still says goodbye, in bounded time.
        let deadline = self.runtime.now() + CUT_TIME;
        let _ = timeout_at(&self.runtime, deadline, gone.recv()).await;
        Stopped::Cut
    }
}

/// How long cut connections may take for their last words.
const CUT_TIME: Duration = Duration::from_secs(1);
