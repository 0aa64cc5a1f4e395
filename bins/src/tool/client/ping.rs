//! `dialback ping`: how long dials take.

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
    let dialer = options.through.dialer(&runtime)?;
    let address = &options.address;
    let mut took = Vec::new();
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
                    print(&format!(
                        "{probe}: {address} through {} in {}",
                        stream.local_name(),
                        milliseconds(elapsed)
                    ));
                    took.push(elapsed);
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
    took.sort_unstable();
    print(&summary(sent, &took));
    match last {
        Some(error) if took.is_empty() => Err(Box::new(error).into()),
        _ => Ok(()),
    }
}

fn summary(sent: u32, sorted: &[Duration]) -> String {
    let counts = format!("{sent} dials, {} succeeded", sorted.len());
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
        return counts;
    };
    let percentile = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        milliseconds(sorted[rank - 1])
    };
    format!(
        "{counts}; min {}, p50 {}, p90 {}, p99 {}, max {}",
        milliseconds(*least),
        percentile(50),
        percentile(90),
        percentile(99),
        milliseconds(*most)
    )
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

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(
            summary(201, &times),
            "201 dials, 200 succeeded; min 1.000 ms, p50 100.000 ms, p90 180.000 ms, \
             p99 198.000 ms, max 200.000 ms"
        );
        assert_eq!(summary(2, &[]), "2 dials, 0 succeeded");
        assert!(summary(1, &times[..1]).contains("p50 1.000 ms, p90 1.000 ms, p99 1.000 ms"));
    }
}
