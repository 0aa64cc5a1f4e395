//! `dialback request`: HTTP requests through the proxy server, as Konnectivity's test client sends them.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::connectivity::Dialer;
use dialback_tokio::TokioRuntime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::error::ClientError;
use super::exchange::Exchange;
use super::http_request::HttpUrl;
use super::progress::{Passed, complain};
use super::through::{Through, duration};

const EXAMPLES: &str = "\
Examples:
  dialback request --uds /run/konnectivity.sock http://web.default.svc:8000/success
  dialback request --uds /run/konnectivity.sock --target-ca ca.crt https://10.0.0.5:10250/healthz
  dialback request --config egress-selector.yaml --count 100 --delay 10ms --method HEAD http://10.0.0.5/";

/// What `dialback request` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub(crate) struct Options {
    #[command(flatten)]
    through: Through,

    /// How many requests, at once unless --delay spreads them
    #[arg(long, short, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,

    /// From the start of one request to that of the next
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    delay: Option<Duration>,

    /// From the last answer to the end
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    after_delay: Option<Duration>,

    /// What the requests say they come from
    #[arg(long, value_name = "NAME", value_parser = header_value,
          default_value = concat!("dialback/", env!("CARGO_PKG_VERSION")))]
    user_agent: String,

    /// The method
    #[arg(long, short = 'X', value_name = "METHOD", default_value = "GET", value_parser = method)]
    method: String,

    /// Print the bodies too
    #[arg(long)]
    body: bool,

    /// The CA of an https target; without it those of the system
    #[arg(long, value_name = "FILE")]
    target_ca: Option<PathBuf>,

    /// What to ask for, http or https; any answer is a success, whatever its status
    #[arg(value_name = "http://HOST[:PORT]/PATH", value_parser = target)]
    target: HttpUrl,
}

fn target(text: &str) -> Result<HttpUrl, &'static str> {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let split = HttpUrl::split(text).filter(|_| !text.contains(odd));
    split.ok_or("is to be http://HOST[:PORT]/PATH or https://…")
}

fn method(text: &str) -> Result<String, &'static str> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.is_empty() && text.bytes().all(is_token) {
        Ok(text.to_owned())
    } else {
        Err("is not a method")
    }
}

fn header_value(text: &str) -> Result<String, &'static str> {
    if text.chars().any(char::is_control) {
        Err("is no header's value")
    } else {
        Ok(text.to_owned())
    }
}

pub(super) async fn run(runtime: TokioRuntime, options: Options) -> Result<(), ClientError> {
    let dialer = options.through.dialer(&runtime)?;
    let ca = options.target_ca.as_deref();
    let exchange = Exchange::new(
        &options.method,
        &options.user_agent,
        options.target.clone(),
        ca,
    )?;
    let passed = Passed::default();
    let is_free = !(options.body && io::stdout().is_terminal());
    tokio::select! {
        ended = all(&options, Arc::new(exchange), &dialer, &passed) => ended,
        () = passed.tell(is_free) => Ok(()),
    }
}

/// Sends all requests and waits for the answers.
async fn all(
    options: &Options,
    exchange: Arc<Exchange>,
    dialer: &Dialer<TokioRuntime>,
    passed: &Passed,
) -> Result<(), ClientError> {
    let mut requests = JoinSet::new();
    let mut next = Instant::now();
    for number in 1..=options.count {
        sleep_until(next).await;
        next += options.delay.unwrap_or_default();
        let (dialer, passed, exchange) = (dialer.clone(), passed.clone(), Arc::clone(&exchange));
        let body = options.body;
        requests.spawn(async move { request(number, &dialer, &exchange, &passed, body).await });
    }
    let mut failures = Vec::new();
    while let Some(ended) = requests.join_next().await {
        if let Ok(Err(error)) = ended {
            if options.count > 1 {
                complain(&error);
            }
            failures.push(error);
        }
    }
    sleep(options.after_delay.unwrap_or_default()).await;
    let (failed, all) = (failures.len(), options.count as usize);
    match failures.pop() {
        None => Ok(()),
        Some(error) if all == 1 => Err(error),
        Some(last) => Err(ClientError::Some {
            failed,
            all,
            last: Box::new(last),
        }),
    }
}

async fn request(
    number: u32,
    dialer: &Dialer<TokioRuntime>,
    exchange: &Exchange,
    passed: &Passed,
    body: bool,
) -> Result<(), ClientError> {
    let start = Instant::now();
    let print = |bytes: &[u8]| match body {
        true => io::stdout().write_all(bytes),
        false => Ok(()),
    };
    let answer = exchange.once(dialer, passed, print).await?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let told = writeln!(
        io::stdout(),
        "{number}: {}, {} bytes, {took:.3} ms",
        answer.status,
        answer.length
    );
    told.map_err(ClientError::Broken)
}
