//! Streams of which one direction ends before the other.

use dialback_core::Packet;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::{GrpcFrontend, connect, connect_tcp, data, dial};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::run::run;
use dialback_tests::wait::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers with the number of bytes it got, once all have come.
async fn counting() -> Endpoint {
    Endpoint::start(|mut socket| async move {
        let mut bytes = Vec::new();
        if socket.read_to_end(&mut bytes).await.is_ok() {
            let answer = format!("{} bytes", bytes.len());
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

async fn answer_after_end<S>(mut stream: S, bytes: usize) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(&pattern(bytes)).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    within("the answer", read).await.unwrap();
    answer
}

#[test]
fn an_endpoint_that_answers_only_at_the_end_is_heard() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default()).await;
        let endpoint = counting().await;
        let address = endpoint.address.to_string();
        for bytes in [0, 1, 5_000_000] {
            let expected = format!("{bytes} bytes");
            let unix = connect(&pair.socket(), &address).await.unwrap();
            assert_eq!(answer_after_end(unix, bytes).await, expected);
            let tcp = connect_tcp(pair.server.tcp, &address).await.unwrap();
            assert_eq!(answer_after_end(tcp, bytes).await, expected);
            let tls = dial(pair.tls_frontend().await, &address).await.unwrap();
            assert_eq!(answer_after_end(tls, bytes).await, expected);
        }
        pair.end().await;
    });
}

#[test]
fn a_frontend_goes_on_sending_after_the_endpoints_end() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default()).await;
        let (sent, mut received) = tokio::sync::mpsc::unbounded_channel();
        let endpoint = Endpoint::start(move |mut socket| {
            let sent = sent.clone();
            async move {
                socket.write_all(b"all I have").await.unwrap();
                socket.shutdown().await.unwrap();
                let mut bytes = Vec::new();
                socket.read_to_end(&mut bytes).await.unwrap();
                sent.send(bytes).unwrap();
            }
        })
        .await;
        let mut stream = connect_tcp(pair.server.tcp, &endpoint.address.to_string())
            .await
            .unwrap();
        let mut got = String::new();
        within("the endpoint's end", stream.read_to_string(&mut got))
            .await
            .unwrap();
        assert_eq!(got, "all I have");
        stream.write_all(&pattern(2_000_000)).await.unwrap();
        stream.shutdown().await.unwrap();
        let bytes = within("the rest", received.recv()).await.unwrap();
        assert!(bytes == pattern(2_000_000), "{} bytes", bytes.len());
        pair.end().await;
    });
}

/// Konnectivity has no word for it: the end of either side ends the stream, behind all that was sent before.
#[test]
fn between_plain_halves_the_end_of_one_side_is_the_end() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().plain(true)).await;
        let (sink, mut delivered) = Endpoint::sink().await;
        let mut stream = connect_tcp(pair.server.tcp, &sink.address.to_string())
            .await
            .unwrap();
        stream.write_all(&pattern(1_000_000)).await.unwrap();
        stream.shutdown().await.unwrap();
        let delivery = within("the end", delivered.recv()).await.unwrap();
        delivery.end.unwrap();
        assert!(delivery.bytes == pattern(1_000_000));
        assert_eq!(within("the end", stream.read(&mut [0])).await.unwrap(), 0);
        pair.end().await;
    });
}

/// A gRPC frontend that knows `half-close/1` gets it; kube-apiserver and others never see the packet.
#[test]
fn a_grpc_frontend_has_it_if_it_asks() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let endpoint = counting().await;
        let address = endpoint.address.to_string();
        for asks in [true, false] {
            let offer = [("dialback-extensions", "half-close/1")];
            let metadata = if asks { &offer[..] } else { &[] };
            let mut frontend = GrpcFrontend::start_with(&pair.socket(), metadata).await;
            let connection = frontend.dial(&address).await.unwrap();
            let connect_id = Some(connection);
            frontend.send(data(connection, b"12345")).await;
            // Where it was not agreed on, it means nothing.
            frontend.send(Packet::CloseWrite { connect_id }).await;
            if asks {
                let answer = frontend.recv().await.unwrap();
                assert_eq!(answer, data(connection, b"5 bytes"));
                // Both directions have ended, which is the end of the stream.
                let error = String::new();
                let end = frontend.recv().await.unwrap();
                assert_eq!(end, Packet::CloseResponse { connect_id, error });
            } else {
                frontend.close(connection).await;
            }
        }
        pair.end().await;
    });
}
