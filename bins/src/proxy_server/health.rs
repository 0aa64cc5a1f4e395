//! The server's health and admin ports.

use std::sync::Arc;
use std::time::SystemTime;

use dialback_runtime::Runtime;
use dialback_runtime::http::{Readiness, server_admin, server_health, with_verbosity};
use dialback_runtime::metrics::CertificateMetrics;
use dialback_runtime::server::Server;

use crate::daemon::Tasks;
use crate::daemon::listener::answer;
use crate::flags::ServerOptions;
use crate::logging::set_verbosity;
use crate::profiling::with_profiling;
use crate::status::with_status;

/// Serves both until the tasks are dropped.
pub(super) fn serve<R: Runtime>(
    tasks: &mut Tasks<R>,
    runtime: &R,
    server: &Arc<Server<R>>,
    health: R::TcpListener,
    admin: R::TcpListener,
    certificates: CertificateMetrics,
    options: &ServerOptions,
) {
    let serving = Arc::clone(server);
    let readiness = move || {
        let mut missing = serving.complaints();
        missing.extend(certificates.complaints(SystemTime::now()));
        Readiness {
            ready: serving.is_ready(),
            missing,
        }
    };
    let registry = server.metrics().registry().clone();
    let routes = server_health(readiness, registry.clone());
    tasks.spawn(answer(runtime.clone(), health, routes));
    let routes = with_verbosity(server_admin(registry), set_verbosity);
    let shown = Arc::clone(server);
    let routes = with_status(routes, options.status_page, move |page| shown.status(page));
    let routes = with_profiling(routes, options.profiling);
    tasks.spawn(answer(runtime.clone(), admin, routes));
}
