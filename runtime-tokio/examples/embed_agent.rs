//! A proxy agent inside an application on tokio: it connects to a proxy server and serves until Ctrl-C, then lets its
//! streams finish.
//!
//! ```console
//! $ cargo run -p dialback-tokio --example embed_agent -- 127.0.0.1 8091 /tmp/pki/cluster-ca.crt /tmp/pki/agent.crt /tmp/pki/agent.key
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::agent::{Agent, AgentConfig};
use dialback_runtime::metrics::AgentMetrics;
use dialback_runtime::tls::{ClientTls, KeyPairFiles};
use dialback_tokio::{TerminationSignals, TokioRuntime};
use tokio::time::{sleep, timeout};

/// How long running streams may take once the application is to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, ca, certificate, key] = arguments.as_slice() else {
        return Err("usage: embed_agent HOST PORT CA CERTIFICATE KEY".into());
    };
    let tls = ClientTls {
        ca: PathBuf::from(ca),
        pair: Some(KeyPairFiles {
            certificate: PathBuf::from(certificate),
            key: PathBuf::from(key),
        }),
        alpn: Vec::new(),
    };
    let config = AgentConfig::new(host, port.parse()?, "embedded", tls.load()?);
    let mut signals = TerminationSignals::listen()?;
    let end = async move {
        signals.recv().await;
    };
    serve(config, end).await
}

/// Runs an agent until `end`.
pub(crate) async fn serve(
    config: AgentConfig,
    end: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    let metrics = Arc::new(AgentMetrics::default());
    let agent = Agent::new(TokioRuntime::current()?, config, metrics)?;
    let running = tokio::spawn({
        let agent = Arc::clone(&agent);
        async move { agent.run().await }
    });
    end.await;
    agent.drain();
    let finished = async {
        while agent.stream_count() > 0 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    // Whoever takes longer is cut.
    let _ = timeout(DRAIN_LIMIT, finished).await;
    agent.stop();
    running.await??;
    Ok(())
}
