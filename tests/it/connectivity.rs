//! The Connectivity API: every way to an endpoint, from a configuration on.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use dialback_core::{ConnectId, Packet};
use dialback_runtime::connectivity::{
    Closed, Connectivity, ConnectivityConfig, DialError, Dialer, DialerOptions, Initiator,
    NetworkContext,
};
use dialback_runtime::metrics::render;
use dialback_tests::call::Call;
use dialback_tests::endpoint::{ClosedPort, Endpoint, HangingPort, pattern};
use dialback_tests::frontend::exchange;
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::relay::Relay;
use dialback_tests::run::run;
use dialback_tests::wait::{eventually, within};
use dialback_tokio::TokioRuntime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Unix,
    Tcp,
    Tls,
}

const WAYS: [Way; 3] = [Way::Unix, Way::Tcp, Way::Tls];
const MODES: [&str; 2] = ["grpc", "http-connect"];

async fn pair(mode: &str) -> Pair {
    let options = PairOptions::default();
    Pair::start(if mode == "grpc" {
        options.grpc()
    } else {
        options
    })
    .await
}

/// Certificates of a client of `pair`, in the folder of its socket.
fn certificates(pair: &Pair) -> PathBuf {
    let folder = pair.socket().parent().unwrap().to_owned();
    pair.pki.write_client(&folder);
    folder
}

fn connectivity(mode: &str, block: &str) -> Connectivity<TokioRuntime> {
    let key = if mode == "grpc" {
        "grpc"
    } else {
        "httpConnect"
    };
    let text = format!(
        "apiVersion: apiserver.k8s.io/v1alpha1\nkind: ConnectivityServiceConfiguration\n\
         connectionServices:\n- name: cluster\n  connection: {{type: {mode}, {key}: {{{block}}}}}\n"
    );
    let config = ConnectivityConfig::parse(&text, |_| true).unwrap();
    Connectivity::new(TokioRuntime::current().unwrap(), config).unwrap()
}

fn over_tls(mode: &str, pair: &Pair, server: SocketAddr) -> Connectivity<TokioRuntime> {
    let folder = certificates(pair);
    let folder = folder.display();
    connectivity(
        mode,
        &format!(
            "url: 'https://{server}', caBundle: {folder}/ca.crt, clientCert: {folder}/client.crt, \
             clientKey: {folder}/client.key"
        ),
    )
}

fn towards(mode: &str, way: Way, pair: &Pair) -> Connectivity<TokioRuntime> {
    match way {
        Way::Unix => connectivity(mode, &format!("udsName: {}", pair.socket().display())),
        Way::Tcp => connectivity(mode, &format!("url: 'http://{}'", pair.server.tcp)),
        Way::Tls => over_tls(mode, pair, pair.server.tls),
    }
}

fn dialer(connectivity: &Connectivity<TokioRuntime>) -> Dialer<TokioRuntime> {
    connectivity
        .lookup(&NetworkContext::new("cluster"))
        .unwrap()
}

fn impatient(dialer: Dialer<TokioRuntime>) -> Dialer<TokioRuntime> {
    let mut options = DialerOptions::default();
    options.dial_timeout = Duration::from_millis(50);
    dialer.with_options(options)
}

#[test]
fn bytes_go_every_way_and_come_back() {
    for mode in MODES {
        for way in WAYS {
            run(async |_| {
                let pair = pair(mode).await;
                let echo = Endpoint::echo().await;
                let address = echo.address.to_string();
                let dialer = dialer(&towards(mode, way, &pair));
                let mut stream = within("a dial", dialer.dial(&address)).await.unwrap();
                exchange(&mut stream, &pattern(3 << 20)).await;
                assert_eq!(stream.remote_name(), address);
                assert_eq!(stream.closed(), None);
                let local = match way {
                    Way::Unix => format!("unix:{}", pair.socket().display()),
                    Way::Tcp => format!("http://{}", pair.server.tcp),
                    Way::Tls => format!("https://{}", pair.server.tls),
                };
                assert_eq!(stream.local_name(), local);
                drop((stream, dialer));
                pair.end().await;
            });
        }
    }
}

#[test]
fn a_configuration_file_leads_to_its_services() {
    run(async |_| {
        let pair = pair("grpc").await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let file = pair.socket().with_file_name("egress.yaml");
        let text = format!(
            "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\n\
             egressSelections:\n- name: cluster\n  connection: {{proxyProtocol: GRPC, transport: \
             {{uds: {{udsName: {}}}}}}}\n- name: master\n  connection: {{proxyProtocol: Direct}}\n",
            pair.socket().display()
        );
        std::fs::write(&file, text).unwrap();
        let runtime = TokioRuntime::current().unwrap();
        let connectivity = Connectivity::from_file(runtime.clone(), &file).unwrap();
        for (name, local) in [
            ("Cluster", "unix:"),
            ("master", "direct"),
            ("controlplane", "direct"),
        ] {
            let dialer = connectivity.lookup(&NetworkContext::new(name)).unwrap();
            let mut stream = dialer.dial(&address).await.unwrap();
            assert!(stream.local_name().starts_with(local), "{name}");
            exchange(&mut stream, b"hello").await;
        }
        let unknown = connectivity
            .lookup(&NetworkContext::new("etcd"))
            .unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "unknown connectivity service \"etcd\", configured are cluster, controlplane"
        );
        let missing = Connectivity::from_file(runtime, "no-such-file").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "unable to read connectivity configuration from no-such-file: \
             No such file or directory (os error 2)"
        );
        drop(connectivity);
        pair.end().await;
    });
}

#[test]
fn everything_before_either_end_is_delivered() {
    for mode in MODES {
        run(async |_| {
            let pair = pair(mode).await;
            let dialer = dialer(&towards(mode, Way::Unix, &pair));
            let source = Endpoint::source(8 << 20).await;
            let mut stream = dialer.dial(&source.address.to_string()).await.unwrap();
            let mut got = Vec::new();
            let closing = stream.closing();
            within("the download ends", stream.read_to_end(&mut got))
                .await
                .unwrap();
            assert!(got == pattern(8 << 20), "{} bytes", got.len());
            assert_eq!(stream.closed(), Some(Closed::ByEndpoint));
            drop(stream);
            assert_eq!(closing.closed().await, Closed::ByEndpoint);
            let (sink, mut delivered) = Endpoint::sink().await;
            for shut_down in [true, false] {
                let mut stream = dialer.dial(&sink.address.to_string()).await.unwrap();
                let closing = tokio::spawn(stream.closing().closed());
                stream.write_all(&pattern(8 << 20)).await.unwrap();
                if shut_down {
                    stream.shutdown().await.unwrap();
                }
                drop(stream);
                assert_eq!(closing.await.unwrap(), Closed::Dropped);
                let delivery = within("an upload", delivered.recv()).await.unwrap();
                assert!(
                    delivery.bytes == pattern(8 << 20),
                    "{}",
                    delivery.bytes.len()
                );
                delivery.end.unwrap();
            }
            drop(dialer);
            pair.end().await;
        });
    }
}

/// Between our own halves; through a Konnectivity peer the whole connection would end.
#[test]
fn an_endpoint_answers_after_the_end_of_what_it_is_sent() {
    for mode in MODES {
        run(async |_| {
            let pair = pair(mode).await;
            let dialer = dialer(&towards(mode, Way::Unix, &pair));
            let last_word = Endpoint::start(|mut socket| async move {
                let mut question = Vec::new();
                let _ = socket.read_to_end(&mut question).await;
                let _ = socket.write_all(&question).await;
            })
            .await;
            let mut stream = dialer.dial(&last_word.address.to_string()).await.unwrap();
            stream.write_all(&pattern(1 << 20)).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut got = Vec::new();
            within("an answer", stream.read_to_end(&mut got))
                .await
                .unwrap();
            assert!(got == pattern(1 << 20), "{} bytes", got.len());
            drop((stream, dialer));
            pair.end().await;
        });
    }
}

#[test]
fn failed_dials_say_whose_fault_it_was() {
    for mode in MODES {
        run(async |_| {
            let pair = pair(mode).await;
            let connectivity = towards(mode, Way::Unix, &pair);
            let dialer = dialer(&connectivity);
            let closed = ClosedPort::new();
            let refused = dialer.dial(&closed.address.to_string()).await.unwrap_err();
            assert!(matches!(refused, DialError::Refused { .. }), "{refused:?}");
            assert!(
                refused.to_string().contains("connect: connection refused"),
                "{refused}"
            );
            let hanging = HangingPort::start().await;
            let (impatient, address) = (impatient(dialer.clone()), hanging.address.to_string());
            let late = within("a dial times out", impatient.dial(&address)).await;
            let late = late.unwrap_err();
            assert!(matches!(late, DialError::TimedOut { .. }), "{late:?}");
            for odd in [
                "",
                "a",
                "a:1 HTTP/1.1\r\nX: y",
                "a:1/",
                "u@a:1",
                "a\u{7f}:1",
            ] {
                let invalid = dialer.dial(odd).await.unwrap_err();
                assert!(matches!(invalid, DialError::InvalidAddress(_)), "{odd}");
            }
            let counts = render::<&str>(connectivity.metrics().registry(), &[]);
            for reason in ["endpoint", "timeout"] {
                let line = format!("client_dial_failure_total{{reason=\"{reason}\"}} 1\n");
                assert!(counts.contains(&line), "{counts}");
            }
            drop((dialer, impatient, connectivity));
            pair.end().await;

            let agents = 0;
            let options = PairOptions {
                agents,
                ..PairOptions::default()
            };
            let options = if mode == "grpc" {
                options.grpc()
            } else {
                options
            };
            let pair = Pair::start(options).await;
            let none = self::dialer(&towards(mode, Way::Tcp, &pair));
            let none = none.dial("127.0.0.1:1").await.unwrap_err();
            assert!(matches!(none, DialError::NoAgent { .. }), "{none:?}");

            let folder = certificates(&pair);
            let folder = folder.display();
            let files = |ca: &str| {
                format!(
                    "url: 'https://{}', caBundle: {ca}, clientCert: {folder}/client.crt, \
                     clientKey: {folder}/client.key",
                    pair.server.tls
                )
            };
            let own = self::dialer(&connectivity_of(
                mode,
                &files(&format!("{folder}/client.crt")),
            ));
            let not_trusted = own.dial("127.0.0.1:1").await.unwrap_err();
            assert!(
                matches!(not_trusted, DialError::Authentication { .. }),
                "{not_trusted:?}"
            );
            // A client of another CA.
            let known = format!("{folder}/known.crt");
            std::fs::copy(format!("{folder}/ca.crt"), &known).unwrap();
            dialback_tests::pki::Pki::new().write_client(pair.socket().parent().unwrap());
            let stranger = self::dialer(&connectivity_of(mode, &files(&known)));
            let refused = stranger.dial("127.0.0.1:1").await.unwrap_err();
            // In TLS 1.3 the server's alert comes after the handshake, and what the client has sent by then can
            // turn it into a bare reset.
            assert!(
                matches!(
                    refused,
                    DialError::Authentication { .. } | DialError::ProxyUnreachable { .. }
                ),
                "{refused:?}"
            );
            let gone = ClosedPort::new();
            let gone = connectivity_of(mode, &format!("url: 'http://{}'", gone.address));
            let gone = self::dialer(&gone).dial("127.0.0.1:1").await.unwrap_err();
            assert!(
                matches!(gone, DialError::ProxyUnreachable { .. }),
                "{gone:?}"
            );
            pair.end().await;
        });
    }
}

use connectivity as connectivity_of;

#[test]
fn a_stream_tells_who_broke_it() {
    run(async |_| {
        let pair = pair("grpc").await;
        let dialer = dialer(&towards("grpc", Way::Unix, &pair));
        let rude = Endpoint::resetting(b"").await;
        let mut stream = dialer.dial(&rude.address.to_string()).await.unwrap();
        let closing = stream.closing();
        stream.write_all(b"hello").await.unwrap();
        let read = within("the stream ends", stream.read_to_end(&mut Vec::new())).await;
        let error = read.unwrap_err();
        let closed = closing.closed().await;
        assert_eq!(closed.by(), Some(Initiator::Endpoint), "{closed:?}");
        assert_eq!(closed.to_string(), error.to_string());
        assert!(closed.to_string().contains("Connection reset"), "{closed}");
        drop((stream, dialer));
        pair.end().await;
    });
}

/// The wrong mode is told from a server that is not there.
#[test]
fn a_server_in_the_other_mode_is_named_as_such() {
    for (served, spoken) in [("grpc", "http-connect"), ("http-connect", "grpc")] {
        run(async |_| {
            let pair = pair(served).await;
            let dialer = dialer(&towards(spoken, Way::Unix, &pair));
            let error = within("an answer", dialer.dial("127.0.0.1:1"))
                .await
                .unwrap_err();
            assert!(
                matches!(
                    error,
                    DialError::ProxyUnreachable { .. } | DialError::Abandoned { .. }
                ),
                "{error:?}"
            );
            drop(dialer);
            pair.end().await;
        });
    }
}

#[test]
fn a_thousand_dials_at_once_share_one_connection() {
    run(async |_| {
        let pair = pair("grpc").await;
        let echo = Endpoint::echo().await;
        let address: Arc<str> = echo.address.to_string().into();
        let dialer = dialer(&towards("grpc", Way::Unix, &pair));
        let mut dials = JoinSet::new();
        for index in 0..1000_u32 {
            let (dialer, address) = (dialer.clone(), Arc::clone(&address));
            dials.spawn(async move {
                let mut stream = dialer.dial(&address).await.unwrap();
                exchange(&mut stream, &index.to_be_bytes()).await;
                stream
            });
        }
        let streams = within("all dials", dials.join_all()).await;
        assert_eq!(streams.len(), 1000);
        assert_eq!(dialer.grpc_connections().await, 1);
        drop((streams, dialer));
        pair.end().await;
    });
}

/// Takes three streams a connection and answers every dial.
async fn narrow_server(listener: TcpListener) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let mut server = h2::server::Builder::new();
        server.max_concurrent_streams(3);
        let mut connection = server.handshake::<_, bytes::Bytes>(socket).await.unwrap();
        tokio::spawn(async move {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let head = http::Response::builder().header("content-type", "application/grpc");
                let send = respond
                    .send_response(head.body(()).unwrap(), false)
                    .unwrap();
                let mut call = Call::accepted(send, request.into_body());
                tokio::spawn(async move {
                    let Ok(Packet::DialRequest { dial, .. }) = call.recv().await else {
                        panic!("a dial comes first");
                    };
                    let connect_id = ConnectId::new(1).unwrap();
                    call.send(Packet::dial_succeeded(dial, connect_id)).await;
                    let Ok(Packet::CloseRequest { connect_id }) = call.recv().await else {
                        panic!("a close comes next");
                    };
                    let error = String::new();
                    call.send(Packet::CloseResponse { connect_id, error }).await;
                    call.end().await;
                });
            }
        });
    }
}

#[test]
fn there_are_as_many_connections_as_stream_limits_require() {
    run(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("url: 'http://{}'", listener.local_addr().unwrap());
        let server = tokio::spawn(narrow_server(listener));
        let dialer = dialer(&connectivity("grpc", &url));
        let mut dials = JoinSet::new();
        for _ in 0..10 {
            let dialer = dialer.clone();
            dials.spawn(async move { dialer.dial("a:1").await.unwrap() });
        }
        let mut streams = within("all dials", dials.join_all()).await;
        assert_eq!(dialer.grpc_connections().await, 4);
        streams.truncate(1);
        // Idle ones are closed, but for the first.
        within("connections are closed", async {
            while dialer.grpc_connections().await > 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        streams.push(dialer.dial("a:1").await.unwrap());
        assert!(dialer.grpc_connections().await <= 2);
        drop((streams, dialer));
        server.abort();
    });
}

#[test]
fn a_dial_that_is_given_up_stops_at_the_agent() {
    for mode in MODES {
        run(async |_| {
            let pair = pair(mode).await;
            let hanging = HangingPort::start().await;
            let address = hanging.address.to_string();
            let connectivity = towards(mode, Way::Unix, &pair);
            let dialer = dialer(&connectivity);
            let mut dial = Box::pin(dialer.dial(&address));
            let agent = &pair.agents[0];
            poll_fn(|cx| {
                assert!(dial.as_mut().poll(cx).is_pending());
                if agent.agent.stream_count() == 1 {
                    Poll::Ready(())
                } else {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await;
            drop(dial);
            pair.idle().await;
            let counts = render::<&str>(connectivity.metrics().registry(), &[]);
            let line = "client_dial_failure_total{reason=\"context\"} 1\n";
            assert!(counts.contains(line), "{counts}");
            drop((dialer, connectivity));
            pair.end().await;
        });
    }
}

#[test]
fn a_lost_connection_is_replaced() {
    for mode in MODES {
        run(async |_| {
            let pair = pair(mode).await;
            let relay = Relay::start(vec![pair.server.tls]).await;
            let echo = Endpoint::echo().await;
            let address = echo.address.to_string();
            let dialer = dialer(&over_tls(mode, &pair, relay.address));
            let mut stream = dialer.dial(&address).await.unwrap();
            exchange(&mut stream, b"before").await;
            relay.cut();
            let mut rest = Vec::new();
            let end = within("the stream ends", stream.read_to_end(&mut rest)).await;
            assert!(end.is_err(), "a cut is no end of file");
            let closed = stream.closed().unwrap();
            assert!(matches!(closed, Closed::Failed { .. }), "{closed:?}");
            let by = (mode == "grpc").then_some(Initiator::Server);
            assert_eq!(closed.by(), by, "{closed:?}");
            let mut stream = within("another dial", dialer.dial(&address)).await.unwrap();
            exchange(&mut stream, b"after").await;
            assert_eq!(relay.accepted(), 2);
            drop((stream, dialer));
            pair.end().await;
        });
    }
}

#[test]
fn metrics_follow_a_connection() {
    run(async |_| {
        let pair = pair("grpc").await;
        let echo = Endpoint::echo().await;
        let connectivity = towards("grpc", Way::Unix, &pair);
        let shows = |line: &str| {
            let text = render::<&str>(connectivity.metrics().registry(), &[]);
            text.contains(&format!("konnectivity_network_proxy_client_{line}\n"))
        };
        let dialer = dialer(&connectivity);
        let mut stream = dialer.dial(&echo.address.to_string()).await.unwrap();
        assert!(shows("client_connections{status=\"ok\"} 1"));
        exchange(&mut stream, b"x").await;
        for (kind, segment) in [("DIAL_REQ", "from_client"), ("DATA", "to_client")] {
            let line = format!("{{packet_type=\"{kind}\",segment=\"{segment}\"}} 1");
            assert!(shows(&format!("stream_packets_total{line}")), "{line}");
        }
        drop(stream);
        eventually("the gauge is down", || {
            shows("client_connections{status=\"ok\"} 0")
        })
        .await;
        drop((dialer, connectivity));
        pair.end().await;
    });
}
