//! What errors of HTTP/2 mean for an RPC.

use dialback_core::wire::{Code, Status};
use http::StatusCode;

/// What an error of a stream, or of its connection, means for the RPC on it.
pub(crate) fn from_h2(error: &h2::Error) -> Status {
    match error.reason() {
        Some(reason) if error.is_reset() && error.is_remote() => Status::from_reset(reason.into()),
        Some(reason) if error.is_reset() => Status::new(
            Status::from_reset(reason.into()).code,
            format!("stream was reset: {error}"),
        ),
        // The connection is gone, and with it the RPC, whatever the reason was.
        _ if error.is_go_away() || error.is_io() => {
            Status::new(Code::Unavailable, format!("connection closed: {error}"))
        }
        _ => Status::new(Code::Internal, error.to_string()),
    }
}

/// What an HTTP status other than 200 means when the answer is not gRPC (gRPC,
/// doc/http-grpc-status-mapping.md).
pub(crate) fn from_http(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let text = format!("unexpected HTTP status code received from server: {status}");
    Status::new(code, text)
}

/// The client took no more, or was told that there is no more.
pub(crate) fn send_closed() -> Status {
    Status::new(Code::Canceled, "the stream takes no more messages")
}

/// A server ended the stream without saying how; code and text as grpc-go's client.
pub(crate) fn without_trailers() -> Status {
    Status::new(
        Code::Internal,
        "server closed the stream without sending trailers",
    )
}
