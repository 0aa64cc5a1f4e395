//! What a CONNECT request is answered with (Konnectivity server, `pkg/server/tunnel.go`).

use bytes::Bytes;

use crate::server::{DialError, retry_after_seconds};
use crate::wire::SERVED_BY;

/// The answer to a successful dial: no headers, and flushed by itself before any payload.
///
/// kube-apiserver fails when a byte beyond it is already there.
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// As [`ESTABLISHED`], for a frontend that asked which agent serves it ([`SERVED_BY`]); the plain answer where no
/// header can carry the id.
#[must_use]
pub fn established_by(agent_id: &str) -> Bytes {
    let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if agent_id.is_empty() || !agent_id.bytes().all(visible) {
        return Bytes::from_static(ESTABLISHED);
    }
    Bytes::from(format!(
        "HTTP/1.1 200 Connection Established\r\n{SERVED_BY}: {agent_id}\r\n\r\n"
    ))
}

/// The answer to a failed dial, after which the connection is closed; `None` closes it without a word.
///
/// Except for agent-reported errors the body runs to the end of the connection without saying so: that is
/// the reference's form, byte for byte.
#[must_use]
pub fn dial_failure(error: &DialError) -> Option<Bytes> {
    let response = match error {
        DialError::NoAgent => format!(
            "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\n\
             currently no tunnels available: {error}"
        ),
        DialError::SendTimedOut => tunnel_failure(
            "504 Gateway Timeout",
            &format!("Failed to tunnel dial request: {error}"),
        ),
        DialError::TooManyStreams { .. } | DialError::TooManyDials { .. } => tunnel_failure(
            "502 Bad Gateway",
            &format!("Failed to tunnel dial request: {error}"),
        ),
        DialError::AgentLost => {
            tunnel_failure("502 Bad Gateway", "Backend context error: context canceled")
        }
        DialError::TimedOut => tunnel_failure(
            "504 Gateway Timeout",
            &format!("Backend dial timeout: {error}"),
        ),
        DialError::Refused(_) | DialError::InvalidAnswer => {
            let error = error.to_string();
            let status = reported_status(&error);
            format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\n\
                 Content-Type: text/plain; charset=utf-8\r\n\r\n{error}"
            )
        }
        DialError::Denied { .. } => tunnel_failure(
            "403 Forbidden",
            &format!("Failed to tunnel dial request: {error}"),
        ),
        DialError::Throttled { retry_after, .. } => format!(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\nFailed to tunnel dial request: {error}\r\n",
            retry_after_seconds(*retry_after)
        ),
        DialError::AuditBlocked => tunnel_failure(
            "503 Service Unavailable",
            &format!("Failed to tunnel dial request: {error}"),
        ),
        DialError::ClosedByAgent => return None,
    };
    Some(Bytes::from(response))
}

fn tunnel_failure(status: &str, text: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n")
}

/// The status for an error in the agent's words; the first hit wins.
///
/// `timed out`, as the kernel has it, is no `timeout` to the reference.
fn reported_status(error: &str) -> &'static str {
    let error = error.to_lowercase();
    if error.contains("timeout") || error.contains("deadline exceeded") {
        "504 Gateway Timeout"
    } else if error.contains("too many open files") {
        "503 Service Unavailable"
    } else {
        "502 Bad Gateway"
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::time::Duration;

    use super::*;

    fn failure(error: DialError) -> String {
        String::from_utf8(dial_failure(&error).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn failures_have_the_reference_bytes() {
        assert_eq!(
            failure(DialError::NoAgent),
            "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\ncurrently no tunnels available: No agent available"
        );
        assert_eq!(
            failure(DialError::SendTimedOut),
            "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nFailed to tunnel dial request: timed out waiting for backend dial\r\n"
        );
        assert_eq!(
            failure(DialError::TimedOut),
            "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBackend dial timeout: timed out waiting for backend dial\r\n"
        );
        assert_eq!(
            failure(DialError::AgentLost),
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBackend context error: context canceled\r\n"
        );
        assert_eq!(
            failure(DialError::TooManyStreams { limit: 3 }),
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nFailed to tunnel dial request: agent tunnel is at its limit of 3 streams\r\n"
        );
        assert_eq!(
            failure(DialError::Refused("connect: connection refused".into())),
            "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nconnect: connection refused"
        );
        assert_eq!(dial_failure(&DialError::ClosedByAgent), None);
    }

    #[test]
    fn what_the_operator_does_not_allow_has_a_status_of_its_own() {
        let reason = "rule \"metadata\"".to_owned();
        assert_eq!(
            failure(DialError::Denied { reason }),
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nFailed to tunnel dial request: dial denied: rule \"metadata\"\r\n"
        );
        let throttled = |milliseconds| DialError::Throttled {
            limit: "5 dials a second".to_owned(),
            retry_after: Duration::from_millis(milliseconds),
        };
        assert_eq!(
            failure(throttled(1200)),
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nFailed to tunnel dial request: dial throttled: over 5 dials a second, try again in 2 s\r\n"
        );
        assert!(failure(throttled(0)).contains("Retry-After: 1\r\n"));
    }

    #[test]
    fn an_agent_is_named_where_a_header_can_carry_its_id() {
        assert_eq!(
            established_by("node-1"),
            "HTTP/1.1 200 Connection Established\r\ndialback-agent: node-1\r\n\r\n"
        );
        for odd in ["", "a\r\nInjected: b", "n\u{f6}de"] {
            assert_eq!(established_by(odd), ESTABLISHED, "{odd:?}");
        }
    }

    #[test]
    fn agent_reported_errors_map_by_their_words() {
        for (error, status) in [
            (
                "dial tcp 198.18.0.254:1234: i/o timeout",
                "504 Gateway Timeout",
            ),
            ("context deadline exceeded", "504 Gateway Timeout"),
            ("TLS handshake Timeout", "504 Gateway Timeout"),
            ("too many open files; timeout", "504 Gateway Timeout"),
            ("socket: Too many open files", "503 Service Unavailable"),
            ("connect: connection timed out", "502 Bad Gateway"),
            ("lookup x: no such host", "502 Bad Gateway"),
            ("", "502 Bad Gateway"),
        ] {
            assert_eq!(reported_status(error), status, "{error}");
        }
    }
}
