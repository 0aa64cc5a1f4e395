//! The token that an agent shows, as far as this side can judge it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dialback_runtime::server::BearerToken;
use serde_json::Value;

use super::certificate::date;
use super::report::Finding;

const HOP: &str = "token";

/// kubelet renews a token when a fifth of its time is left; none in use comes this near to its end, in seconds.
const SOON: i64 = 5 * 60;

/// What a token says of itself. Nobody has verified any of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    subject: Option<String>,
    audience: Vec<String>,
    /// Seconds since 1970, as the next.
    not_before: Option<i64>,
    expires: Option<i64>,
}

impl Claims {
    /// The payload of a JSON Web Token (RFC 7519, section 3); `None` for any other.
    fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let Ok(Value::Object(claims)) = serde_json::from_slice(&payload) else {
            return None;
        };
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let seconds = |name| {
            let value: &Value = claims.get(name)?;
            // A number of seconds may have a fraction; nobody's has more seconds than fit.
            value.as_i64().or_else(|| Some(value.as_f64()? as i64))
        };
        let audience = match claims.get("aud") {
            Some(Value::Array(several)) => several.iter().filter_map(text).collect(),
            one => one.and_then(text).into_iter().collect(),
        };
        Some(Self {
            subject: claims.get("sub").and_then(text),
            audience,
            not_before: seconds("nbf"),
            expires: seconds("exp"),
        })
    }

    /// Whose, for whom, until when.
    fn told(&self) -> String {
        let mut told = match &self.subject {
            Some(subject) => format!("token of {subject}"),
            None => "token".to_owned(),
        };
        if !self.audience.is_empty() {
            told.push_str(&format!(" for audience {}", self.audience.join(", ")));
        }
        told
    }
}

/// What there is to say of the token in a file before a server has seen it; `now` is in seconds since 1970.
pub(super) fn judge(path: &Path, token: &BearerToken, now: i64) -> Finding {
    let Some(claims) = Claims::read(token.secret()) else {
        let told = format!(
            "{}: readable, not a JSON Web Token, so only the server can tell whether it is good",
            path.display()
        );
        return Finding::ok(HOP, told);
    };
    let told = format!("{}: {}", path.display(), claims.told());
    let finding = match (claims.not_before, claims.expires) {
        (Some(from), _) if now < from => Finding::fail(
            HOP,
            format!("{told}, not valid before {}", date(from)),
            "set the clock of this machine, or of the one that issued the token",
        ),
        (_, Some(until)) if now >= until => Finding::fail(
            HOP,
            format!("{told}, expired at {}", date(until)),
            "use the file that kubelet keeps up to date (a projected volume), not a copy of it; if it is that file, look \
             at kubelet's log for why the token is not renewed",
        ),
        (_, Some(until)) if until - now < SOON => Finding::warn(
            HOP,
            format!("{told}, expires at {}", date(until)),
            "kubelet renews the tokens of projected volumes long before: make sure that this file is not a copy",
        ),
        (_, Some(until)) => Finding::ok(HOP, format!("{told}, valid until {}", date(until))),
        (_, None) => Finding::warn(
            HOP,
            format!("{told}, without an end"),
            "use the token of a projected volume, which is bound to its pod and audience, instead of a secret's",
        ),
    };
    let finding = finding.with_fact("audience", claims.audience);
    match claims.expires {
        Some(until) => finding.with_fact("expires", date(until)),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::doctor::report::Verdict;

    const NOW: i64 = 1_800_000_000;

    fn token(payload: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload))
    }

    fn judged(text: &str) -> (Verdict, String) {
        let finding = judge(Path::new("f"), &BearerToken::from(text), NOW);
        let advice = finding.advice.unwrap_or_default();
        (finding.verdict, format!("{}; {advice}", finding.told))
    }

    #[test]
    fn whose_for_whom_and_until_when_is_told() {
        let (verdict, told) = judged(&token(
            r#"{"sub":"system:serviceaccount:kube-system:konnectivity-agent",
                "aud":["system:konnectivity-server"],"nbf":1799999999,"exp":1800003600}"#,
        ));
        assert_eq!(verdict, Verdict::Ok);
        assert_eq!(
            told,
            "f: token of system:serviceaccount:kube-system:konnectivity-agent for audience \
             system:konnectivity-server, valid until 2027-01-15 09:00 UTC; "
        );
        let single = Claims::read(&token(r#"{"aud":"a"}"#)).map(|claims| claims.audience);
        assert_eq!(single, Some(vec!["a".to_owned()]));
    }

    #[test]
    fn a_token_out_of_its_time_fails() {
        for (payload, verdict, part) in [
            (r#"{"exp":1800000000}"#, Verdict::Fail, "expired at"),
            (r#"{"exp":1.7e9}"#, Verdict::Fail, "expired at 2023-11-14"),
            (r#"{"exp":1800000001}"#, Verdict::Warn, "expires at"),
            (r#"{"exp":1800000300}"#, Verdict::Ok, "valid until"),
            (r#"{"nbf":1800000001}"#, Verdict::Fail, "set the clock"),
            ("{}", Verdict::Warn, "without an end"),
        ] {
            let (have, told) = judged(&token(payload));
            assert_eq!(have, verdict, "{payload}: {told}");
            assert!(told.contains(part), "{payload}: {told}");
        }
    }

    #[test]
    fn what_is_no_jwt_is_for_the_server_to_judge() {
        for odd in [
            "secret",
            "a.b",
            "e30.e30.e30.e30",
            "e30.!.e30",
            "e30.W10.e30",
            "e30..",
        ] {
            let (verdict, told) = judged(odd);
            assert_eq!(verdict, Verdict::Ok);
            assert!(told.contains("not a JSON Web Token"), "{odd}: {told}");
            assert!(!told.contains(odd), "{odd}: {told}");
        }
    }
}
