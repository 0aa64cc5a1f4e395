//! What servers answer to an agent.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use dialback_core::wire::{Code, Status};
use dialback_runtime::agent::{Probe, ProbeAnswer, ProbeError};
use dialback_runtime::grpc::{ConnectionError, NoAnswer, Target};
use dialback_runtime::server::BearerToken;
use dialback_tokio::TokioRuntime;
use tokio::io::{AsyncRead, AsyncWrite};

use super::report::{Finding, Report};

const HOP: &str = "tunnel";
const TOKEN: &str = "token-accepted";

/// The server that is asked, and as whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// Its address, for messages.
    pub(super) at: &'a str,
    /// The name that agents reach it by, and its port.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) token: Option<&'a BearerToken>,
    /// Whether there is anything by which the server could tell agents from others.
    pub(super) is_identified: bool,
    pub(super) limit: Duration,
}

/// Asks a server over a connection what it tells agents.
pub(super) async fn ask<T, W>(
    runtime: &TokioRuntime,
    io: T,
    asked: Asked<'_>,
    report: &mut Report<W>,
) -> Option<ProbeAnswer>
where
    T: AsyncRead + AsyncWrite + Unpin,
    W: Write,
{
    let Asked { at, host, .. } = asked;
    let authority = if host.contains(':') {
        format!("[{host}]:{}", asked.port)
    } else {
        format!("{host}:{}", asked.port)
    };
    let target = match Target::new(true, &authority) {
        Ok(target) => target,
        Err(error) => {
            let told = format!("{at}: {error}");
            report.add(Finding::fail(HOP, told, "reach the server by another name"));
            return None;
        }
    };
    let probe = Probe {
        agent_id: format!("dialback-doctor-{:08x}", fastrand::u32(..)),
        token: asked.token.cloned(),
    };
    let deadline = Instant::now() + asked.limit;
    match probe.ask(runtime, io, target, deadline).await {
        Ok(answer) => {
            if asked.token.is_some() {
                let told = format!(
                    "{at}: not refused; a server that asks for no token does not look at it"
                );
                report.add(Finding::ok(TOKEN, told));
            }
            report.add(accepted(at, &answer, asked.is_identified));
            Some(answer)
        }
        Err(error) => {
            report.add(refused(at, &error, asked.limit));
            None
        }
    }
}

/// A server lets agents in.
fn accepted(at: &str, answer: &ProbeAnswer, is_identified: bool) -> Finding {
    let ProbeAnswer {
        server_id,
        server_count,
        extensions,
        knows_probes,
    } = answer;
    let kind = match (knows_probes, extensions.is_empty()) {
        (_, false) => format!("Dialback with {extensions}"),
        (true, true) => "Dialback without extensions".to_owned(),
        (false, true) => "plain Konnectivity".to_owned(),
    };
    let told = format!("{at}: server {server_id:?}, one of {server_count}, speaks {kind}");
    let finding = if is_identified {
        Finding::ok(HOP, told)
    } else {
        Finding::warn(
            HOP,
            format!("{told}; it asks for neither certificate nor token"),
            "whoever reaches this port may become an agent and be given connections: start the server with \
             --cluster-ca-cert, or with --agent-namespace, --agent-service-account and --authentication-audience",
        )
    };
    finding
        .with_fact("server_id", server_id.as_str())
        .with_fact("server_count", *server_count)
        .with_fact("extensions", extensions.to_string())
}

/// A server lets no agent in.
fn refused(at: &str, error: &ProbeError, limit: Duration) -> Finding {
    let fail = |told: String, advice: &str| Finding::fail(HOP, format!("{at}: {told}"), advice);
    match error {
        ProbeError::NoAnswer(NoAnswer::Refused(status)) => refusal(at, status),
        ProbeError::NoAnswer(NoAnswer::Connection(error)) | ProbeError::Connection(error) => {
            let advice = if matches!(error, ConnectionError::Http2(_)) {
                "what listens there does not speak HTTP/2 as a proxy server does: look whether the port is that of agents"
            } else {
                "the server, or something between, ended the connection: look at the server's log"
            };
            fail(error.to_string(), advice)
        }
        ProbeError::Metadata(error) => fail(
            format!("answers, but not as a proxy server does: {error}"),
            "look whether the port is that of agents, and for a gRPC proxy between that drops response headers",
        ),
        ProbeError::TimedOut => fail(
            format!("no answer to the Connect call within {limit:?}"),
            "if the server checks tokens it may wait for the Kubernetes API: look at its log, and whether it reaches the \
             API server",
        ),
        ProbeError::Header(name) => fail(
            format!("{name} can't be sent"),
            "the token file holds characters that no token has",
        ),
        ProbeError::NoAnswer(_) | _ => fail(
            error.to_string(),
            "look at the server's log, which names this side's address",
        ),
    }
}

/// What a server says when it refuses an agent (Konnectivity server, `pkg/server/server.go`).
fn refusal(at: &str, status: &Status) -> Finding {
    let Status { code, message } = status;
    let told = format!("{at}: the server refuses: {message}");
    let has = |part: &str| message.contains(part);
    if has("Authentication context was not found") {
        return Finding::fail(
            TOKEN,
            told,
            "the server demands a token: give its file with --service-account-token-path",
        );
    }
    if has("Failed to validate authentication token") {
        let advice = if has("Failed to authenticate request") || has("no answer in time") {
            "the server could not ask the Kubernetes API about the token: look at its --kubeconfig, at the network to the \
             API server, and whether it may create tokenreviews.authentication.k8s.io"
        } else if has("service account jwt not valid") {
            "the Kubernetes API does not know the token: it has expired, is of another cluster, was issued for another \
             audience than the server's --authentication-audience, or its pod or service account was deleted"
        } else if has(" namespace. Expected") {
            "the token is of a service account in another namespace than the server's --agent-namespace"
        } else if has(" service account. Expected") {
            "the token is of another service account than the server's --agent-service-account"
        } else {
            "look at the server's log, and at the token's audience, namespace and service account"
        };
        return Finding::fail(TOKEN, told, advice);
    }
    let advice = if has("unknown service") {
        "this is a listener for frontends: agents connect to the server's --agent-port (8091)"
    } else if *code == Code::Unavailable || *code == Code::ResourceExhausted {
        "the server has no room or is going away: look at its log"
    } else {
        "look at the server's log, which names this side's address"
    };
    Finding::fail(HOP, told, advice)
}

/// What the servers that answered say of each other; `None` if there are none.
pub(super) fn servers(answers: &[ProbeAnswer]) -> Option<Finding> {
    const HOP: &str = "servers";
    let ids: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.server_id.as_str())
        .collect();
    let counts: BTreeSet<_> = answers.iter().map(|answer| answer.server_count).collect();
    let (least, most) = (*counts.first()?, *counts.last()?);
    let met = ids.len();
    let told = format!("{met} met, {most} announced");
    let finding = if least != most {
        Finding::warn(
            HOP,
            format!("{met} met, which announce {least} to {most}"),
            "start all servers with the same --server-count",
        )
    } else if i64::try_from(met).is_ok_and(|met| met > most) {
        Finding::warn(
            HOP,
            told,
            "an agent stops looking when it has found as many servers as announced, and leaves the others without \
             agents: raise the servers' --server-count",
        )
    } else if i64::try_from(met).is_ok_and(|met| met < most) {
        Finding::ok(
            HOP,
            format!(
                "{told}; an agent finds the others by connecting again, if they are behind the same addresses"
            ),
        )
    } else {
        Finding::ok(HOP, told)
    };
    Some(finding.with_fact("ids", ids.into_iter().collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use dialback_core::wire::{Extensions, ServerMetadataError};

    use super::*;
    use crate::tool::doctor::report::Verdict;

    fn answer(server_id: &str, server_count: i64) -> ProbeAnswer {
        ProbeAnswer {
            server_id: server_id.to_owned(),
            server_count,
            extensions: Extensions::NONE,
            knows_probes: false,
        }
    }

    #[test]
    fn a_server_is_told_by_what_it_speaks() {
        let konnectivity = answer("a", 1);
        let dialback = ProbeAnswer {
            extensions: Extensions::parse(["half-close/1"]),
            knows_probes: true,
            ..konnectivity.clone()
        };
        let quiet = ProbeAnswer {
            knows_probes: true,
            ..konnectivity.clone()
        };
        for (answer, told) in [
            (konnectivity, "plain Konnectivity"),
            (dialback, "Dialback with half-close/1"),
            (quiet, "Dialback without extensions"),
        ] {
            let finding = accepted("s:1", &answer, true);
            assert_eq!(finding.verdict, Verdict::Ok);
            let expected = format!("s:1: server \"a\", one of 1, speaks {told}");
            assert_eq!(finding.told, expected);
        }
    }

    #[test]
    fn a_server_that_lets_anybody_in_is_worth_a_warning() {
        let finding = accepted("s:1", &answer("a", 1), false);
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(finding.told.ends_with("neither certificate nor token"));
    }

    #[test]
    fn refusals_lead_to_the_flag_that_is_wrong() {
        let review = "Failed to validate authentication token, err:";
        let lookup = format!("{review}lookup failed: ");
        for (message, hop, advice) in [
            (
                "Authentication context was not found in metadata".to_owned(),
                TOKEN,
                "--service-account-token-path",
            ),
            (
                format!("{review}Failed to authenticate request. err:forbidden"),
                TOKEN,
                "tokenreviews",
            ),
            (format!("{review}no answer in time"), TOKEN, "--kubeconfig"),
            (
                format!("{lookup}service account jwt not valid"),
                TOKEN,
                "--authentication-audience",
            ),
            (
                format!("{lookup}incoming request from \"a\" namespace. Expected \"b\""),
                TOKEN,
                "--agent-namespace",
            ),
            (
                format!("{lookup}incoming request from \"a\" service account. Expected \"b\""),
                TOKEN,
                "--agent-service-account",
            ),
            (
                "unknown service AgentService".to_owned(),
                HOP,
                "--agent-port",
            ),
            ("something new".to_owned(), HOP, "the server's log"),
        ] {
            let finding = refusal("s:1", &Status::new(Code::Unknown, message.as_str()));
            assert_eq!(finding.hop, hop, "{message}");
            assert_eq!(finding.verdict, Verdict::Fail);
            assert_eq!(finding.told, format!("s:1: the server refuses: {message}"));
            let told = finding.advice.unwrap_or_default();
            assert!(told.contains(advice), "{message}: {told}");
        }
    }

    #[test]
    fn other_ends_are_told_apart() {
        for (error, part) in [
            (
                ProbeError::TimedOut,
                "no answer to the Connect call within 5s",
            ),
            (
                ProbeError::Metadata(ServerMetadataError::ServerIds(Vec::new())),
                "not as a proxy server does",
            ),
            (
                ProbeError::NoAnswer(NoAnswer::Closed),
                "closed the HTTP/2 connection",
            ),
        ] {
            let finding = refused("s:1", &error, Duration::from_secs(5));
            assert_eq!(finding.verdict, Verdict::Fail);
            assert!(finding.told.contains(part), "{}", finding.told);
        }
    }

    #[test]
    fn servers_that_agents_would_not_find_are_worth_a_warning() {
        let verdict = |answers: &[ProbeAnswer]| servers(answers).map(|found| found.verdict);
        let (a, b) = (answer("a", 2), answer("b", 2));
        assert_eq!(verdict(&[]), None);
        assert_eq!(verdict(&[a.clone(), b.clone()]), Some(Verdict::Ok));
        assert_eq!(verdict(&[a.clone(), a.clone()]), Some(Verdict::Ok));
        assert_eq!(verdict(&[a.clone(), answer("b", 3)]), Some(Verdict::Warn));
        assert_eq!(verdict(&[a, b, answer("c", 2)]), Some(Verdict::Warn));
    }
}
