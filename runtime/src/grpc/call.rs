//! A call that a server has not answered yet.

use std::task::{Context, Poll};
use std::time::Duration;

use dialback_core::wire::{Code, Frame, Status};
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};

use super::headers::{self, CONTENT_TYPE_GRPC};
use super::status::from_h2;
use super::stream::MessageStream;

/// A service and one of its methods, as in the path `/service/method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodName {
    service: &'static str,
    method: &'static str,
}

impl MethodName {
    /// What frontends call: the `Packet` stream of one of their connections.
    pub const PROXY: Self = Self::new("ProxyService", "Proxy");
    /// What agents call: the `Packet` stream of all their connections.
    pub const CONNECT: Self = Self::new("AgentService", "Connect");

    /// Konnectivity's protobuf files declare no package, so neither name contains a dot.
    #[must_use]
    pub const fn new(service: &'static str, method: &'static str) -> Self {
        Self { service, method }
    }

    /// The `:path` of a call.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/{}/{}", self.service, self.method)
    }

    /// Whether a path names this method; otherwise the status that grpc-go answers (server.go,
    /// `handleStream`).
    fn check(&self, path: &str) -> Result<(), Status> {
        let unimplemented = |text| Err(Status::new(Code::Unimplemented, text));
        let name = path.strip_prefix('/').unwrap_or(path);
        let Some((service, method)) = name.rsplit_once('/') else {
            return unimplemented(format!("malformed method name: {path:?}"));
        };
        if service != self.service {
            return unimplemented(format!("unknown service {service}"));
        }
        if method != self.method {
            return unimplemented(format!("unknown method {method} for service {service}"));
        }
        Ok(())
    }
}

/// A client's call, not answered yet. Dropping it resets the stream (`CANCEL`).
#[derive(Debug)]
pub struct Call {
    head: Parts,
    body: RecvStream,
    respond: SendResponse<Frame>,
    max_message: usize,
}

impl Call {
    pub(super) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Frame>,
        max_message: usize,
    ) -> Self {
        let (head, body) = request.into_parts();
        Self {
            head,
            body,
            respond,
            max_message,
        }
    }

    /// The method called, `/service/method`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The header fields of the call, `user-agent` among them.
    #[must_use]
    pub fn metadata(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// How long the client waits for the whole call (`grpc-timeout`); enforced by whoever drives the call, with a
    /// reset (`CANCEL`). `None` if it waits for ever, which is the rule in Konnectivity.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.head
            .headers
            .get(headers::GRPC_TIMEOUT)
            .and_then(headers::parse_timeout)
    }

    /// Passes on a call of the one method that a listener serves, and answers every other one like grpc-go:
    /// not POST (HTTP 405), not gRPC (HTTP 415), a malformed `grpc-timeout` (HTTP 400), a compression that we
    /// don't have, an unknown service or method.
    ///
    /// # Errors
    /// What the call was refused with; the client has been told.
    pub fn route(self, registered: &MethodName) -> Result<Self, Status> {
        match self.check(registered) {
            Ok(()) => Ok(self),
            Err((http, status)) => {
                self.respond_with(http, &status);
                Err(status)
            }
        }
    }

    fn check(&self, registered: &MethodName) -> Result<(), (StatusCode, Status)> {
        let headers = &self.head.headers;
        // Order, codes and texts: grpc-go, internal/transport/http2_server.go, `operateHeaders`.
        if !headers::is_grpc(headers) {
            let value = headers.get(CONTENT_TYPE).map_or_else(String::new, lossy);
            return Err((
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Status::new(
                    Code::InvalidArgument,
                    format!("invalid gRPC request content-type {value:?}"),
                ),
            ));
        }
        if let Some(value) = headers.get(headers::GRPC_TIMEOUT)
            && headers::parse_timeout(value).is_none()
        {
            return Err((
                StatusCode::BAD_REQUEST,
                Status::new(
                    Code::Internal,
                    format!("malformed grpc-timeout: {:?}", lossy(value)),
                ),
            ));
        }
        if self.head.method != Method::POST {
            return Err((
                StatusCode::METHOD_NOT_ALLOWED,
                Status::new(
                    Code::Internal,
                    format!(
                        "Received a HEADERS frame with :method {:?} which should be POST",
                        self.head.method.as_str()
                    ),
                ),
            ));
        }
        registered
            .check(self.path())
            .map_err(|status| (StatusCode::OK, status))?;
        match headers.get(headers::GRPC_ENCODING) {
            Some(encoding) if encoding != "identity" => Err((
                StatusCode::OK,
                Status::new(
                    Code::Unimplemented,
                    format!(
                        "grpc: Decompressor is not installed for grpc-encoding {:?}",
                        lossy(encoding)
                    ),
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Refuses the call: one frame with the status (trailers-only).
    pub fn reject(self, status: &Status) {
        self.respond_with(StatusCode::OK, status);
    }

    fn respond_with(mut self, http: StatusCode, status: &Status) {
        let mut response = response(HeaderMap::new());
        *response.status_mut() = http;
        headers::put_status(response.headers_mut(), status);
        // It fails if the client is gone already, which is fine with one who refuses.
        let _ = self.respond.send_response(response, true);
    }

    /// Accepts the call and sends the initial headers at once, with this metadata. An agent waits for them.
    ///
    /// # Errors
    /// The client is gone.
    pub fn accept(mut self, metadata: HeaderMap) -> Result<MessageStream, Status> {
        let send = self
            .respond
            .send_response(response(metadata), false)
            .map_err(|error| from_h2(&error))?;
        Ok(MessageStream::accepted(send, self.body, self.max_message))
    }

    /// Accepts the call; the initial headers, with this metadata, go out with the first message, as they do on
    /// Konnectivity's Proxy streams. A call that ends without any is answered by a single frame.
    #[must_use]
    pub fn accept_lazily(self, metadata: HeaderMap) -> MessageStream {
        MessageStream::lazily_accepted(
            self.respond,
            response(metadata),
            self.body,
            self.max_message,
        )
    }

    /// Ready when the client gave up or was lost, for the time until the call is answered.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        self.respond.poll_reset(cx).map(|reset| match reset {
            Ok(reason) => Status::from_reset(reason.into()),
            Err(error) => from_h2(&error),
        })
    }
}

/// The head of a response that carries this metadata.
fn response(metadata: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.headers_mut() = metadata;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, CONTENT_TYPE_GRPC);
    response
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_registered_method_is_served() {
        let text = |path| {
            MethodName::PROXY
                .check(path)
                .err()
                .map(|status| (status.code, status.message))
        };
        let unimplemented = |text: &str| Some((Code::Unimplemented, text.to_owned()));
        assert_eq!(text("/ProxyService/Proxy"), None);
        assert_eq!(
            text("/AgentService/Connect"),
            unimplemented("unknown service AgentService")
        );
        assert_eq!(
            text("/ProxyService/Other"),
            unimplemented("unknown method Other for service ProxyService")
        );
        assert_eq!(text("/a/b/c"), unimplemented("unknown service a/b"));
        assert_eq!(
            text("/nothing"),
            unimplemented("malformed method name: \"/nothing\"")
        );
        assert_eq!(MethodName::CONNECT.path(), "/AgentService/Connect");
    }
}
