//! Whether what listens is a proxy server in grpc mode.

use std::time::{Duration, Instant};

use dialback_core::wire::{Code, Status};
use dialback_runtime::grpc::{ClientConfig, ClientConnection, MethodName, NoAnswer, Target};
use dialback_runtime::timeout_at;
use dialback_tokio::TokioRuntime;
use tokio::io::{AsyncRead, AsyncWrite};

use super::report::Finding;

const HOP: &str = "frontend";

/// A method that no server has. The refusal proves HTTP/2, gRPC and the service, and sets nothing in motion.
const NO_METHOD: MethodName = MethodName::new("ProxyService", "Doctor");

/// Calls a method that the server does not have, and judges how it says so.
pub(super) async fn check<T>(
    runtime: &TokioRuntime,
    io: T,
    target: Target,
    at: &str,
    limit: Duration,
) -> Finding
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + limit;
    let call = async {
        let config = ClientConfig::frontend();
        let (mut caller, mut connection) =
            ClientConnection::handshake(runtime, io, target, &config, deadline).await?;
        let mut stream = caller.call(&NO_METHOD, Default::default(), None)?;
        connection.response_headers(&mut stream).await.map(drop)
    };
    match timeout_at(runtime, deadline, call).await {
        Ok(answer) => judge(at, answer),
        Err(_) => Finding::fail(
            HOP,
            format!("{at}: no answer to a gRPC call within {limit:?}"),
            MODE,
        ),
    }
}

const MODE: &str = "look whether this is the listener for frontends of a proxy server in --mode=grpc; of one in \
                    --mode=http-connect say --mode http-connect (in a configuration, proxyProtocol: HTTPConnect); one with \
                    certificates wants https";

fn judge(at: &str, answer: Result<(), NoAnswer>) -> Finding {
    let told = |what: &str| format!("{at}: {what}");
    match answer {
        Err(NoAnswer::Refused(Status { code, message })) => {
            if code == Code::Unimplemented && message.contains("unknown method") {
                Finding::ok(HOP, told("a proxy server in grpc mode"))
            } else if code == Code::Unimplemented && message.contains("unknown service") {
                Finding::fail(
                    HOP,
                    told("gRPC, but no listener for frontends"),
                    "this is the listener for agents, or another gRPC server: frontends connect to the server's \
                     --server-port (8090) or --uds-name",
                )
            } else {
                Finding::fail(HOP, format!("{at}: {code}: {message}"), MODE)
            }
        }
        Err(error) => Finding::fail(HOP, format!("{at}: no gRPC: {error}"), MODE),
        Ok(()) => Finding::warn(
            HOP,
            told("takes a call that no proxy server has"),
            "look whether this is a proxy server: something that takes any call answers there",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::doctor::report::Verdict;

    #[test]
    fn the_refusal_tells_who_refuses() {
        let refused = |text: &str| Err(NoAnswer::Refused(Status::new(Code::Unimplemented, text)));
        for (answer, verdict, part) in [
            (
                refused("unknown method Doctor for service ProxyService"),
                Verdict::Ok,
                "s: a proxy server in grpc mode",
            ),
            (
                refused("unknown service ProxyService"),
                Verdict::Fail,
                "no listener for frontends",
            ),
            (
                Err(NoAnswer::Refused(Status::new(Code::Unavailable, "later"))),
                Verdict::Fail,
                "Unavailable: later",
            ),
            (Err(NoAnswer::Closed), Verdict::Fail, "no gRPC: "),
            (Ok(()), Verdict::Warn, "takes a call"),
        ] {
            let finding = judge("s", answer);
            assert_eq!(finding.verdict, verdict, "{}", finding.told);
            assert!(finding.told.contains(part), "{}", finding.told);
        }
    }
}
