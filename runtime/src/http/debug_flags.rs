//! `PUT /debug/flags/v`: the log's verbosity, changed while the process runs.

use super::request::Request;
use super::response::Response;
use super::serve::Routes;

/// Adds `/debug/flags/v` to the routes of an admin port, as Kubernetes' own daemons have it (`apiserver`,
/// `pkg/server/routes/flags.go`); Konnectivity's have nothing there.
///
/// `set` is given the body of a PUT, and says why it can't be the verbosity if it can't.
pub fn with_verbosity<F>(routes: impl Routes, set: F) -> impl Routes
where
    F: Fn(&str) -> Result<(), String> + Send + Sync + 'static,
{
    move |request: &Request<'_>| match request.path {
        "/debug/flags/v" => verbosity(request, &set).into(),
        _ => routes.answer(request),
    }
}

fn verbosity(request: &Request<'_>, set: &impl Fn(&str) -> Result<(), String>) -> Response {
    if request.method != "PUT" {
        return Response::plain(406, "unsupported http method");
    }
    let level = String::from_utf8_lossy(request.body);
    match set(&level) {
        Ok(()) => Response::ok(format!(
            "successfully set klog.logging.verbosity to {level}"
        )),
        Err(reason) => Response::plain(
            400,
            format!("failed set klog.logging.verbosity {level}: {reason}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::super::serve::Answer;
    use super::*;

    #[test]
    fn a_put_sets_the_verbosity_and_nothing_else_does() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let routes = with_verbosity(|_: &Request<'_>| Response::not_found(), {
            let told = Arc::clone(&told);
            move |level: &str| {
                let level: i32 = level.parse().map_err(|_| "not a number".to_owned())?;
                told.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(level);
                Ok(())
            }
        });
        let ask = |method, path, body: &'static str| {
            let answer = routes.answer(&Request {
                method,
                path,
                query: None,
                host: "10.0.0.1:8095",
                body: body.as_bytes(),
            });
            match answer {
                Answer::Now(response) => response,
                Answer::Later(_) => unreachable!("it is there at once"),
            }
        };
        assert_eq!(
            ask("PUT", "/debug/flags/v", "7"),
            Response::ok("successfully set klog.logging.verbosity to 7")
        );
        assert_eq!(
            ask("PUT", "/debug/flags/v", "x"),
            Response::plain(400, "failed set klog.logging.verbosity x: not a number")
        );
        assert_eq!(
            ask("GET", "/debug/flags/v", ""),
            Response::plain(406, "unsupported http method")
        );
        assert_eq!(ask("PUT", "/debug/flags/", "8"), Response::not_found());
        assert_eq!(*told.lock().unwrap_or_else(PoisonError::into_inner), [7]);
    }
}
