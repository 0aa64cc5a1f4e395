//! The throttle file: YAML to typed limits, all that is wrong told at once.

use std::time::Duration;

use super::limit::{Limit, LimitSubject, Rate, ThrottleConfig};
use crate::policy::Glob;
use crate::yaml::{self, Fields, Listed, Problem, YamlError};

const KIND: &str = "Throttle";

/// The most limits of a file: each dial is counted in all that are for it.
const MOST_LIMITS: usize = 64;
/// The longest wait.
const MOST_WAIT: Duration = Duration::from_secs(3600);
/// A burst of bytes, where none is given: what passes in so much time.
const BYTE_BURST: f64 = 0.05;
/// And at least so many bytes: one chunk.
const LEAST_BYTE_BURST: f64 = 64.0 * 1024.0;

/// A throttle file that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThrottleError {
    /// The file is no YAML, or too much of it.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// Fields that don't belong there or make no sense: all of them.
    #[error("{}", Listed(.0))]
    Fields(Vec<Problem>),
}

impl ThrottleConfig {
    /// Reads a throttle file.
    ///
    /// # Errors
    /// [`ThrottleError`], with the lines and the paths of all fields that are unknown or make no sense.
    pub fn parse(text: &str) -> Result<Self, ThrottleError> {
        let document = yaml::parse(text)?;
        let mut problems = Vec::new();
        let mut fields = Fields::of(&document, String::new(), &mut problems);
        fields.is_to_be(KIND);
        let default = Self::default();
        let max_wait = fields.value("maxWait", seconds).unwrap_or(default.max_wait);
        let max_waiting = fields
            .value("maxWaiting", count)
            .unwrap_or(default.max_waiting);
        let limits = fields.objects("limits", limit);
        if limits.len() > MOST_LIMITS {
            fields.refuse("limits", format!("are more than {MOST_LIMITS}"));
        }
        let mut names: Vec<_> = limits.iter().map(|limit| &limit.name).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            fields.refuse("limits", format!("the name {name:?} is given twice"));
        }
        fields.finish();
        if !problems.is_empty() {
            return Err(ThrottleError::Fields(problems));
        }
        Ok(Self {
            max_wait,
            max_waiting,
            limits,
        })
    }
}

fn limit(mut fields: Fields<'_>) -> Limit {
    let name = fields.text("name");
    if name.is_empty() {
        fields.refuse("name", "is needed");
    }
    if !fields.has("per") {
        fields.refuse(
            "per",
            "is to be total, frontend, tenant, agent or destination",
        );
    }
    let per = fields.value("per", |text| match text {
        "total" => Ok(LimitSubject::Total),
        "frontend" => Ok(LimitSubject::Frontend),
        "tenant" => Ok(LimitSubject::Tenant),
        "agent" => Ok(LimitSubject::Agent),
        "destination" => Ok(LimitSubject::Destination),
        other => Err(format!(
            "{other:?} is to be total, frontend, tenant, agent or destination"
        )),
    });
    let per = per.unwrap_or(LimitSubject::Total);
    let matches = fields.value("match", str::parse::<Glob>);
    if matches.is_some() && per == LimitSubject::Total {
        fields.refuse("match", "there is nothing to match: per is total");
    }
    let has_burst = fields.has("dialBurst");
    let burst = fields.value("dialBurst", number);
    let dials = fields.value("dialsPerSecond", number);
    if has_burst && dials.is_none() {
        fields.refuse("dialBurst", "needs dialsPerSecond");
    }
    let dials = dials.map(|per_second| Rate {
        per_second,
        burst: burst.unwrap_or(per_second).max(1.0),
    });
    let streams = fields.value("streams", count);
    if streams == Some(0) {
        fields.refuse(
            "streams",
            "is to be at least 1: deny by a policy what is not to be",
        );
    }
    let bytes = |per_second: f64| Rate {
        per_second,
        burst: (per_second * BYTE_BURST).max(LEAST_BYTE_BURST),
    };
    let limit = Limit {
        name,
        per,
        matches,
        dials,
        streams,
        bytes_to_endpoints: fields
            .value("bytesPerSecondToEndpoints", quantity)
            .map(bytes),
        bytes_to_frontends: fields
            .value("bytesPerSecondToFrontends", quantity)
            .map(bytes),
    };
    if limit.dials.is_none()
        && limit.streams.is_none()
        && limit.bytes_to_endpoints.is_none()
        && limit.bytes_to_frontends.is_none()
    {
        fields.refuse("", "limits nothing");
    }
    fields.finish();
    limit
}

/// More than zero.
fn number(text: &str) -> Result<f64, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is to be a number above 0"))
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is to be a whole number"))
}

/// `5s`, `500ms`, or seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 0.001),
        (None, Some(digits)) => (digits, 1.0),
        (None, None) => (text, 1.0),
    };
    let seconds = digits.parse().ok().map(|number: f64| number * unit);
    let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    wait.filter(|wait| *wait <= MOST_WAIT)
        .ok_or_else(|| format!("{text:?} is to be a time such as 500ms or 5s, up to an hour"))
}

/// Bytes, as Kubernetes writes quantities: `20Mi` is 20 times 2^20, `20M` is 20 million.
fn quantity(text: &str) -> Result<f64, String> {
    const UNITS: [(&str, f64); 6] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
    ];
    let unit = UNITS
        .iter()
        .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (digits, size) = unit.unwrap_or((text, 1.0));
    let bytes = number(digits).map(|number| number * size);
    bytes.map_err(|_| format!("{text:?} is to be a number of bytes such as 20Mi"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: dialback/v1\nkind: Throttle\n";

    fn refused(body: &str) -> String {
        let error = ThrottleConfig::parse(&format!("{HEAD}{body}")).expect_err("it is wrong");
        error.to_string()
    }

    #[test]
    fn limits_are_read() {
        let text = format!(
            "{HEAD}maxWait: 500ms\nmaxWaiting: 7\nlimits:\n- {{name: a, per: tenant, match: blue*, dialsPerSecond: 50, \
             dialBurst: 100, streams: 10}}\n- {{name: b, per: total, bytesPerSecondToEndpoints: 20Mi, \
             bytesPerSecondToFrontends: 1k}}\n"
        );
        let config = ThrottleConfig::parse(&text).expect("it is good");
        assert_eq!(config.max_wait, Duration::from_millis(500));
        assert_eq!(config.max_waiting, 7);
        let [a, b] = &config.limits[..] else {
            panic!("{config:?}");
        };
        assert_eq!((a.per, a.streams), (LimitSubject::Tenant, Some(10)));
        let rate = |per_second, burst| Some(Rate { per_second, burst });
        assert_eq!(a.dials, rate(50.0, 100.0));
        assert!(
            a.matches
                .as_ref()
                .is_some_and(|glob| glob.matches("blue-1"))
        );
        assert_eq!(b.bytes_to_endpoints, rate(20_971_520.0, 1_048_576.0));
        assert_eq!(b.bytes_to_frontends, rate(1000.0, LEAST_BYTE_BURST));
        assert_eq!(ThrottleConfig::parse(HEAD), Ok(ThrottleConfig::default()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (body, told) in [
            (
                "limits: [{name: a, per: total}]",
                "field \"limits[0]\": limits nothing (line 3)",
            ),
            (
                "limits:\n- {per: total, streams: 1}",
                "field \"limits[0].name\": is needed (line 4)",
            ),
            (
                "limits: [{name: a, streams: 1}]",
                "\"limits[0].per\": is to be total, frontend",
            ),
            (
                "limits: [{name: a, per: pod, streams: 1}]",
                "\"pod\" is to be total",
            ),
            (
                "limits: [{name: a, per: total, streams: 0}]",
                "is to be at least 1",
            ),
            (
                "limits: [{name: a, per: total, streams: -1}]",
                "\"-1\" is to be a whole number",
            ),
            (
                "limits: [{name: a, per: total, match: x, streams: 1}]",
                "nothing to match",
            ),
            (
                "limits: [{name: a, per: total, dialsPerSecond: 0}]",
                "\"0\" is to be a number above 0",
            ),
            (
                "limits: [{name: a, per: total, dialBurst: 3}]",
                "needs dialsPerSecond",
            ),
            (
                "limits: [{name: a, per: total, bytesPerSecondToFrontends: 5MB}]",
                "a number of bytes such as 20Mi",
            ),
            (
                "limits: [{name: a, per: total, dialsPerSecnd: 1}]",
                "unknown field \"limits[0].dialsPerSecnd\" (line 3)",
            ),
            (
                "limits: [{name: a, per: total, streams: 1}, {name: a, per: agent, streams: 1}]",
                "the name \"a\" is given twice",
            ),
            ("maxWait: 2h", "is to be a time such as 500ms or 5s"),
            ("maxWait: [", "yaml: line"),
        ] {
            let error = refused(body);
            assert!(error.contains(told), "{body}: {error}");
        }
        let error = ThrottleConfig::parse("kind: Policy").expect_err("it is another kind");
        assert!(error.to_string().contains("is to be Throttle"), "{error}");
    }
}
