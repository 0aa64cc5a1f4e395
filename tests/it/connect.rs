//! Bytes through HTTP-CONNECT: at the edges of TLS and of the request, and many streams at once.

use dialback_tests::endpoint::{Endpoint, pattern, pattern_from};
use dialback_tests::frontend::{connect, dial, exchange};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::run::run;
use dialback_tests::wait::within;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// The last record and the close_notify in one segment, which the reference drops under TLS 1.2.
#[test]
fn the_last_record_of_a_tls_frontend_is_delivered() {
    for version in [&TLS12, &TLS13] {
        run(async |_| {
            let pair = Pair::start(PairOptions::default()).await;
            let (sink, mut delivered) = Endpoint::sink().await;
            let connector = TlsConnector::from(pair.pki.client_of(&["http/1.1"], &[version]));
            let socket = TcpStream::connect(pair.server.tls).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, socket).await.unwrap();
            let stream = dial(stream, &sink.address.to_string()).await.unwrap();
            let (mut socket, mut tls) = stream.into_inner();
            std::io::Write::write_all(&mut tls.writer(), b"the last words").unwrap();
            tls.send_close_notify();
            let mut segment = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut segment).unwrap();
            }
            socket.write_all(&segment).await.unwrap();
            drop(socket);
            let delivery = within("a delivery", delivered.recv()).await.unwrap();
            assert_eq!(delivery.bytes, b"the last words");
            delivery.end.unwrap();
            pair.end().await;
        });
    }
}

#[test]
fn a_tls_frontend_gets_everything_too() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default()).await;
        let (echo, source) = (Endpoint::echo().await, Endpoint::source(4 << 20).await);
        let connector = TlsConnector::from(pair.pki.client(&["http/1.1"]));
        for address in [echo.address, source.address] {
            let socket = TcpStream::connect(pair.server.tls).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, socket).await.unwrap();
            let mut stream = dial(stream, &address.to_string()).await.unwrap();
            if address == echo.address {
                exchange(&mut stream, &pattern(1 << 20)).await;
            } else {
                let mut got = Vec::new();
                within("the download ends", stream.read_to_end(&mut got))
                    .await
                    .unwrap();
                assert!(got == pattern(4 << 20), "{} bytes", got.len());
            }
        }
        pair.end().await;
    });
}

#[test]
fn what_follows_the_request_at_once_goes_first() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default()).await;
        let echo = Endpoint::echo().await;
        let mut stream = TcpStream::connect(pair.server.tcp).await.unwrap();
        let mut sent = dialback_tests::frontend::request(&echo.address.to_string());
        sent.extend_from_slice(b"early bytes");
        stream.write_all(&sent).await.unwrap();
        let expected = [dialback_tests::frontend::ESTABLISHED, b"early bytes"].concat();
        let mut got = vec![0; expected.len()];
        within("the echo", stream.read_exact(&mut got))
            .await
            .unwrap();
        assert_eq!(got, expected);
        drop(stream);
        pair.end().await;
    });
}

#[test]
fn two_hundred_streams_at_once_keep_their_bytes_apart() {
    for plain in [false, true] {
        run(async |_| {
            let options = PairOptions {
                agents: 2,
                ..PairOptions::default()
            };
            let pair = Pair::start(options.plain(plain)).await;
            let echo = Endpoint::echo().await;
            let mut streams = JoinSet::new();
            for index in 0..200 {
                let (socket, address) = (pair.socket(), echo.address.to_string());
                streams.spawn(async move {
                    let mut stream = connect(&socket, &address).await.unwrap();
                    for round in 0..3 {
                        let bytes = pattern_from(index + 100 * round, 20_000 + index);
                        exchange(&mut stream, &bytes).await;
                    }
                });
            }
            while let Some(done) = within("streams end", streams.join_next()).await {
                done.unwrap();
            }
            pair.end().await;
        });
    }
}
