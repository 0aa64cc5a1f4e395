//! What `/readyz` answers.

use super::response::Response;

/// The longest that one line may be, in characters: parts of it are other programs' words.
const MOST_CHARACTERS: usize = 500;

/// Whether a program can do its work, and what it lacks all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What the status says.
    pub ready: bool,
    /// What an operator should look at, each in a sentence; told where `?verbose` asks for it.
    pub missing: Vec<String>,
}

impl From<bool> for Readiness {
    fn from(ready: bool) -> Self {
        Self {
            ready,
            missing: Vec::new(),
        }
    }
}

impl Readiness {
    /// The server's answer: the reference has the same with and without `verbose`.
    pub(super) fn of_server(&self, verbose: bool) -> Response {
        let body = if self.ready {
            "ok"
        } else {
            "no connection to any proxy agent"
        };
        let mut body = body.to_owned();
        if verbose && !self.missing.is_empty() {
            body.push('\n');
            self.add_missing(&mut body);
        }
        let status = if self.ready { 200 } else { 500 };
        Response::plain(status, &body)
    }

    /// The agent's answer: the list of checks where something is wrong, or is asked for (Konnectivity agent,
    /// `cmd/agent/app/server.go`, as Kubernetes' healthz handlers do it).
    pub(super) fn of_agent(&self, verbose: bool) -> Response {
        if self.ready && !verbose {
            return Response::ok("ok");
        }
        let mut body = "[+]ping ok\n".to_owned();
        body.push_str(if self.ready {
            "[+]server-connected ok\n"
        } else {
            "[-]server-connected failed: no servers connected\n"
        });
        if verbose {
            self.add_missing(&mut body);
        }
        if !self.ready {
            return Response::plain(503, &body);
        }
        body.push_str("check passed\n");
        Response::ok(&body)
    }

    /// A line for each.
    fn add_missing(&self, body: &mut String) {
        for missing in &self.missing {
            let line = missing.chars().take(MOST_CHARACTERS);
            body.push_str("[!]");
            body.extend(line.map(|letter| if letter.is_control() { ' ' } else { letter }));
            body.push('\n');
        }
    }
}
