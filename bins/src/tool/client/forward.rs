//! `dialback forward`: local listeners, each for an endpoint.

use std::io::Write as _;

use dialback_runtime::connectivity::Dialer;
use dialback_tokio::TokioRuntime;
use tokio::task::JoinSet;

use super::carry::carry;
use super::error::ClientError;
use super::listener::{Duplex, Listener};
use super::progress::{Passed, complain};
use super::rule::Rule;
use super::through::Through;
use crate::tool::signal::EndSignals;

const EXAMPLES: &str = "\
Examples:
  dialback forward --uds /run/konnectivity.sock 8080:web.default.svc:80 5432:db.default.svc:5432
  dialback forward --config egress-selector.yaml /tmp/kubelet.sock:10.0.0.5:10250
  dialback forward --url https://proxy:8131 --ca-cert ca.crt --client-cert c.crt --client-key c.key 0:10.0.0.5:22";

/// What `dialback forward` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub(crate) struct Options {
    #[command(flatten)]
    through: Through,

    /// What to forward where; PATH:HOST:PORT for a Unix socket, port 0 for one that is free
    #[arg(value_name = "[ADDR:]PORT:HOST:PORT", required = true)]
    rules: Vec<Rule>,
}

pub(super) async fn run(runtime: TokioRuntime, options: Options) -> Result<(), ClientError> {
    // Before there is a socket's file to clean up.
    let mut signals = EndSignals::catch().map_err(ClientError::Prepare)?;
    let dialer = options.through.dialer(&runtime)?;
    let mut bound = Vec::with_capacity(options.rules.len());
    for rule in options.rules {
        bound.push((Listener::bind(&runtime, &rule.local)?, rule.endpoint));
    }
    let passed = Passed::default();
    let mut serving = JoinSet::new();
    for (listener, endpoint) in bound {
        announce(&format!("forwarding {listener} to {endpoint}"));
        let (runtime, dialer, passed) = (runtime.clone(), dialer.clone(), passed.clone());
        serving.spawn(async move {
            let serve = |local| {
                let (dialer, endpoint) = (dialer.clone(), endpoint.clone());
                forward(local, dialer, endpoint, passed.clone())
            };
            listener.serve(&runtime, serve).await;
        });
    }
    tokio::select! {
        () = signals.received() => {}
        () = passed.tell(true) => {}
    }
    serving.shutdown().await;
    Ok(())
}

/// One connection; what went wrong is told here, for nobody else learns of it.
async fn forward(
    mut local: Box<dyn Duplex>,
    dialer: Dialer<TokioRuntime>,
    endpoint: String,
    passed: Passed,
) {
    match dialer.dial(&endpoint).await {
        Ok(remote) => {
            if let Err(error) = carry(&mut local, &mut passed.count(remote)).await {
                complain(format_args!("connection to {endpoint} broke: {error}"));
            }
        }
        Err(error) => complain(error),
    }
}

/// Tells where a listener is; whoever does not read it does without.
pub(super) fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
