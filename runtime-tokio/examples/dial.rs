//! Dials through a proxy server in grpc mode from an application on tokio, says a line and prints what comes back.
//!
//! ```console
//! $ cargo run -p dialback-tokio --example dial -- /tmp/dialback.sock 10.0.0.5:7 hello
//! ```

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dialback_runtime::metrics::ClientMetrics;
use dialback_tokio::TokioRuntime;
use dialback_tokio::connectivity::{Dialer, ProxyAddress, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, address, line] = arguments.as_slice() else {
        return Err("usage: dial SOCKET HOST:PORT TEXT".into());
    };
    let answer = ask(Path::new(socket), address, line).await?;
    std::io::stdout().write_all(&answer)?;
    Ok(())
}

/// Says `line` to the endpoint, ends that direction, and returns all that the endpoint says.
pub(crate) async fn ask(
    socket: &Path,
    address: &str,
    line: &str,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let route = Route::Grpc(ProxyAddress::Unix(PathBuf::from(socket)));
    let metrics = Arc::new(ClientMetrics::new());
    // One for the whole application: its dials share a connection to the server.
    let dialer = Dialer::new(TokioRuntime::current()?, &route, metrics)?;
    let mut stream = dialer.dial(address).await?;
    stream.write_all(line.as_bytes()).await?;
    stream.write_all(b"\n").await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}
