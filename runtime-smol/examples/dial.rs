//! Dials through a proxy server in grpc mode from an application on smol, says a line and prints what comes back.
//!
//! ```console
//! $ cargo run -p dialback-smol --example dial -- /tmp/dialback.sock 10.0.0.5:7 hello
//! ```

use std::error::Error;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dialback_runtime::metrics::ClientMetrics;
use dialback_smol::SmolRuntime;
use dialback_smol::connectivity::{Dialer, ProxyAddress, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, address, line] = arguments.as_slice() else {
        return Err("usage: dial SOCKET HOST:PORT TEXT".into());
    };
    let socket = Path::new(socket);
    let answer = SmolRuntime::run(NonZeroUsize::MIN, |runtime| {
        ask(runtime, socket, address, line)
    })?;
    std::io::stdout().write_all(&answer?)?;
    Ok(())
}

/// Says `line` to the endpoint, ends that direction, and returns all that the endpoint says.
pub(crate) async fn ask(
    runtime: SmolRuntime,
    socket: &Path,
    address: &str,
    line: &str,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let route = Route::Grpc(ProxyAddress::Unix(PathBuf::from(socket)));
    let metrics = Arc::new(ClientMetrics::new());
    // One for the whole application: its dials share a connection to the server.
    let dialer = Dialer::new(runtime, &route, metrics)?;
    let mut stream = dialer.dial(address).await?;
    stream.write_all(line.as_bytes()).await?;
    stream.write_all(b"\n").await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}
