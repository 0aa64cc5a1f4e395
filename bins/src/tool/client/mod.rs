//! What connects through a proxy server on behalf of people and scripts.

mod carry;
mod dial;
mod error;
mod exchange;
mod forward;
mod http_proxy;
mod http_request;
mod listener;
mod password;
mod ping;
mod progress;
mod request;
mod rule;
mod socks5;
mod socks5_wire;
mod test_client;
mod test_server;
mod through;

pub(crate) use error::ClientError;
pub(crate) use through::{Through, duration};

use std::future::Future;

use dialback_tokio::TokioRuntime;

/// What every one of them says at the end of its help.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 success, 1 usage, configuration or local failure, 2 the proxy server is not to be reached or \
refuses us, 3 the endpoint refused or there is no agent, 4 timed out or throttled, 5 the connection broke later";

/// A tool with its flags.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Connect standard input and output to an endpoint, as for ssh's ProxyCommand
    Dial(dial::Options),
    /// Listen on local ports or Unix sockets and forward each to an endpoint, like ssh -L
    Forward(forward::Options),
    /// Serve SOCKS5; names are resolved where the agent is
    Socks5(socks5::Options),
    /// Serve as an ordinary HTTP proxy: CONNECT, and absolute-form requests in the clear
    HttpProxy(http_proxy::Options),
    /// Measure how long dials of an endpoint take
    Ping(ping::Options),
    /// Send HTTP requests, each over a connection of its own, like Konnectivity's test client
    Request(request::Options),
    /// Send requests with the flags of Konnectivity's test client
    TestClient(test_client::Options),
    /// Serve the pages that Konnectivity's test client asks for
    TestServer(test_server::Options),
}

/// Runs one of them.
pub(crate) fn run(command: Command) -> Result<(), ClientError> {
    match command {
        Command::Dial(options) => block_on(|runtime| dial::run(runtime, options)),
        Command::Forward(options) => block_on(|runtime| forward::run(runtime, options)),
        Command::Socks5(options) => block_on(|runtime| socks5::run(runtime, options)),
        Command::HttpProxy(options) => block_on(|runtime| http_proxy::run(runtime, options)),
        Command::Ping(options) => block_on(|runtime| ping::run(runtime, options)),
        Command::Request(options) => block_on(|runtime| request::run(runtime, options)),
        Command::TestClient(options) => block_on(|runtime| test_client::run(runtime, options)),
        Command::TestServer(options) => block_on(|runtime| test_server::run(runtime, options)),
    }
}

fn block_on<F, T>(tool: F) -> Result<(), ClientError>
where
    F: FnOnce(TokioRuntime) -> T,
    T: Future<Output = Result<(), ClientError>>,
{
    let executor = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ClientError::Prepare)?;
    let outcome = executor.block_on(async {
        let runtime = TokioRuntime::current()
            .map_err(|error| ClientError::Prepare(std::io::Error::other(error)))?;
        tool(runtime).await
    });
    // A read of a terminal can't be called off: its thread is left behind.
    executor.shutdown_background();
    outcome
}
