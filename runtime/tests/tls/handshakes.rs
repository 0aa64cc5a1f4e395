//! Handshakes over a pipe: who gets through, who does not, and what is said of it.

use std::io;
use std::sync::Arc;

use dialback_runtime::tls::{
    ClientTls, HandshakeFailure, ServerTls, TlsPolicy, TlsProtocol, TlsWarning,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::pki::{Authority, Usage};

/// What the server's end knows of a connection.
#[derive(Debug, PartialEq)]
struct Accepted {
    protocol: Option<Vec<u8>>,
    version: Option<ProtocolVersion>,
    has_certificate: bool,
}

/// A handshake, and a byte each way: with TLS 1.3 the client's is done before the server has judged it.
async fn shake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> (io::Result<Accepted>, io::Result<()>) {
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let accepting = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.read_u8().await?;
        stream.write_u8(1).await?;
        stream.flush().await?;
        let (_, connection) = stream.get_ref();
        Ok(Accepted {
            protocol: connection.alpn_protocol().map(<[u8]>::to_vec),
            version: connection.protocol_version(),
            has_certificate: connection.peer_certificates().is_some(),
        })
    };
    let connecting = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.write_u8(1).await?;
        stream.flush().await?;
        stream.read_u8().await?;
        Ok(())
    };
    tokio::join!(accepting, connecting)
}

async fn accepted(server: &ServerTls, client: &ClientTls) -> Accepted {
    let (accepted, connected) = shake(
        server.load().unwrap(),
        client.load().unwrap(),
        "server.test",
    )
    .await;
    connected.unwrap();
    accepted.unwrap()
}

async fn refused(server: &ServerTls, client: Arc<ClientConfig>) -> HandshakeFailure {
    let (accepted, connected) = shake(server.load().unwrap(), client, "server.test").await;
    connected.unwrap_err();
    HandshakeFailure::of(&accepted.unwrap_err())
}

#[tokio::test]
async fn without_a_ca_no_certificate_is_asked_for() {
    let authority = Authority::new();
    let client = authority.client(Some(authority.issue("agent", Usage::Client)));
    let accepted = accepted(&authority.listener(None), &client).await;
    assert_eq!(
        accepted,
        Accepted {
            protocol: Some(b"h2".to_vec()),
            version: Some(ProtocolVersion::TLSv1_3),
            has_certificate: false,
        }
    );
}

#[tokio::test]
async fn with_a_ca_a_certificate_of_it_is_required() {
    let authority = Authority::new();
    let listener = authority.listener(Some(authority.ca()));
    for usage in [Usage::Client, Usage::Unsaid] {
        let client = authority.client(Some(authority.issue("agent", usage)));
        assert!(accepted(&listener, &client).await.has_certificate);
    }

    let none = authority.client(None).load().unwrap();
    assert_eq!(
        refused(&listener, none).await,
        HandshakeFailure::NoCertificate
    );

    let server_only = authority.client(Some(authority.issue("agent", Usage::Server)));
    assert_eq!(
        refused(&listener, server_only.load().unwrap()).await,
        HandshakeFailure::WrongPurpose
    );

    let expired = authority.client(Some(authority.issue_expired("agent")));
    assert_eq!(
        refused(&listener, expired.load().unwrap()).await,
        HandshakeFailure::Expired
    );

    let stranger = Authority::new();
    let strange = authority.client(Some(stranger.issue("agent", Usage::Client)));
    assert_eq!(
        refused(&listener, strange.load().unwrap()).await,
        HandshakeFailure::UnknownIssuer
    );
}

#[tokio::test]
async fn the_server_is_verified_by_ca_and_name() {
    let authority = Authority::new();
    let server = authority.listener(None).load().unwrap();
    let client = authority.client(None).load().unwrap();
    for name in ["server.test", "127.0.0.1"] {
        let (_, connected) = shake(Arc::clone(&server), Arc::clone(&client), name).await;
        connected.unwrap();
    }
    for name in ["other.test", "127.0.0.2"] {
        let (accepted, connected) = shake(Arc::clone(&server), Arc::clone(&client), name).await;
        let text = connected.unwrap_err().to_string();
        assert!(text.contains("not valid for name"), "{text}");
        assert_eq!(
            HandshakeFailure::of(&accepted.unwrap_err()),
            HandshakeFailure::Refused
        );
    }
    let stranger = Authority::new();
    let deceived = stranger.client(None).load().unwrap();
    let (_, connected) = shake(server, deceived, "server.test").await;
    connected.unwrap_err();
}

#[tokio::test]
async fn protocols_are_negotiated_as_each_listener_needs() {
    let authority = Authority::new();
    let grpc = authority.listener(None);
    let http = ServerTls {
        protocol: TlsProtocol::Http1,
        ..authority.listener(None)
    };
    let offering = |protocols: &[&str]| {
        let mut client = ClientConfig::clone(&authority.client(None).load().unwrap());
        client.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Arc::new(client)
    };
    let cases: [(&ServerTls, &[&str], Option<&str>); 5] = [
        (&grpc, &["h2"], Some("h2")),
        (&grpc, &["x", "http/1.1", "h2"], Some("h2")),
        // The handshake succeeds; who serves gRPC drops the connection.
        (&grpc, &[], None),
        (&http, &["h2", "http/1.1"], Some("http/1.1")),
        (&http, &[], None),
    ];
    for (server, offer, expected) in cases {
        let (accepted, connected) =
            shake(server.load().unwrap(), offering(offer), "server.test").await;
        connected.unwrap();
        let expected = expected.map(|name| name.as_bytes().to_vec());
        assert_eq!(accepted.unwrap().protocol, expected, "{offer:?}");
    }
    assert_eq!(
        refused(&http, offering(&["h2"])).await,
        HandshakeFailure::Alpn
    );
    assert_eq!(
        refused(&grpc, offering(&["x"])).await,
        HandshakeFailure::Alpn
    );
}

#[tokio::test]
async fn an_agent_offers_its_extra_protocols_first() {
    let authority = Authority::new();
    let mut client = authority.client(None);
    client.alpn = vec!["first".to_owned(), "second".to_owned()];
    let protocols = client.load().unwrap().alpn_protocols.clone();
    assert_eq!(protocols, [&b"first"[..], b"second", b"h2"]);
    let accepted = accepted(&authority.listener(None), &client).await;
    assert_eq!(accepted.protocol.as_deref(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn versions_and_suites_are_those_of_the_policy() {
    let authority = Authority::new();
    let with = |policy| ServerTls {
        policy,
        ..authority.listener(None)
    };
    let old_client = || {
        let roots = authority.client(None).load().unwrap();
        let mut client = ClientConfig::builder_with_provider(Arc::clone(roots.crypto_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(root_store(&authority))
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(client)
    };
    let (policy, _) =
        TlsPolicy::parse("VersionTLS11", &["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]).unwrap();
    let (accepted, _) = shake(with(policy).load().unwrap(), old_client(), "server.test").await;
    assert_eq!(accepted.unwrap().version, Some(ProtocolVersion::TLSv1_2));

    // The server's key is ECDSA: a suite for RSA keys is of no use to it.
    let (policy, _) = TlsPolicy::parse("", &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]).unwrap();
    assert_eq!(
        refused(&with(policy), old_client()).await,
        HandshakeFailure::CipherSuite
    );

    let (policy, _) = TlsPolicy::parse::<&str>("VersionTLS13", &[]).unwrap();
    assert_eq!(
        refused(&with(policy), old_client()).await,
        HandshakeFailure::Version
    );

    let (policy, warnings) = TlsPolicy::parse("", &["TLS_AES_128_GCM_SHA256"]).unwrap();
    assert_eq!(warnings, [TlsWarning::NoTls12]);
    assert_eq!(
        refused(&with(policy), old_client()).await,
        HandshakeFailure::Version
    );
}

fn root_store(authority: &Authority) -> rustls::RootCertStore {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.ca()).unwrap())
        .unwrap();
    roots
}

#[tokio::test]
async fn peers_without_tls_are_told_apart() {
    let authority = Authority::new();
    let server = authority.listener(None).load().unwrap();
    let accept = |bytes: &'static [u8]| {
        let acceptor = TlsAcceptor::from(Arc::clone(&server));
        async move {
            let (mut near, far) = duplex(1024);
            near.write_all(bytes).await.unwrap();
            near.shutdown().await.unwrap();
            let error = acceptor.accept(far).await.map(drop).unwrap_err();
            HandshakeFailure::of(&error)
        }
    };
    assert_eq!(
        accept(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await,
        HandshakeFailure::NotTls
    );
    assert_eq!(accept(b"").await, HandshakeFailure::Closed);
}
