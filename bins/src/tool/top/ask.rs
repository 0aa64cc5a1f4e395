//! Asking a daemon for its status.

use std::io;
use std::time::Duration;

use dialback_runtime::status::Status;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::status::STATUS_PATH;
use crate::tool::http::fetch;

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The server's admin port, where the URL names none.
const ADMIN_PORT: u16 = 8095;

/// An admin port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// `host:port`.
    address: String,
}

/// Why there is no status.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// Nobody answers there.
    #[error("cannot ask http://{address}: {error}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The connection is there, but no answer.
    #[error("http://{address} did not answer within {PATIENCE:?}")]
    TimedOut {
        /// `host:port`.
        address: String,
    },
    /// The daemon has no such page.
    #[error(
        "http://{address}{STATUS_PATH} answered with status {status}: start the daemon with --enable-status-page"
    )]
    Missing {
        /// `host:port`.
        address: String,
        /// The HTTP status.
        status: u16,
    },
    /// It is something else.
    #[error("http://{address}{STATUS_PATH} is no status: {error}")]
    Invalid {
        /// `host:port`.
        address: String,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

impl Source {
    /// `http://HOST[:PORT]`, maybe with a `/`.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is to be http://HOST[:PORT]";
        let rest = url.strip_prefix("http://").ok_or(FORM)?;
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let odd = |c: char| !c.is_ascii_graphic() || "/?#@".contains(c);
        if host.is_empty() || host.contains(odd) {
            return Err(FORM);
        }
        let end = host.rfind(']').map_or(0, |bracket| bracket + 1);
        let address = match host[end..].rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_err() => return Err(FORM),
            Some((name, _)) if name.contains(':') => return Err(FORM),
            Some(_) => host.to_owned(),
            None => format!("{host}:{ADMIN_PORT}"),
        };
        Ok(Self { address })
    }
}

/// The oldest links, and sums over all.
pub(super) async fn ask(source: &Source) -> Result<Status, AskError> {
    let address = &source.address;
    let unreachable = |error| AskError::Unreachable {
        address: address.clone(),
        error,
    };
    let asked = async {
        let stream = TcpStream::connect(address.as_str()).await?;
        fetch(stream, address, STATUS_PATH).await
    };
    let response = timeout(PATIENCE, asked)
        .await
        .map_err(|_| AskError::TimedOut {
            address: address.clone(),
        })?
        .map_err(unreachable)?;
    if response.status != 200 {
        return Err(AskError::Missing {
            address: address.clone(),
            status: response.status,
        });
    }
    serde_json::from_slice(&response.body).map_err(|error| AskError::Invalid {
        address: address.clone(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_http_url_of_a_host() {
        let address = |url| Source::parse(url).map(|source| source.address);
        for (url, expected) in [
            ("http://127.0.0.1:8094", "127.0.0.1:8094"),
            ("http://node.test/", "node.test:8095"),
            ("http://[::1]", "[::1]:8095"),
            ("http://[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(address(url).as_deref(), Ok(expected), "{url}");
        }
        for url in [
            "127.0.0.1:8095",
            "https://a",
            "http://",
            "http:///",
            "http://a/b",
            "http://a:b",
            "http://a:70000",
            "http://::1:80",
            "http://u@a",
            "http://a b",
        ] {
            assert!(Source::parse(url).is_err(), "{url}");
        }
    }
}
