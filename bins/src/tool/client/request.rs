//! `dialback request`: HTTP requests through the proxy server, as Konnectivity's test client sends them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::connectivity::Dialer;
use dialback_runtime::tls::system_cas;
use dialback_tokio::TokioRuntime;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;

use super::error::ClientError;
use super::http_request::HttpUrl;
use super::through::{Through, duration};
use crate::tool::http::{Head, read_head, status};
use crate::tool::tls;

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

pub(super) async fn run(runtime: TokioRuntime, options: Options) -> Result<(), ClientError> {
    let dialer = options.through.dialer(&runtime)?;
    let tls = Tls::of(&options)?;
    let options = Arc::new(options);
    let all = options.count as usize;
    let mut requests = JoinSet::new();
    let mut next = Instant::now();
    for number in 1..=options.count {
        sleep_until(next).await;
        next += options.delay.unwrap_or_default();
        let (dialer, options, tls) = (dialer.clone(), Arc::clone(&options), tls.clone());
        requests.spawn(async move { request(number, &dialer, &options, tls).await });
    }
    let mut failures = Vec::new();
    while let Some(ended) = requests.join_next().await {
        if let Ok(Err(error)) = ended {
            eprintln!("dialback: {error}");
            failures.push(error);
        }
    }
    let failed = failures.len();
    match failures.pop() {
        None => Ok(()),
        Some(error) if all == 1 => Err(error),
        Some(_) => Err(ClientError::Some { failed, all }),
    }
}

/// How an https target is spoken with.
#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    fn of(options: &Options) -> Result<Option<Self>, ClientError> {
        if !options.target.secure {
            return match options.target_ca {
                None => Ok(None),
                Some(_) => Err(ClientError::Usage("--target-ca is for https targets")),
            };
        }
        let ca = options.target_ca.clone().unwrap_or_else(system_cas);
        let config = tls::anonymous_client(&ca).map_err(ClientError::TargetTls)?;
        let name = ServerName::try_from(options.target.host_name().to_owned());
        Ok(Some(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: name.map_err(|_| ClientError::Usage("the target is no host name"))?,
        }))
    }
}

async fn request(
    number: u32,
    dialer: &Dialer<TokioRuntime>,
    options: &Options,
    tls: Option<Tls>,
) -> Result<(), ClientError> {
    let start = Instant::now();
    let stream = dialer.dial(&options.target.to).await.map_err(Box::new)?;
    let exchange = async {
        match tls {
            None => converse(number, start, stream, options).await,
            Some(Tls { connector, name }) => {
                let stream = connector.connect(name, stream).await?;
                converse(number, start, stream, options).await
            }
        }
    };
    exchange.await.map_err(ClientError::Broken)
}

/// Asks, and takes the answer to its end.
async fn converse(
    number: u32,
    start: Instant,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    options: &Options,
) -> io::Result<()> {
    let Options { method, target, .. } = options;
    let request = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: dialback/{}\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n",
        target.path,
        target.host,
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let Head { head, rest } = read_head(&mut stream).await?;
    let status = status(&head)?;
    let mut length = rest.len() as u64;
    if options.body {
        io::stdout().write_all(&rest)?;
    }
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = match stream.read(&mut buffer).await {
            // Many an https server just closes; the answer was understood before.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        if read == 0 {
            break;
        }
        length += read as u64;
        if options.body {
            io::stdout().write_all(&buffer[..read])?;
        }
    }
    let took = start.elapsed().as_secs_f64() * 1e3;
    writeln!(
        io::stdout(),
        "{number}: {status}, {length} bytes, {took:.3} ms"
    )
}
