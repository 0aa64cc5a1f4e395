//! Signals, and running a daemon's work until they end it.

use std::fmt;
use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

#[cfg(feature = "smol")]
use dialback_smol::SmolRuntime;
use dialback_tokio::{Signal, TerminationSignals, TokioRuntime};
use tokio::runtime::Builder;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use super::{EXIT_ABNORMAL, Work, say_failure};
use crate::flags::RuntimeName;

/// Tells a daemon's work that it is to end: after the first SIGTERM or SIGINT, for ever.
#[derive(Clone, Debug)]
pub struct StopSignal {
    requested: watch::Receiver<bool>,
}

impl StopSignal {
    /// Waits until the work is to end; at once when that has been asked before.
    pub async fn requested(&mut self) {
        // The other end lives as long as the work does; without it nobody can ask any more.
        if self
            .requested
            .wait_for(|requested| *requested)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the work is to end.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }
}

/// Tells a daemon's work to read its files again, after SIGHUP; what is asked while nobody listens is kept, once.
#[derive(Clone, Debug)]
pub(crate) struct ReloadSignal {
    asked: Arc<Notify>,
}

impl ReloadSignal {
    /// Waits until it is asked for.
    pub(crate) async fn requested(&mut self) {
        self.asked.notified().await;
    }
}

/// What a daemon's work is told by signals.
#[derive(Clone, Debug)]
pub(crate) struct DaemonSignals {
    /// To end.
    pub(crate) stop: StopSignal,
    /// To read its files again.
    pub(crate) reload: ReloadSignal,
}

/// What the second SIGTERM or SIGINT, which ends the process at once, exits with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecondSignal {
    /// The server's: work was cut off.
    Fails,
    /// The agent's: the reference's agent only ends this way.
    Succeeds,
}

/// Runs a daemon's work until it ends, or a second signal ends it.
pub(crate) fn run_until_stopped(
    work: impl Work,
    runtime: RuntimeName,
    second: SecondSignal,
) -> ExitCode {
    let end = match runtime {
        RuntimeName::Tokio => on_tokio(work),
        #[cfg(feature = "smol")]
        RuntimeName::Smol => on_smol(work),
    };
    let end = end.unwrap_or_else(|error| {
        say_failure(&format_args!("failed to start threads: {error}"));
        End::Failed
    });
    match (end, second) {
        (End::Done, _) | (End::CutOff, SecondSignal::Succeeds) => ExitCode::SUCCESS,
        (End::Failed, _) | (End::CutOff, SecondSignal::Fails) => ExitCode::FAILURE,
        (End::Quit, _) => ExitCode::from(EXIT_ABNORMAL),
    }
}

fn on_tokio(work: impl Work) -> io::Result<End> {
    let tokio = Builder::new_multi_thread().enable_all().build()?;
    let runtime = TokioRuntime::new(tokio.handle().clone());
    let end = tokio.block_on(under_signals(|signals| work.run(runtime, signals)));
    // Whatever still runs, like a name look-up, must not hold up the end.
    tokio.shutdown_background();
    Ok(end)
}

/// Connections on threads of smol; on this one tokio, for the signals.
#[cfg(feature = "smol")]
fn on_smol(work: impl Work) -> io::Result<End> {
    let tokio = Builder::new_current_thread().enable_all().build()?;
    let threads = std::thread::available_parallelism()?;
    let end = SmolRuntime::run(threads, async |runtime| {
        tokio.block_on(under_signals(|signals| work.run(runtime, signals)))
    });
    tokio.shutdown_background();
    end
}

async fn under_signals<W, E>(work: impl FnOnce(DaemonSignals) -> W) -> End
where
    W: Future<Output = Result<(), E>>,
    E: fmt::Display,
{
    // Before the work starts, so that an early signal counts.
    match Signals::listen() {
        Ok(mut signals) => supervise(work, async || signals.next().await).await,
        Err(error) => {
            say_failure(&format_args!("failed to listen for signals: {error}"));
            End::Failed
        }
    }
}

/// How a daemon's work came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By itself, after a stop was asked for.
    Done,
    /// It could not start.
    Failed,
    /// By the second signal.
    CutOff,
    /// By SIGQUIT.
    Quit,
}

async fn supervise<W, E>(
    work: impl FnOnce(DaemonSignals) -> W,
    mut next_signal: impl AsyncFnMut() -> Received,
) -> End
where
    W: Future<Output = Result<(), E>>,
    E: fmt::Display,
{
    let (stop, requested) = watch::channel(false);
    let asked = Arc::new(Notify::new());
    let mut work = std::pin::pin!(work(DaemonSignals {
        stop: StopSignal { requested },
        reload: ReloadSignal {
            asked: Arc::clone(&asked),
        },
    }));
    loop {
        let received = tokio::select! {
            result = &mut work => return match result {
                Ok(()) => End::Done,
                Err(error) => {
                    say_failure(&error);
                    End::Failed
                }
            },
            received = next_signal() => received,
        };
        match received {
            Received::Terminate(signal) if !stop.send_replace(true) => {
                info!(%signal, "ending; another signal ends the process at once");
            }
            Received::Terminate(signal) => {
                warn!(%signal, "ending at once");
                return End::CutOff;
            }
            Received::Quit => {
                error!("SIGQUIT ends the process at once");
                return End::Quit;
            }
            Received::Hangup => {
                info!("SIGHUP: files are read again");
                asked.notify_one();
            }
            Received::User => {}
        }
    }
}

/// A signal that arrived.
enum Received {
    Terminate(Signal),
    Quit,
    Hangup,
    /// SIGUSR1 or SIGUSR2, which Go programs ignore.
    User,
}

/// All signals that the daemons have an opinion about.
struct Signals {
    terminate: TerminationSignals,
    quit: unix::Signal,
    hangup: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: TerminationSignals::listen()?,
            quit: unix::signal(SignalKind::quit())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            user2: unix::signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Received {
        tokio::select! {
            signal = self.terminate.recv() => Received::Terminate(signal),
            _ = self.quit.recv() => Received::Quit,
            _ = self.hangup.recv() => Received::Hangup,
            _ = self.user1.recv() => Received::User,
            _ = self.user2.recv() => Received::User,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use dialback_tokio::Signal;
    use tokio::sync::Notify;

    use super::{DaemonSignals, End, Received, supervise};

    const TERMINATE: Received = Received::Terminate(Signal::Terminate);
    const INTERRUPT: Received = Received::Terminate(Signal::Interrupt);

    /// Signals as they come, one whenever one is waited for; then none.
    fn these<const N: usize>(signals: [Received; N]) -> impl AsyncFnMut() -> Received {
        let mut signals = signals.into_iter();
        async move || match signals.next() {
            Some(signal) => signal,
            None => pending().await,
        }
    }

    /// Work that ends when it is asked to.
    async fn obeys(signals: DaemonSignals) -> Result<(), Infallible> {
        let mut stop = signals.stop;
        stop.requested().await;
        assert!(stop.is_requested());
        stop.clone().requested().await;
        Ok(())
    }

    /// Work that never ends by itself.
    async fn goes_on(_signals: DaemonSignals) -> Result<(), Infallible> {
        pending().await
    }

    #[tokio::test]
    async fn the_first_signal_asks_for_the_end() {
        assert_eq!(supervise(obeys, these([TERMINATE])).await, End::Done);
        assert_eq!(supervise(obeys, these([INTERRUPT])).await, End::Done);
    }

    #[tokio::test]
    async fn the_second_signal_ends_at_once_whichever_they_are() {
        let signals = these([INTERRUPT, Received::Hangup, TERMINATE]);
        assert_eq!(supervise(goes_on, signals).await, End::CutOff);
    }

    #[tokio::test]
    async fn hangup_and_user_signals_end_nothing() {
        let taken = Notify::new();
        let mut signals = [Received::Hangup, Received::User].into_iter();
        let next_signal = async || match signals.next() {
            Some(signal) => signal,
            None => {
                taken.notify_one();
                pending().await
            }
        };
        let work = async |mut signals: DaemonSignals| {
            taken.notified().await;
            signals.reload.requested().await;
            assert!(!signals.stop.is_requested());
            Ok::<_, Infallible>(())
        };
        assert_eq!(supervise(work, next_signal).await, End::Done);
    }

    #[tokio::test]
    async fn quit_ends_at_once() {
        assert_eq!(supervise(goes_on, these([Received::Quit])).await, End::Quit);
    }

    #[tokio::test]
    async fn work_that_can_not_start_fails() {
        let work = async |_| Err("no");
        assert_eq!(supervise(work, these([])).await, End::Failed);
    }
}
