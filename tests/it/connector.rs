//! hyper's client through the connector.

use std::error::Error as _;

use bytes::Bytes;
use dialback_tests::endpoint::{ClosedPort, Endpoint, pattern};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::run::run;
use dialback_tests::wait::within;
use dialback_tokio::TokioRuntime;
use dialback_tokio::connectivity::{
    Connectivity, ConnectivityConfig, Connector, ConnectorError, NetworkContext,
};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The period of [`pattern`].
const PERIOD: usize = 251;

fn client(pair: &Pair) -> Client<Connector, Empty<Bytes>> {
    let text = format!(
        "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n\
         - name: cluster\n  connection: {{proxyProtocol: GRPC, transport: {{uds: {{udsName: {}}}}}}}\n",
        pair.socket().display()
    );
    let config = ConnectivityConfig::parse(&text, |_| true).unwrap();
    let connectivity = Connectivity::new(TokioRuntime::current().unwrap(), config).unwrap();
    let dialer = connectivity
        .lookup(&NetworkContext::new("cluster"))
        .unwrap();
    Client::builder(TokioExecutor::new()).build(Connector::new(dialer))
}

/// Answers every request on a connection with `blocks` times [`pattern`] of some 64 KiB.
async fn web(blocks: usize) -> Endpoint {
    Endpoint::start(move |mut socket| async move {
        let block = pattern(PERIOD * 261);
        let mut head = Vec::new();
        while let Ok(byte) = socket.read_u8().await {
            head.push(byte);
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            head.clear();
            let length = block.len() * blocks;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let _ = socket.write_all(answer.as_bytes()).await;
            for _ in 0..blocks {
                let _ = socket.write_all(&block).await;
            }
        }
    })
    .await
}

#[test]
fn hyper_moves_a_gibibyte_through_the_connector() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let blocks = (1_usize << 30).div_ceil(PERIOD * 261);
        let web = web(blocks).await;
        let client = client(&pair);
        let uri = format!("http://{}/large", web.address).parse().unwrap();
        let mut body = client.get(uri).await.unwrap().into_body();
        let expected = pattern(PERIOD + (1 << 20));
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            let start = received % PERIOD;
            assert!(data == expected[start..start + data.len()], "at {received}");
            received += data.len();
        }
        assert_eq!(received, blocks * PERIOD * 261);
        drop((body, client));
        pair.end().await;
    });
}

#[test]
fn connections_are_reused_and_failures_told() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let web = web(1).await;
        let client = client(&pair);
        for _ in 0..10 {
            let uri = format!("http://{}/", web.address).parse().unwrap();
            let answer = within("an answer", client.get(uri)).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(body == pattern(PERIOD * 261));
        }
        // hyper dials anew when the last connection is not back in its pool in time.
        assert!(pair.server.server.stream_count() < 10);
        let closed = ClosedPort::new();
        let uri = format!("http://{}/", closed.address).parse().unwrap();
        let error = within("an answer", client.get(uri)).await.unwrap_err();
        let cause = error
            .source()
            .unwrap()
            .downcast_ref::<ConnectorError>()
            .unwrap();
        assert!(cause.to_string().contains("connection refused"), "{cause}");
        drop(client);
        pair.end().await;
    });
}
