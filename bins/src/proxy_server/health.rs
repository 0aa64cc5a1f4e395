//! The server's health and admin ports.

use std::sync::Arc;

use dialback_runtime::http::{server_admin, server_health};
use dialback_runtime::server::Server;
use dialback_tokio::TokioRuntime;
use tokio::task::JoinSet;

use crate::daemon::listener::{TcpListener, answer};

/// Serves both until the tasks are dropped.
pub(super) fn serve(
    tasks: &mut JoinSet<()>,
    runtime: &TokioRuntime,
    server: &Arc<Server<TokioRuntime>>,
    health: TcpListener,
    admin: TcpListener,
    profiling: bool,
) {
    let ready = Arc::clone(server);
    let registry = server.metrics().registry().clone();
    let routes = server_health(move || ready.is_ready(), registry.clone());
    tasks.spawn(answer(runtime.clone(), health, routes));
    tasks.spawn(answer(
        runtime.clone(),
        admin,
        server_admin(registry, profiling),
    ));
}
