//! `dialback socks5`: a SOCKS5 server whose connections go through the proxy server.

use std::time::Duration;

use dialback_runtime::connectivity::{DialError, Dialer};
use dialback_tokio::TokioRuntime;
use tokio::time::timeout;

use super::carry::carry;
use super::error::ClientError;
use super::forward::announce;
use super::listener::{Duplex, Listener};
use super::password::{Access, Credentials};
use super::progress::{Passed, complain};
use super::socks5_wire::{self, Reply, SocksError};
use super::through::Through;
use crate::tool::signal::EndSignals;

/// How long a client may take to say what it wants.
const GREETING_LIMIT: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  dialback socks5 --uds /run/konnectivity.sock --listen 1080
  curl -x socks5h://127.0.0.1:1080 http://web.default.svc/
  dialback socks5 --config egress-selector.yaml --listen 0.0.0.0:1080 --user me --password-file secret";

/// What `dialback socks5` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub(crate) struct Options {
    #[command(flatten)]
    through: Through,

    #[command(flatten)]
    access: Access,
}

pub(super) async fn run(runtime: TokioRuntime, options: Options) -> Result<(), ClientError> {
    let mut signals = EndSignals::catch().map_err(ClientError::Prepare)?;
    let access = options.access.credentials()?;
    let dialer = options.through.dialer(&runtime)?;
    let listener = Listener::bind(&runtime, &options.access.listen)?;
    announce(&format!("serving SOCKS5 on {listener}"));
    let passed = Passed::default();
    let serve = |client| serve(client, dialer.clone(), access.clone(), passed.clone());
    tokio::select! {
        () = listener.serve(&runtime, serve) => {}
        () = signals.received() => {}
        () = passed.tell(true) => {}
    }
    Ok(())
}

async fn serve(
    mut client: Box<dyn Duplex>,
    dialer: Dialer<TokioRuntime>,
    access: Credentials,
    passed: Passed,
) {
    match timeout(GREETING_LIMIT, socks5_wire::accept(&mut client, &access)).await {
        Ok(Ok(address)) => connect(client, &dialer, &address, &passed).await,
        Ok(Err(SocksError::Io(_))) | Err(_) => {}
        Ok(Err(error)) => complain(format_args!("a client was refused: {error}")),
    }
}

async fn connect(
    mut client: Box<dyn Duplex>,
    dialer: &Dialer<TokioRuntime>,
    address: &str,
    passed: &Passed,
) {
    match dialer.dial(address).await {
        Ok(remote) => {
            if socks5_wire::reply(&mut client, Reply::Succeeded)
                .await
                .is_ok()
                && let Err(error) = carry(&mut client, &mut passed.count(remote)).await
            {
                complain(format_args!("connection to {address} broke: {error}"));
            }
        }
        Err(error) => {
            complain(&error);
            // A client that is gone does not need to know.
            let _ = socks5_wire::reply(&mut client, failure(&error)).await;
        }
    }
}

fn failure(error: &DialError) -> Reply {
    match error {
        DialError::Refused { text, .. } if text.contains("refused") => Reply::ConnectionRefused,
        DialError::Refused { .. } | DialError::TimedOut { .. } | DialError::NoAgent { .. } => {
            Reply::HostUnreachable
        }
        DialError::InvalidAddress(_) => Reply::AddressTypeNotSupported,
        DialError::ProxyUnreachable { .. }
        | DialError::Authentication { .. }
        | DialError::Throttled { .. }
        | DialError::Abandoned { .. }
        | _ => Reply::GeneralFailure,
    }
}
