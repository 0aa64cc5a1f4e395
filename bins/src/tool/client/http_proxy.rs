//! `dialback http-proxy`: an HTTP proxy whose connections go through the proxy server.

use std::io;
use std::time::Duration;

use dialback_runtime::connectivity::{DialError, Dialer};
use dialback_tokio::TokioRuntime;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::carry::carry;
use super::error::ClientError;
use super::forward::announce;
use super::http_request::{self, Asked};
use super::listener::{Duplex, Listener};
use super::password::{Access, Credentials};
use super::progress::{Passed, complain};
use super::through::Through;
use crate::tool::http::{Head, read_head};
use crate::tool::signal::EndSignals;

/// How long a client may take to say what it wants.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

const EXAMPLES: &str = "\
Examples:
  dialback http-proxy --uds /run/konnectivity.sock --listen 3128
  curl -x http://127.0.0.1:3128 http://web.default.svc/
  https_proxy=http://127.0.0.1:3128 kubectl --server https://10.0.0.5:6443 get pods";

/// What `dialback http-proxy` takes.
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
    announce(&format!("serving HTTP on {listener}"));
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
    let Ok(Ok(Head { head, rest })) = timeout(REQUEST_LIMIT, read_head(&mut client)).await else {
        return;
    };
    let (address, first, answer) = match http_request::read(&head, &access) {
        Ok(Asked::Tunnel(to)) => (to, Vec::new(), ESTABLISHED),
        Ok(Asked::Forward { to, head }) => (to, head, &[][..]),
        Err(refusal) => {
            // A client that is gone does not need to know.
            let _ = say(&mut client, refusal.response().as_bytes()).await;
            return;
        }
    };
    let mut remote = match dialer.dial(&address).await {
        Ok(remote) => passed.count(remote),
        Err(error) => {
            complain(&error);
            let _ = say(&mut client, failure(&error).as_bytes()).await;
            return;
        }
    };
    let carried = async {
        say(&mut client, answer).await?;
        say(&mut remote, &first).await?;
        say(&mut remote, &rest).await?;
        carry(&mut client, &mut remote).await
    };
    if let Err(error) = carried.await {
        complain(format_args!("connection to {address} broke: {error}"));
    }
}

async fn say(stream: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

fn failure(error: &DialError) -> String {
    let status = match error {
        DialError::InvalidAddress(_) => "400 Bad Request",
        DialError::TimedOut { .. } => "504 Gateway Timeout",
        DialError::NoAgent { .. } | DialError::Throttled { .. } => "503 Service Unavailable",
        DialError::ProxyUnreachable { .. }
        | DialError::Authentication { .. }
        | DialError::Refused { .. }
        | DialError::Abandoned { .. }
        | _ => "502 Bad Gateway",
    };
    let text = error.to_string();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{text}\n",
        text.len() + 1
    )
}
