//! `/debug/pprof/`: profiles of the process, at the paths of Go's `net/http/pprof`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::request::Request;
use super::response::Response;
use super::serve::{Answer, Routes};

/// What Go offers by name beside the CPU profile, and why it is not here.
const ABSENT: [(&str, &str); 8] = [
    ("symbol", NAMED_ALREADY),
    ("trace", NO_SCHEDULER),
    ("goroutine", NO_SCHEDULER),
    ("heap", NO_ALLOCATIONS),
    ("allocs", NO_ALLOCATIONS),
    ("block", NO_CONTENTION),
    ("mutex", NO_CONTENTION),
    ("threadcreate", NO_SCHEDULER),
];
const NAMED_ALREADY: &str = "the names of functions are in the profile already";
const NO_SCHEDULER: &str = "there is no Go scheduler in this program: look at its threads with the system's tools, such as gdb -p";
const NO_ALLOCATIONS: &str = "the allocator of this program keeps no samples: use heaptrack or a profiler of the \
     system, and see the bytes of queues and sessions in the metrics";
const NO_CONTENTION: &str = "locks are not profiled: use perf lock, or the CPU profile";

/// How long a CPU profile takes that says nothing else, as in Go.
const DEFAULT_TIME: Duration = Duration::from_secs(30);
/// How long one may take at most. Go's bound is the server's write timeout, which the reference does not set.
const MAX_TIME: Duration = Duration::from_secs(300);

/// Takes CPU profiles of the process that it is in.
pub trait CpuProfiler: fmt::Debug + Send + Sync + 'static {
    /// Looks for so long where the process spends its time. Dropped, the future ends the profile.
    fn profile(&self, time: Duration) -> CpuProfile;
}

/// A profile that is being taken: in the end a gzip file with a `perftools.profiles.Profile`, as `go tool pprof` reads it.
pub type CpuProfile = Pin<Box<dyn Future<Output = Result<Vec<u8>, CpuProfileError>> + Send>>;

/// Why there is no CPU profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuProfileError {
    /// One is being taken, and there can be only one at a time. In Go's words.
    #[error("cpu profiling already in use")]
    InUse,
    /// The system refused it.
    #[error("{0}")]
    Failed(String),
}

/// Adds the paths of pprof to the routes of an admin port if they are `enabled` (`--enable-profiling`). What is not there is said with status 501 and the reason,
/// since the reference has it; without a `profiler`, which there is not for every platform, that goes for the CPU profile too.
///
/// `cmdline` is unknown, as in the reference, which serves the handlers one by one.
pub fn with_profiles(
    routes: impl Routes,
    enabled: bool,
    profiler: Option<Arc<dyn CpuProfiler>>,
) -> impl Routes {
    move |request: &Request<'_>| {
        if !enabled {
            return routes.answer(request);
        }
        let Some(name) = request.path.strip_prefix("/debug/pprof") else {
            return routes.answer(request);
        };
        match name {
            "" => Response::moved(request.method, "/debug/pprof/").into(),
            "/" => index(profiler.is_some()).into(),
            "/profile" => match &profiler {
                Some(profiler) => cpu_profile(&**profiler, request),
                None => {
                    let text = "CPU profiles can be taken on Linux with glibc, on x86-64 and arm64: use a profiler of the \
                                system, such as perf";
                    Response::error(501, text).into()
                }
            },
            name => {
                let Some(name) = name.strip_prefix('/') else {
                    return routes.answer(request);
                };
                let absent = ABSENT.iter().find(|(absent, _)| *absent == name);
                absent.map_or_else(
                    || Response::error(404, "Unknown profile").into(),
                    |(_, reason)| Response::error(501, reason).into(),
                )
            }
        }
    }
}

fn cpu_profile(profiler: &dyn CpuProfiler, request: &Request<'_>) -> Answer {
    let seconds = request.parameters("seconds").next();
    let seconds = seconds.and_then(|seconds| seconds.parse::<i64>().ok());
    let time = match seconds.map(u64::try_from) {
        Some(Ok(seconds)) if seconds > 0 => Duration::from_secs(seconds),
        // Go takes what is no number of seconds for no wish at all.
        Some(Ok(_) | Err(_)) | None => DEFAULT_TIME,
    };
    if time > MAX_TIME {
        return failed(400, "profile duration exceeds 300 seconds").into();
    }
    let profile = profiler.profile(time);
    Answer::later(async move {
        match profile.await {
            Ok(profile) => Response::of_type(200, "application/octet-stream", profile)
                .with("X-Content-Type-Options", "nosniff")
                .with("Content-Disposition", "attachment; filename=\"profile\""),
            Err(error) => failed(500, &format!("Could not enable CPU profiling: {error}")),
        }
    })
}

/// An error in the form that `go tool pprof` shows to its user.
fn failed(status: u16, text: &str) -> Response {
    Response::plain(status, format!("{text}\n"))
        .with("X-Content-Type-Options", "nosniff")
        .with("X-Go-Pprof", "1")
}

/// What there is, for people.
fn index(has_profiler: bool) -> Response {
    let mut page = "<!doctype html>\n<html lang=\"en\">\n<title>/debug/pprof/</title>\n<h1>Profiles</h1>\n<ul>\n".to_owned();
    if has_profiler {
        page.push_str(
            "<li><a href=\"profile?seconds=30\">profile</a>: where the CPU time goes; give it to <code>go tool pprof</code>\n",
        );
    }
    page.push_str("</ul>\n<h2>Not in this program</h2>\n<ul>\n");
    for (name, reason) in ABSENT {
        page.push_str(&format!("<li>{name}: {reason}\n"));
    }
    page.push_str("</ul>\n</html>\n");
    Response::of_type(200, "text/html; charset=utf-8", page)
        .with("X-Content-Type-Options", "nosniff")
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;

    use super::*;

    /// Notes for how long it was asked.
    #[derive(Debug, Default)]
    struct Noting(Mutex<Vec<u64>>);

    impl CpuProfiler for Noting {
        fn profile(&self, time: Duration) -> CpuProfile {
            let mut asked = self.0.lock().expect("no test panics with it");
            asked.push(time.as_secs());
            let result = if asked.len() == 1 {
                Ok(b"profile".to_vec())
            } else {
                Err(CpuProfileError::InUse)
            };
            Box::pin(ready(result))
        }
    }

    async fn ask(routes: &impl Routes, path: &str, query: Option<&str>) -> Response {
        let answer = routes.answer(&Request {
            method: "GET",
            path,
            query,
            host: "10.0.0.1:8095",
            body: &[],
        });
        match answer {
            Answer::Now(response) => response,
            Answer::Later(response) => response.await,
        }
    }

    fn nothing(_: &Request<'_>) -> Response {
        Response::not_found()
    }

    #[tokio::test]
    async fn a_profile_takes_as_long_as_in_go() {
        let profiler = Arc::new(Noting::default());
        let routes = with_profiles(nothing, true, Some(profiler.clone()));
        let profile = ask(&routes, "/debug/pprof/profile", Some("seconds=5")).await;
        assert_eq!(
            profile,
            Response::of_type(200, "application/octet-stream", *b"profile")
                .with("X-Content-Type-Options", "nosniff")
                .with("Content-Disposition", "attachment; filename=\"profile\"")
        );
        let in_use = "Could not enable CPU profiling: cpu profiling already in use";
        for query in [
            None,
            Some("seconds=0"),
            Some("seconds=-1"),
            Some("seconds=x"),
            Some("seconds=300"),
        ] {
            assert_eq!(
                ask(&routes, "/debug/pprof/profile", query).await,
                failed(500, in_use)
            );
        }
        assert_eq!(
            ask(&routes, "/debug/pprof/profile", Some("seconds=301")).await,
            failed(400, "profile duration exceeds 300 seconds")
        );
        assert_eq!(
            *profiler.0.lock().expect("it is free"),
            [5, 30, 30, 30, 30, 300]
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_with_the_reason() {
        let routes = with_profiles(nothing, true, None);
        for (name, reason) in ABSENT {
            let response = ask(&routes, &format!("/debug/pprof/{name}"), Some("debug=1")).await;
            assert_eq!(response, Response::error(501, reason), "{name}");
        }
        let profile = ask(&routes, "/debug/pprof/profile", None).await;
        assert!(
            format!("{profile:?}").contains("status: 501"),
            "{profile:?}"
        );
        for name in ["cmdline", "nonsense", "heap/"] {
            let response = ask(&routes, &format!("/debug/pprof/{name}"), None).await;
            assert_eq!(response, Response::error(404, "Unknown profile"), "{name}");
        }
        for path in ["/", "/debug/pprofx", "/debug/flags/v"] {
            assert_eq!(
                ask(&routes, path, None).await,
                Response::not_found(),
                "{path}"
            );
        }
        assert_eq!(
            ask(&routes, "/debug/pprof", None).await,
            Response::moved("GET", "/debug/pprof/")
        );
        let routes = with_profiles(nothing, false, None);
        for path in ["/debug/pprof", "/debug/pprof/", "/debug/pprof/profile"] {
            assert_eq!(
                ask(&routes, path, None).await,
                Response::not_found(),
                "{path}"
            );
        }
    }
}
