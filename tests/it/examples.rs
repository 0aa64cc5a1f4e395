//! The examples of the runtimes do what they say: an agent inside an application, and dials from one.

#[path = "../../runtime-smol/examples/dial.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod smol_dial;
#[path = "../../runtime-smol/examples/embed_agent.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod smol_embed_agent;
#[path = "../../runtime-tokio/examples/dial.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod tokio_dial;
#[path = "../../runtime-tokio/examples/embed_agent.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod tokio_embed_agent;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use dialback_runtime::agent::AgentConfig;
use dialback_runtime::server::FrontendMode;
use dialback_smol::SmolRuntime;
use dialback_tests::endpoint::Endpoint;
use dialback_tests::pki::Pki;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tests::wait::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

fn grpc() -> ServerOptions {
    ServerOptions {
        mode: FrontendMode::Grpc,
        ..ServerOptions::default()
    }
}

fn config(pki: &Pki, server: SocketAddr) -> AgentConfig {
    let host = server.ip().to_string();
    AgentConfig::new(&host, server.port(), "embedded", pki.client(&["h2"]))
}

/// An endpoint that answers once it has heard all.
async fn shouting() -> Endpoint {
    Endpoint::start(|mut socket| async move {
        let mut heard = String::new();
        socket.read_to_string(&mut heard).await.unwrap();
        let answer = heard.to_uppercase();
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
    })
    .await
}

#[test]
fn an_application_on_tokio_holds_an_agent_and_dials() {
    run(async |_| {
        let pki = Pki::new();
        let server = RunningServer::start(&pki, grpc());
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio_embed_agent::serve(config(&pki, server.agent_address), async {
            let _ = ended.await;
        });
        let dialling = async {
            server.agents(1).await;
            let endpoint = shouting().await;
            let address = endpoint.address.to_string();
            let answer = tokio_dial::ask(&server.socket(), &address, "hello").await;
            assert_eq!(answer.unwrap(), b"HELLO\n");
            server.streams(0).await;
            end.send(()).unwrap();
        };
        let (served, ()) = within("both", async { tokio::join!(serving, dialling) }).await;
        served.unwrap();
        server.stop(Duration::ZERO).await;
    });
}

#[test]
fn an_application_on_smol_holds_an_agent_and_dials() {
    run(async |_| {
        let pki = Pki::new();
        let server = RunningServer::start(&pki, grpc());
        let (end, ended) = oneshot::channel::<()>();
        let config = config(&pki, server.agent_address);
        let serving = tokio::task::spawn_blocking(move || {
            SmolRuntime::run(NonZeroUsize::MIN, |runtime| async move {
                let ended = async {
                    let _ = ended.await;
                };
                let served = smol_embed_agent::serve(runtime, config, ended).await;
                served.map_err(|error| error.to_string())
            })
        });
        server.agents(1).await;
        let endpoint = shouting().await;
        let (socket, address) = (server.socket(), endpoint.address.to_string());
        let dialling = tokio::task::spawn_blocking(move || {
            SmolRuntime::run(NonZeroUsize::MIN, |runtime| async {
                let answer = smol_dial::ask(runtime, &socket, &address, "hello").await;
                answer.map_err(|error| error.to_string())
            })
        });
        let answer = within("the answer", dialling).await.unwrap().unwrap();
        assert_eq!(answer.unwrap(), b"HELLO\n");
        server.streams(0).await;
        end.send(()).unwrap();
        let served = within("the agent's end", serving).await.unwrap().unwrap();
        served.unwrap();
        server.stop(Duration::ZERO).await;
    });
}
