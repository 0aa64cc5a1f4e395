//! Against an API server that is played, over loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/support/api_server.rs"]
mod api_server;
mod configuration;
mod counting;
mod leases;
#[path = "../../tests/scratch/mod.rs"]
pub(super) mod scratch;
mod tokens;

use std::fs;

use serde_json::{Value, json};

use self::api_server::FakeApiServer;
use self::scratch::Scratch;
use super::{ApiServer, ClientError, Program};
use crate::flags::KubernetesOptions;

/// The client that a kubeconfig makes.
async fn client(kubeconfig: &str) -> Result<ApiServer, ClientError> {
    let folder = Scratch::new();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, kubeconfig).unwrap();
    let options = KubernetesOptions {
        kubeconfig: Some(path),
        ..KubernetesOptions::default()
    };
    ApiServer::new(&options, Program::Server).await
}

/// A client of a server that asks for no credentials.
async fn anonymous(server: &FakeApiServer) -> ApiServer {
    let kubeconfig = server.kubeconfig(json!({}), json!({}));
    client(&kubeconfig).await.unwrap()
}

/// The labels of servers' Leases.
fn labels() -> Value {
    json!({"k8s-app": "konnectivity-server"})
}

/// What a Lease says that was renewed now.
fn renewed_now(seconds: i32) -> Value {
    renewed_at(&k8s_openapi::jiff::Timestamp::now().to_string(), seconds)
}

fn renewed_at(time: &str, seconds: i32) -> Value {
    json!({"holderIdentity": "x", "renewTime": time, "leaseDurationSeconds": seconds})
}
