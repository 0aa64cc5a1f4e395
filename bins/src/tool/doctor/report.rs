//! What was found, for people and for scripts.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::certificate::Certificate;

/// How a hop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It works.
    Ok,
    /// It works, and something about it wants attention.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be tried, for something before it failed or was not given.
    Skip,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// What was found at one hop.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    /// The hop, by a word that does not change.
    pub(super) hop: &'static str,
    pub(super) verdict: Verdict,
    /// What was looked at and what was seen, in a sentence.
    pub(super) told: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
    /// Certificates that were seen, from the peer's own to the one nearest to its CA.
    certificates: Vec<Certificate>,
    /// What scripts may want, by name.
    facts: Vec<(&'static str, Value)>,
}

impl Finding {
    fn new(hop: &'static str, verdict: Verdict, told: impl Into<String>) -> Self {
        Self {
            hop,
            verdict,
            told: told.into(),
            advice: None,
            certificates: Vec::new(),
            facts: Vec::new(),
        }
    }

    pub(super) fn ok(hop: &'static str, told: impl Into<String>) -> Self {
        Self::new(hop, Verdict::Ok, told)
    }

    pub(super) fn warn(
        hop: &'static str,
        told: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(hop, Verdict::Warn, told).advise(advice)
    }

    pub(super) fn fail(
        hop: &'static str,
        told: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(hop, Verdict::Fail, told).advise(advice)
    }

    pub(super) fn skip(hop: &'static str, told: impl Into<String>) -> Self {
        Self::new(hop, Verdict::Skip, told)
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) fn with_certificates(mut self, certificates: Vec<Certificate>) -> Self {
        self.certificates = certificates;
        self
    }

    pub(super) fn with_fact(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    /// The lines for a terminal. Words of peers are in it: what could steer the terminal is not.
    fn lines(&self) -> String {
        let mut lines = format!(
            "{:<5} {:<18} {}\n",
            self.verdict.name(),
            self.hop,
            self.told
        );
        for certificate in &self.certificates {
            lines.push_str(&format!("{INDENT}- {certificate}\n"));
        }
        if let Some(advice) = &self.advice {
            lines.push_str(&format!("{INDENT}-> {advice}\n"));
        }
        lines.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
    }

    fn json(&self) -> Value {
        let mut object = json!({
            "hop": self.hop,
            "verdict": self.verdict.name(),
            "told": self.told,
        });
        if let Some(advice) = &self.advice {
            object["advice"] = json!(advice);
        }
        if !self.certificates.is_empty() {
            object["certificates"] = self.certificates.iter().map(Certificate::json).collect();
        }
        for (name, value) in &self.facts {
            object[*name] = value.clone();
        }
        object
    }
}

const INDENT: &str = "      ";

/// Collects what is found, and tells people at once.
#[derive(Debug)]
pub(super) struct Report<W> {
    out: W,
    json: bool,
    role: &'static str,
    findings: Vec<Finding>,
}

impl<W: Write> Report<W> {
    /// A report to `out`; with `json` it is one object, written at the end.
    pub(super) fn new(out: W, json: bool, role: &'static str) -> Self {
        Self {
            out,
            json,
            role,
            findings: Vec::new(),
        }
    }

    /// Takes a finding; `true` if the way goes on behind it.
    pub(super) fn add(&mut self, finding: Finding) -> bool {
        let passed = matches!(finding.verdict, Verdict::Ok | Verdict::Warn);
        if !self.json {
            // Who does not read the output does without.
            let _ = self.out.write_all(finding.lines().as_bytes());
            let _ = self.out.flush();
        }
        self.findings.push(finding);
        passed
    }

    /// The worst of what was found; what was skipped does not count.
    pub(super) fn verdict(&self) -> Verdict {
        let any = |verdict| self.findings.iter().any(|found| found.verdict == verdict);
        if any(Verdict::Fail) {
            Verdict::Fail
        } else if any(Verdict::Warn) {
            Verdict::Warn
        } else {
            Verdict::Ok
        }
    }

    /// Ends the report.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn finish(mut self) -> io::Result<Verdict> {
        let verdict = self.verdict();
        if self.json {
            let report = json!({
                "role": self.role,
                "verdict": verdict.name(),
                "hops": self.findings.iter().map(Finding::json).collect::<Vec<_>>(),
            });
            writeln!(self.out, "{report:#}")?;
        } else {
            writeln!(self.out, "{}", self.summary())?;
        }
        self.out.flush()?;
        Ok(verdict)
    }

    fn summary(&self) -> String {
        let hops = |verdict| {
            let found = self
                .findings
                .iter()
                .filter(|found| found.verdict == verdict);
            let mut hops: Vec<_> = found.map(|found| found.hop).collect();
            hops.dedup();
            hops.join(", ")
        };
        match self.verdict() {
            Verdict::Fail => format!("failed: {}", hops(Verdict::Fail)),
            Verdict::Warn => format!("all works; look at: {}", hops(Verdict::Warn)),
            Verdict::Ok | Verdict::Skip => "all works".to_owned(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn report(json: bool, findings: &[Finding]) -> (Verdict, String) {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out, json, "agent");
        for finding in findings {
            report.add(finding.clone());
        }
        let verdict = report.finish().unwrap();
        (verdict, String::from_utf8(out).unwrap())
    }

    fn findings() -> [Finding; 4] {
        [
            Finding::ok("name", "localhost is 127.0.0.1").with_fact("addresses", vec!["127.0.0.1"]),
            Finding::warn("ca", "ends soon", "renew it"),
            Finding::fail("tcp", "127.0.0.1:1: connection refused", "start it"),
            Finding::skip("tls", "nothing to speak with"),
        ]
    }

    #[test]
    fn people_are_told_hop_by_hop() {
        let (verdict, text) = report(false, &findings());
        assert_eq!(verdict, Verdict::Fail);
        assert_eq!(
            text,
            "ok    name               localhost is 127.0.0.1\n\
             warn  ca                 ends soon\n      -> renew it\n\
             fail  tcp                127.0.0.1:1: connection refused\n      -> start it\n\
             skip  tls                nothing to speak with\n\
             failed: tcp\n"
        );
        let (verdict, text) = report(false, &findings()[..2]);
        assert_eq!(verdict, Verdict::Warn);
        assert!(text.ends_with("all works; look at: ca\n"), "{text}");
        assert_eq!(report(false, &findings()[3..]).0, Verdict::Ok);
    }

    #[test]
    fn scripts_get_one_object() {
        let (_, text) = report(true, &findings());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["role"], "agent");
        assert_eq!(value["verdict"], "fail");
        assert_eq!(value["hops"][0]["addresses"][0], "127.0.0.1");
        assert_eq!(value["hops"][1]["advice"], "renew it");
        assert_eq!(value["hops"][3]["verdict"], "skip");
        assert_eq!(value["hops"][3].get("advice"), None);
    }

    #[test]
    fn a_peers_words_do_not_steer_the_terminal() {
        let (_, text) = report(false, &[Finding::ok("tunnel", "hi\x1b[2J\r")]);
        assert!(text.contains("hi\u{fffd}[2J\u{fffd}\n"), "{text:?}");
    }
}
