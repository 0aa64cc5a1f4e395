//! gRPC frontends: `ProxyService.Proxy` as kube-apiserver's client uses it, and as it should not be used.

use dialback_core::{ConnectId, Packet};
use dialback_tests::call::{End, PROXY};
use dialback_tests::endpoint::{ClosedPort, Endpoint, pattern};
use dialback_tests::frontend::{GrpcFrontend, data, dial_request};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::run::run;
use dialback_tests::wait::within;

fn close_request(connect_id: i64) -> Packet {
    Packet::CloseRequest {
        connect_id: ConnectId::new(connect_id),
    }
}

fn close_response(connect_id: i64, error: &str) -> Packet {
    Packet::CloseResponse {
        connect_id: ConnectId::new(connect_id),
        error: error.to_owned(),
    }
}

/// With CLOSE_REQ, with the end of the call, and with its reset right behind the data.
#[test]
fn everything_before_the_frontends_close_is_delivered() {
    for (plain, end) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
        run(async |_| {
            let pair = Pair::start(PairOptions::default().grpc().plain(plain)).await;
            let (sink, mut delivered) = Endpoint::sink().await;
            let mut frontend = GrpcFrontend::start(&pair.socket()).await;
            let connection = frontend.dial(&sink.address.to_string()).await.unwrap();
            for chunk in pattern(4 << 20).chunks(60_000) {
                frontend.send(data(connection, chunk)).await;
            }
            if end == 0 {
                frontend.close(connection).await;
            } else {
                frontend.call.sender.finish();
                assert!(frontend.call.end().await.has_code("0"));
            }
            let delivery = within("a delivery", delivered.recv()).await.unwrap();
            assert!(
                delivery.bytes == pattern(4 << 20),
                "{} bytes",
                delivery.bytes.len()
            );
            delivery.end.unwrap();
            pair.end().await;
        });
    }
}

#[test]
fn an_endpoints_reset_is_no_orderly_end() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let endpoint = Endpoint::resetting(b"").await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        let connection = frontend.dial(&endpoint.address.to_string()).await.unwrap();
        frontend.send(data(connection, b"x")).await;
        let (got, error) = frontend.rest(connection).await;
        assert_eq!(got, b"");
        assert!(error.contains("Connection reset"), "{error}");
        drop(frontend);
        pair.end().await;
    });
}

#[test]
fn failed_dials_are_told_in_the_references_words() {
    run(async |_| {
        let options = PairOptions {
            agents: 0,
            ..PairOptions::default()
        };
        let pair = Pair::start(options.grpc()).await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        let error = frontend.dial("10.0.0.1:1").await.unwrap_err();
        assert_eq!(error, "No agent available");
        pair.end().await;

        let pair = Pair::start(PairOptions::default().grpc()).await;
        let closed = ClosedPort::new();
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        let error = frontend
            .dial(&closed.address.to_string())
            .await
            .unwrap_err();
        assert_eq!(
            error,
            format!("dial tcp {}: connect: connection refused", closed.address)
        );
        pair.end().await;
    });
}

/// Frontends get the answers of the reference to packets out of order.
#[test]
fn packets_without_a_dial_are_answered_and_go_nowhere() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        frontend.send(close_request(5)).await;
        let answer = frontend.recv().await.unwrap();
        assert_eq!(answer, close_response(5, "backend uninitialized"));
        frontend
            .send(data(ConnectId::new(6).unwrap(), b"early"))
            .await;
        let answer = frontend.recv().await.unwrap();
        assert_eq!(answer, close_response(6, "backend not initialized"));
        drop(frontend);
        pair.end().await;
    });
}

#[test]
fn packets_in_the_wrong_direction_are_ignored() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let echo = Endpoint::echo().await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        let wrong = [
            Packet::Drain,
            close_response(1, "no"),
            Packet::WindowUpdate {
                connect_id: ConnectId::new(1),
                bytes: u64::MAX,
            },
            Packet::DialResponse {
                dial: dialback_core::DialId(7),
                connect_id: ConnectId::new(1),
                error: String::new(),
                address: None,
            },
        ];
        for packet in wrong.clone() {
            frontend.send(packet).await;
        }
        let connection = frontend.dial(&echo.address.to_string()).await.unwrap();
        for packet in wrong {
            frontend.send(packet).await;
        }
        frontend.exchange(connection, &pattern(100_000)).await;
        frontend.close(connection).await;
        pair.end().await;
    });
}

/// The reference's server ends with its whole process on the empty message.
#[test]
fn messages_that_are_no_packets_of_ours_are_ignored() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let echo = Endpoint::echo().await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        let messages: &[&[u8]] = &[
            // A DIAL_REQ without its payload.
            b"",
            // DATA, CLOSE_REQ, DIAL_CLS without theirs, and DATA with that of DRAIN.
            b"\x08\x04",
            b"\x08\x02",
            b"\x08\x05",
            b"\x08\x04\x42\x00",
            // A type of the future.
            b"\x08\x7f",
        ];
        for message in messages {
            frontend.call.sender.send_message(message);
        }
        let connection = frontend.dial(&echo.address.to_string()).await.unwrap();
        for message in messages {
            frontend.call.sender.send_message(message);
        }
        frontend.exchange(connection, &pattern(100_000)).await;
        frontend.close(connection).await;
        pair.end().await;
    });
}

/// The reference relays a packet into another frontend's connection.
#[test]
fn a_frontend_can_neither_write_into_nor_close_anothers_connection() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let echo = Endpoint::echo().await;
        let mut victim = GrpcFrontend::start(&pair.socket()).await;
        let theirs = victim.dial(&echo.address.to_string()).await.unwrap();
        let mut intruder = GrpcFrontend::start(&pair.socket()).await;
        intruder.dial(&echo.address.to_string()).await.unwrap();
        intruder.send(data(theirs, b"injected")).await;
        let answer = intruder.recv().await.unwrap();
        let id = theirs.value();
        assert_eq!(answer, close_response(id, "unrecognized connectID"));
        intruder.send(close_request(id)).await;
        let answer = intruder.recv().await.unwrap();
        assert_eq!(answer, close_response(id, "Unknown connectID"));
        victim.exchange(theirs, &pattern(100_000)).await;
        victim.close(theirs).await;
        drop(intruder);
        pair.end().await;
    });
}

#[test]
fn two_ids_on_one_stream_end_it() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let echo = Endpoint::echo().await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        let connection = frontend.dial(&echo.address.to_string()).await.unwrap();
        frontend.exchange(connection, b"fine").await;
        let other = connection.value() + 1;
        frontend
            .send(data(ConnectId::new(other).unwrap(), b"not mine"))
            .await;
        let first = frontend.recv().await.unwrap();
        assert_eq!(first, close_response(other, "mismatched connection IDs"));
        let second = frontend.recv().await.unwrap();
        let id = connection.value();
        assert_eq!(second, close_response(id, "mismatched connection IDs"));
        // The stream at the agent is closed though the frontend stays.
        pair.idle().await;
        drop(frontend);
        pair.end().await;
    });
}

#[test]
fn a_stream_that_dials_nothing_is_ended_after_a_while() {
    run(async |_| {
        let mut options = PairOptions::default().grpc();
        options.server.config.proxy_stream.idle_timeout = std::time::Duration::from_millis(50);
        let pair = Pair::start(options).await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        let end = frontend.call.end().await;
        assert_eq!(end, End::Status("0".to_owned(), String::new()));
        pair.end().await;
    });
}

/// One connection with many calls, which is what a reusing client has.
#[test]
fn two_hundred_calls_on_one_connection() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let echo = Endpoint::echo().await;
        let mut first = GrpcFrontend::start(&pair.socket()).await;
        let mut calls = Vec::new();
        for _ in 0..200 {
            let mut call = first.connection.call(PROXY, &[]).await;
            call.send(dial_request(&echo.address.to_string())).await;
            calls.push(call);
        }
        for (index, call) in calls.iter_mut().enumerate() {
            let answer = call.recv().await.unwrap();
            let Packet::DialResponse { connect_id, .. } = answer else {
                panic!("not the answer: {answer:?}");
            };
            let payload = format!("call {index}").repeat(100);
            call.send(data(connect_id.unwrap(), payload.as_bytes()))
                .await;
            let mut got = Vec::new();
            while got.len() < payload.len() {
                match call.recv().await.unwrap() {
                    Packet::Data { data, .. } => got.extend_from_slice(&data),
                    other => panic!("not an echo: {other:?}"),
                }
            }
            assert_eq!(got, payload.as_bytes());
        }
        pair.server.streams(200).await;
        drop((first, calls));
        pair.end().await;
    });
}
