//! What the four ports answer: paths, statuses and bodies as in the reference.

use prometheus::Registry;

use super::readiness::Readiness;
use super::request::Request;
use super::response::Response;
use super::serve::Routes;
use crate::metrics::{self, CONTENT_TYPE};

/// The server's health port: `/healthz`, `/readyz`, `/ready`, `/metrics`.
pub fn server_health(
    readiness: impl Fn() -> Readiness + Send + Sync + 'static,
    registry: Registry,
) -> impl Routes {
    move |request: &Request<'_>| match request.path {
        "/healthz" => Response::ok("ok"),
        "/readyz" | "/ready" => readiness().of_server(is_verbose(request)),
        "/metrics" => metrics(request, &registry),
        _ => Response::not_found(),
    }
}

/// The server's admin port: `/metrics`.
pub fn server_admin(registry: Registry) -> impl Routes {
    move |request: &Request<'_>| match request.path {
        "/metrics" => metrics(request, &registry),
        _ => Response::not_found(),
    }
}

/// The agent's health port: `/healthz`, `/readyz`, `/ready`, `/metrics`.
pub fn agent_health(
    readiness: impl Fn() -> Readiness + Send + Sync + 'static,
    registry: Registry,
) -> impl Routes {
    move |request: &Request<'_>| match request.path {
        "/healthz" => Response::ok("ok"),
        "/readyz" | "/ready" => {
            let readiness = readiness();
            if !readiness.ready {
                tracing::info!("readiness check failed: no servers connected");
            }
            readiness.of_agent(is_verbose(request))
        }
        "/metrics" => metrics(request, &registry),
        _ => Response::not_found(),
    }
}

/// The agent's admin port: `/metrics` is on the health port, which a redirection says.
pub fn agent_admin(health_port: u16) -> impl Routes {
    move |request: &Request<'_>| match request.path {
        "/metrics" => {
            let host = without_port(request.host);
            let query = request
                .query
                .map_or_else(String::new, |query| format!("?{query}"));
            let location = format!("//{host}:{health_port}/metrics{query}");
            Response::moved(request.method, &location)
        }
        _ => Response::not_found(),
    }
}

/// Any value counts, as in the reference.
fn is_verbose(request: &Request<'_>) -> bool {
    request.parameters("verbose").next().is_some()
}

fn metrics(request: &Request<'_>, registry: &Registry) -> Response {
    let names: Vec<_> = request.parameters("name[]").collect();
    Response::of_type(200, CONTENT_TYPE, metrics::render(registry, &names))
}

/// A `Host` header's host; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((before, port)) if !port.contains(']') => before,
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::super::serve::Answer;
    use super::*;
    use crate::metrics::{AgentMetrics, ServerMetrics};

    const OK: (u16, &str) = (200, "ok");

    /// Status and body.
    fn ask(routes: &impl Routes, target: &str) -> (u16, String) {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let answer = routes.answer(&Request {
            method: "GET",
            path,
            query,
            host: "10.0.0.1:8094",
            body: &[],
        });
        let Answer::Now(response) = answer else {
            unreachable!("it is there at once");
        };
        let text = String::from_utf8_lossy(&response.encode("", false, true)).into_owned();
        let (header, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let status = header.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.unwrap_or_default(), body.to_owned())
    }

    fn expect(routes: &impl Routes, cases: &[(&str, (u16, &str))]) {
        for (target, (status, body)) in cases {
            assert_eq!(
                ask(routes, target),
                (*status, (*body).to_owned()),
                "{target}"
            );
        }
    }

    const NOT_FOUND: (u16, &str) = (404, "404 page not found\n");

    #[test]
    fn a_servers_health() {
        let metrics = ServerMetrics::new();
        let ready = server_health(|| true.into(), metrics.registry().clone());
        expect(
            &ready,
            &[
                ("/healthz", OK),
                ("/readyz", OK),
                ("/ready", OK),
                ("/readyz?verbose", OK),
                ("/healthz/", NOT_FOUND),
                ("/livez", NOT_FOUND),
                ("/", NOT_FOUND),
                ("/debug/pprof/", NOT_FOUND),
            ],
        );
        let not_ready = server_health(|| false.into(), metrics.registry().clone());
        let refused = (500, "no connection to any proxy agent");
        expect(
            &not_ready,
            &[
                ("/healthz", OK),
                ("/readyz", refused),
                ("/ready", refused),
                ("/readyz?verbose", refused),
            ],
        );
    }

    #[test]
    fn an_agents_health() {
        let metrics = AgentMetrics::new();
        let ready = agent_health(|| true.into(), metrics.registry().clone());
        let verbose = (200, "[+]ping ok\n[+]server-connected ok\ncheck passed\n");
        expect(
            &ready,
            &[
                ("/healthz", OK),
                ("/readyz", OK),
                ("/ready", OK),
                ("/readyz?verbose", verbose),
                ("/readyz?verbose=false", verbose),
                ("/ready?a&verbose=1", verbose),
                ("/livez", NOT_FOUND),
            ],
        );
        let not_ready = agent_health(|| false.into(), metrics.registry().clone());
        let refused = (
            503,
            "[+]ping ok\n[-]server-connected failed: no servers connected\n",
        );
        expect(
            &not_ready,
            &[
                ("/healthz", OK),
                ("/readyz", refused),
                ("/ready?verbose", refused),
            ],
        );
    }

    #[test]
    fn what_is_missing_is_told_where_it_is_asked_for() {
        let lacking = |ready| {
            move || Readiness {
                ready,
                missing: vec!["connected to 2 of 3 servers".to_owned(), "a\nb".to_owned()],
            }
        };
        let registry = ServerMetrics::new().registry().clone();
        let lines = "[!]connected to 2 of 3 servers\n[!]a b\n";
        let unready = "no connection to any proxy agent";
        expect(
            &server_health(lacking(true), registry.clone()),
            &[
                ("/readyz", OK),
                ("/readyz?verbose", (200, &format!("ok\n{lines}"))),
            ],
        );
        expect(
            &server_health(lacking(false), registry.clone()),
            &[
                ("/readyz", (500, unready)),
                ("/readyz?verbose", (500, &format!("{unready}\n{lines}"))),
            ],
        );
        let connected = "[+]ping ok\n[+]server-connected ok\n";
        expect(
            &agent_health(lacking(true), registry.clone()),
            &[
                ("/readyz", OK),
                (
                    "/readyz?verbose",
                    (200, &format!("{connected}{lines}check passed\n")),
                ),
            ],
        );
        let failed = "[+]ping ok\n[-]server-connected failed: no servers connected\n";
        expect(
            &agent_health(lacking(false), registry),
            &[
                ("/readyz", (503, failed)),
                ("/readyz?verbose", (503, &format!("{failed}{lines}"))),
            ],
        );
    }

    #[test]
    fn metrics_are_on_both_ports_of_a_server() {
        let metrics = ServerMetrics::new();
        let health = server_health(|| true.into(), metrics.registry().clone());
        let admin = server_admin(metrics.registry().clone());
        let name = "konnectivity_network_proxy_server_http_connections";
        for (status, body) in [ask(&health, "/metrics"), ask(&admin, "/metrics")] {
            assert_eq!(status, 200);
            assert!(body.contains(&format!("\n{name} 0\n")));
            assert!(body.contains("process_open_fds"));
        }
        let (_, filtered) = ask(&health, &format!("/metrics?name[]={name}"));
        assert_eq!(filtered.lines().count(), 3, "{filtered}");
        expect(&admin, &[("/healthz", NOT_FOUND), ("/readyz", NOT_FOUND)]);
    }

    #[test]
    fn an_agents_admin_port_sends_scrapers_to_its_health_port() {
        let admin = agent_admin(8093);
        let location = |host, query| {
            let request = Request {
                method: "GET",
                path: "/metrics",
                query,
                host,
                body: &[],
            };
            match admin.answer(&request) {
                Answer::Now(response) => response,
                Answer::Later(_) => unreachable!("it is there at once"),
            }
        };
        for (host, query, expected) in [
            ("10.0.0.1:8094", None, "//10.0.0.1:8093/metrics"),
            ("node.test", Some("a=b&c"), "//node.test:8093/metrics?a=b&c"),
            ("[2001:db8::1]:8094", None, "//[2001:db8::1]:8093/metrics"),
            ("[2001:db8::1]", None, "//[2001:db8::1]:8093/metrics"),
            ("", None, "//:8093/metrics"),
        ] {
            assert_eq!(location(host, query), Response::moved("GET", expected));
        }
        expect(&admin, &[("/healthz", NOT_FOUND), ("/", NOT_FOUND)]);
    }
}
