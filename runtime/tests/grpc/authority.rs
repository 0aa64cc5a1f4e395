//! kube-apiserver and others dial a Unix socket and call it by its path, which is no URI authority.

use dialback_runtime::grpc::{Code, ServerConfig, Status};
use dialback_runtime::{Listener, PeerAddr, Runtime};
use dialback_tokio::TokioUnixStream;
use http::HeaderMap;

use crate::harness::{Server, agents, data, receive, runtime, send};
use crate::raw::{self, RawPeer};

/// `:authority` is entry 1 of HPACK's static table; a literal that is added to the dynamic one (RFC 7541,
/// section 6.2.1).
const AUTHORITY: u8 = 0x41;
/// The value is Huffman-coded.
const HUFFMAN: u8 = 0x80;
/// `%2Fs` in Huffman code: 010101 00010 1100001 01000 and a bit of padding.
const CODED: [u8; 3] = [0b0101_0100, 0b0101_1000, 0b0101_0001];

/// Both ends of a connection over a Unix socket.
async fn unix_pair() -> (TokioUnixStream, TokioUnixStream) {
    let directory = std::env::temp_dir().join(format!(
        "dialback-authority-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("s.sock");
    let runtime = runtime();
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let listener = runtime.unix_listener(listener).unwrap();
    let (accepted, connected) = tokio::join!(listener.accept(), runtime.connect_unix(&path));
    std::fs::remove_dir_all(&directory).unwrap();
    let (accepted, peer) = accepted.unwrap();
    assert_eq!(peer, PeerAddr::Unix);
    (accepted, connected.unwrap())
}

async fn client_of(config: &ServerConfig) -> (Server, RawPeer) {
    let (accepted, connected) = unix_pair().await;
    let mut peer = RawPeer::new(connected);
    let (server, ()) = tokio::join!(Server::start(accepted, config), peer.send_preface());
    (server, peer)
}

fn block_with(authority: &[u8]) -> Vec<u8> {
    let mut fields = raw::request("/ProxyService/Proxy").to_vec();
    fields.retain(|(name, _)| *name != ":authority");
    let (pseudo, others) = fields.split_at(3);
    [
        &raw::field_block(pseudo)[..],
        &[AUTHORITY],
        authority,
        &raw::field_block(others),
    ]
    .concat()
}

#[tokio::test]
async fn any_authority_is_served_over_a_unix_socket() {
    let config = ServerConfig {
        any_authority: true,
        ..agents()
    };
    let (mut server, mut peer) = client_of(&config).await;
    let plain = |text: &'static [u8]| [&[text.len() as u8][..], text].concat();
    let authorities = [
        plain(b"%2Frun%2Fkonnectivity%2Fs.sock"),
        plain(b"/run/konnectivity/s.sock"),
        plain(b"localhost"),
        [&[HUFFMAN | CODED.len() as u8][..], &CODED].concat(),
    ];
    for (stream_id, authority) in (1..).step_by(2).zip(authorities) {
        let block = block_with(&authority);
        peer.send(raw::HEADERS, raw::END_HEADERS, stream_id, &block)
            .await;
        let mut message = data("ping");
        let message = bytes::Buf::copy_to_bytes(&mut message, data("ping").len());
        peer.send(raw::DATA, 0, stream_id, &message).await;
        let mut stream = server.call().await.accept_lazily(HeaderMap::new());
        assert_eq!(receive(&mut stream).await, "ping");
        send(&mut stream, data("pong")).await;
        assert!(peer.expect(raw::DATA).await.payload.ends_with(b"pong"));
        stream.finish(&Status::new(Code::Ok, ""));
    }
}

/// What the rewriting is for. Should h2 learn to ignore the authority, this test says that it can go.
#[tokio::test]
async fn h2_alone_refuses_such_an_authority() {
    let (_server, mut peer) = client_of(&agents()).await;
    let authority = [&[8][..], b"%2Fs.sck"].concat();
    peer.send(raw::HEADERS, raw::END_HEADERS, 1, &block_with(&authority))
        .await;
    let reset = peer.expect(raw::RST_STREAM).await;
    assert_eq!(reset.payload, 1_u32.to_be_bytes());
}
