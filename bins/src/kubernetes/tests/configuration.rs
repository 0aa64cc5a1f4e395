//! Which API server is asked, and who asks.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};

use super::api_server::{FakeApiServer, Request};
use super::client;
use super::scratch::Scratch;
use crate::kubernetes::ApiServer;

/// Lists Leases, and says what the server saw.
async fn ask(server: &FakeApiServer, kubeconfig: &str) -> Result<Request, String> {
    let api = client(kubeconfig)
        .await
        .map_err(|error| error.to_string())?;
    list(&api).await?;
    Ok(server.look(|state| state.requests.last().cloned()).unwrap())
}

async fn list(api: &ApiServer) -> Result<(), String> {
    let leases: Api<Lease> = Api::all(api.client());
    let listed = api.ask(leases.list(&ListParams::default())).await;
    listed.map(drop).map_err(|error| error.to_string())
}

fn authorization(request: &Request) -> Option<&str> {
    request.headers.get("authorization").map(String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_have_a_token_or_a_file_with_one() {
    let server = FakeApiServer::start();
    let kubeconfig = |user| server.kubeconfig(json!({}), user);
    let request = ask(&server, &kubeconfig(json!({}))).await.unwrap();
    assert_eq!(authorization(&request), None);
    let user = json!({"token": "from-the-kubeconfig"});
    let request = ask(&server, &kubeconfig(user)).await.unwrap();
    assert_eq!(authorization(&request), Some("Bearer from-the-kubeconfig"));
    let folder = Scratch::new();
    let file = folder.path().join("token");
    fs::write(&file, "from-a-file\n").unwrap();
    let user = json!({"tokenFile": file});
    let request = ask(&server, &kubeconfig(user)).await.unwrap();
    assert_eq!(authorization(&request), Some("Bearer from-a-file"));
}

struct Pki {
    ca: String,
    client: (String, String),
    server: Arc<ServerConfig>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            (params.signed_by(&key, &ca).unwrap(), key)
        };
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let clients = WebPkiClientVerifier::builder(Arc::new(roots))
            .allow_unauthenticated()
            .build()
            .unwrap();
        let (certificate, key) = issue("127.0.0.1");
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let (certificate, key) = issue("client");
        Self {
            ca: ca.pem(),
            client: (certificate.pem(), key.serialize_pem()),
            server: Arc::new(server),
        }
    }

    fn cluster(&self) -> Value {
        json!({"certificate-authority-data": STANDARD.encode(&self.ca)})
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_have_a_certificate() {
    let pki = Pki::new();
    let server = FakeApiServer::start_tls(Arc::clone(&pki.server));
    let kubeconfig = |user| server.kubeconfig(pki.cluster(), user);
    let request = ask(&server, &kubeconfig(json!({}))).await.unwrap();
    assert!(!request.certified);
    let (certificate, key) = &pki.client;
    let user = json!({
        "client-certificate-data": STANDARD.encode(certificate),
        "client-key-data": STANDARD.encode(key),
    });
    let request = ask(&server, &kubeconfig(user)).await.unwrap();
    assert!(request.certified);
    let folder = Scratch::new();
    let (certificate_file, key_file) = (folder.path().join("crt"), folder.path().join("key"));
    fs::write(&certificate_file, certificate).unwrap();
    fs::write(&key_file, key).unwrap();
    let user = json!({"client-certificate": certificate_file, "client-key": key_file});
    let request = ask(&server, &kubeconfig(user)).await.unwrap();
    assert!(request.certified);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_has_to_be_the_one_that_is_meant() {
    let pki = Pki::new();
    let server = FakeApiServer::start_tls(Arc::clone(&pki.server));
    let others = server.kubeconfig(Pki::new().cluster(), json!({}));
    let error = ask(&server, &others).await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert!(server.look(|state| state.requests.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_of_no_use_is_said_to_be() {
    let server = FakeApiServer::start();
    let words = async |kubeconfig: &str| client(kubeconfig).await.unwrap_err().to_string();
    let error = words("no: {kubeconfig").await;
    let start = "failed to load kubernetes client config: ";
    assert!(error.starts_with(start), "{error}");
    let other_context = server.kubeconfig(json!({}), json!({})).replace(
        "\"current-context\":\"this\"",
        "\"current-context\":\"that\"",
    );
    let error = words(&other_context).await;
    assert!(error.starts_with(start), "{error}");
    let user = json!({"client-certificate-data": STANDARD.encode("none"), "client-key-data": STANDARD.encode("none")});
    let error = words(&server.kubeconfig(json!({}), user)).await;
    assert!(error.starts_with("failed to "), "{error}");
    let folder = Scratch::new();
    let user = json!({"tokenFile": folder.path().join("none")});
    let error = words(&server.kubeconfig(json!({}), user)).await;
    let start = "failed to load kubernetes client config: failed to read token file ";
    assert!(error.starts_with(start), "{error}");
}
