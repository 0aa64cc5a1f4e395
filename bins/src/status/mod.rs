//! `--enable-status-page`: a page that draws the daemon live, and what it draws as JSON.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dialback_runtime::http::{Answer, Request, Response, Routes};
use dialback_runtime::status::{Status, StatusPage};

/// Where the JSON is; `dialback top` asks there, too.
pub(crate) const STATUS_PATH: &str = "/api/v1/status";

const PAGE: &str = include_str!("page.html");

/// Adds `/` and `/api/v1/status` to the routes of an admin port, if they are asked for.
pub(crate) fn with_status<F>(routes: impl Routes, enabled: bool, status: F) -> impl Routes
where
    F: Fn(&StatusPage) -> Status + Send + Sync + 'static,
{
    let policy = content_security_policy(PAGE);
    move |request: &Request<'_>| match request.path {
        "/" if enabled => Answer::from(guarded(
            Response::of_type(200, "text/html; charset=utf-8", PAGE)
                .with("Content-Security-Policy", policy.clone())
                .with("Referrer-Policy", "no-referrer"),
        )),
        STATUS_PATH if enabled => Answer::from(json(request, &status)),
        _ => routes.answer(request),
    }
}

fn json(request: &Request<'_>, status: impl Fn(&StatusPage) -> Status) -> Response {
    let page = match page(request) {
        Ok(page) => page,
        Err(name) => return Response::error(400, &format!("{name} is to be a whole number")),
    };
    match serde_json::to_vec(&status(&page)) {
        Ok(body) => guarded(Response::of_type(200, "application/json", body)),
        Err(error) => Response::error(500, &error.to_string()),
    }
}

/// Which part is asked for, or which parameter makes no sense.
fn page(request: &Request<'_>) -> Result<StatusPage, &'static str> {
    fn parameter<T: std::str::FromStr>(
        request: &Request<'_>,
        name: &'static str,
        default: T,
    ) -> Result<T, &'static str> {
        let value = request.parameters(name).next();
        value.map_or(Ok(default), |value| value.parse().map_err(|_| name))
    }
    let StatusPage { after, limit } = StatusPage::default();
    Ok(StatusPage {
        after: parameter(request, "after", after)?,
        limit: parameter(request, "limit", limit)?,
    })
}

fn guarded(response: Response) -> Response {
    response
        .with("Cache-Control", "no-store")
        .with("X-Content-Type-Options", "nosniff")
}

/// Nothing runs, styles or loads but what stands in the page, known by its hash (CSP level 3, section 2.3.1).
fn content_security_policy(page: &str) -> String {
    let hash = |element: &str| {
        let text = inside(page, element);
        format!(
            "'sha256-{}'",
            STANDARD.encode(digest(&SHA256, text.as_bytes()))
        )
    };
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    )
}

/// What is between the tags of the page's only such element.
fn inside<'a>(page: &'a str, element: &str) -> &'a str {
    let begin = format!("<{element}>");
    let end = format!("</{element}>");
    let after = page.split_once(&begin).map_or("", |(_, after)| after);
    after.split_once(&end).map_or("", |(text, _)| text)
}

#[cfg(test)]
mod tests;
