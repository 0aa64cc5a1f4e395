//! `dialback ping`: how long dials take.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use dialback_tokio::TokioRuntime;
use tokio::time::{Instant, sleep_until};

use super::error::ClientError;
use super::through::{Through, duration};
use crate::tool::signal::EndSignals;

const EXAMPLES: &str = "\
Examples:
  dialback ping --uds /run/konnectivity.sock 10.0.0.5:10250
  dialback ping --config egress-selector.yaml --count 100 --interval 10ms web.default.svc:80";

/// What stands for an agent that the proxy server did not name, as Konnectivity's does not.
const UNNAMED: &str = "-";

/// Agents that are told of one by one, and what stands for the rest.
const MOST_AGENTS: usize = 1000;
const OTHERS: &str = "(others)";

/// What `dialback ping` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub(crate) struct Options {
    #[command(flatten)]
    through: Through,

    /// How many dials; Ctrl-C ends earlier
    #[arg(long, short, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,

    /// From one dial to the next
    #[arg(long, short, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    interval: Duration,

    /// The endpoint
    #[arg(value_name = "HOST:PORT")]
    address: String,
}

pub(super) async fn run(runtime: TokioRuntime, options: Options) -> Result<(), ClientError> {
    let mut signals = EndSignals::catch().map_err(ClientError::Prepare)?;
    let mut naming = options.through.options();
    naming.name_agent = true;
    let dialer = options.through.dialer(&runtime)?.with_options(naming);
    let address = &options.address;
    let mut took = Times::default();
    let mut last = None;
    let mut sent = 0;
    let probes = async {
        let mut next = Instant::now();
        for probe in 1..=options.count {
            sleep_until(next).await;
            let start = Instant::now();
            next = start + options.interval;
            sent = probe;
            match dialer.dial(address).await {
                Ok(stream) => {
                    let elapsed = start.elapsed();
                    let agent = stream.agent_id().unwrap_or(UNNAMED);
                    print(&format!(
                        "{probe}: {address} through {}, agent {agent}, in {}",
                        stream.local_name(),
                        milliseconds(elapsed)
                    ));
                    took.add(agent, elapsed);
                }
                Err(error) => {
                    print(&format!("{probe}: {error}"));
                    last = Some(error);
                }
            }
        }
    };
    tokio::select! {
        () = probes => {}
        () = signals.received() => {}
    }
    for line in took.summary(sent) {
        print(&line);
    }
    match last {
        Some(error) if took.by_agent.is_empty() => Err(Box::new(error).into()),
        _ => Ok(()),
    }
}

/// What successful dials took, by agent.
#[derive(Debug, Default)]
struct Times {
    by_agent: BTreeMap<String, Vec<Duration>>,
}

impl Times {
    fn add(&mut self, agent: &str, took: Duration) {
        let known = self.by_agent.len() < MOST_AGENTS || self.by_agent.contains_key(agent);
        let agent = if known { agent } else { OTHERS };
        self.by_agent
            .entry(agent.to_owned())
            .or_default()
            .push(took);
    }

    /// A line for all and, where there are several, one for each agent.
    fn summary(&mut self, sent: u32) -> Vec<String> {
        let mut all: Vec<_> = self.by_agent.values().flatten().copied().collect();
        all.sort_unstable();
        let counts = format!("{sent} dials, {} succeeded", all.len());
        let mut lines = vec![match percentiles(&all) {
            Some(percentiles) => format!("{counts}; {percentiles}"),
            None => counts,
        }];
        if self.by_agent.len() > 1 {
            for (agent, times) in &mut self.by_agent {
                times.sort_unstable();
                let percentiles = percentiles(times).unwrap_or_default();
                lines.push(format!(
                    "agent {agent}: {} dials; {percentiles}",
                    times.len()
                ));
            }
        }
        lines
    }
}

fn percentiles(sorted: &[Duration]) -> Option<String> {
    let (least, most) = (sorted.first()?, sorted.last()?);
    let percentile = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        milliseconds(sorted[rank - 1])
    };
    Some(format!(
        "min {}, p50 {}, p90 {}, p99 {}, max {}",
        milliseconds(*least),
        percentile(50),
        percentile(90),
        percentile(99),
        milliseconds(*most)
    ))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// Whoever does not read the output does without.
fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(agents: &[(&str, u64)]) -> Times {
        let mut times = Times::default();
        for (agent, most) in agents {
            for time in 1..=*most {
                times.add(agent, Duration::from_millis(time));
            }
        }
        times
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        assert_eq!(
            times(&[("a", 200)]).summary(201),
            [
                "201 dials, 200 succeeded; min 1.000 ms, p50 100.000 ms, p90 180.000 ms, \
                 p99 198.000 ms, max 200.000 ms"
            ]
        );
        assert_eq!(times(&[]).summary(2), ["2 dials, 0 succeeded"]);
        let single = &times(&[("a", 1)]).summary(1)[0];
        assert!(single.contains("p50 1.000 ms, p90 1.000 ms, p99 1.000 ms"));
    }

    #[test]
    fn each_of_several_agents_has_a_line() {
        let lines = times(&[("b", 3), ("a", 1)]).summary(4);
        let starts = [
            "4 dials, 4",
            "agent a: 1 dials; min 1.",
            "agent b: 3 dials; min 1.",
        ];
        assert_eq!(lines.len(), starts.len());
        for (line, start) in lines.iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
    }

    #[test]
    fn no_server_can_name_agents_without_end() {
        let mut times = Times::default();
        for agent in 0..2 * MOST_AGENTS {
            times.add(&agent.to_string(), Duration::ZERO);
        }
        assert_eq!(times.by_agent.len(), MOST_AGENTS + 1);
    }
}
