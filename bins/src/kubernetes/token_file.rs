//! A file with the token that we show to the API server.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dialback_runtime::agent::read_token;
use http::HeaderValue;
use http::header::InvalidHeaderValue;
use thiserror::Error;
use tokio::time::Instant;

/// How long what was read stands: kubelet renews a token long before it expires (client-go, `transport/token_source.go`).
const READ_EVERY: Duration = Duration::from_secs(60);

/// A bearer token in a file, which is read again from time to time.
///
/// White space around it is no part of it, as client-go has it and kube doesn't: files tend to end with a new line.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    header: HeaderValue,
    read: Instant,
}

impl TokenFile {
    /// Reads it for the first time.
    pub(super) fn open(path: &str) -> Result<Self, TokenFileError> {
        let path = PathBuf::from(path);
        let last = Last {
            header: read(&path)?,
            read: Instant::now(),
        };
        Ok(Self {
            path,
            last: Mutex::new(last),
        })
    }

    /// The value of `authorization`. When the file can't be read any more, the last token stands.
    pub(super) fn header(&self) -> HeaderValue {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.read.elapsed() >= READ_EVERY {
            last.read = Instant::now();
            match read(&self.path) {
                Ok(header) => last.header = header,
                Err(error) => {
                    tracing::warn!(%error, "the last token is shown to the Kubernetes API")
                }
            }
        }
        last.header.clone()
    }
}

fn read(path: &Path) -> Result<HeaderValue, TokenFileError> {
    let failed = |kind| TokenFileError {
        path: path.to_owned(),
        kind,
    };
    let token = read_token(path).map_err(|error| failed(Kind::Read(error)))?;
    let mut header = HeaderValue::try_from(format!("Bearer {}", token.secret()))
        .map_err(|error| failed(Kind::Header(error)))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Why a file holds no token.
#[derive(Debug, Error)]
#[error("failed to read token file \"{}\": {kind}", path.display())]
pub struct TokenFileError {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Error)]
enum Kind {
    #[error("{0}")]
    Read(#[source] io::Error),
    #[error("{0}")]
    Header(#[source] InvalidHeaderValue),
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use super::super::tests::scratch::Scratch;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_read_anew_and_stands_when_that_fails() {
        let folder = Scratch::new();
        let path = folder.path().join("token");
        fs::write(&path, " one\n").unwrap();
        let file = TokenFile::open(path.to_str().unwrap()).unwrap();
        assert_eq!(file.header(), "Bearer one");
        assert!(!format!("{file:?}").contains("Bearer one"));
        fs::write(&path, "two").unwrap();
        assert_eq!(file.header(), "Bearer one");
        for (content, header) in [
            ("two", "Bearer two"),
            ("\n", "Bearer two"),
            ("a\nb", "Bearer two"),
        ] {
            fs::write(&path, content).unwrap();
            tokio::time::sleep(READ_EVERY).await;
            assert_eq!(file.header(), header, "{content:?}");
        }
        fs::remove_file(&path).unwrap();
        tokio::time::sleep(READ_EVERY).await;
        assert_eq!(file.header(), "Bearer two");
        fs::write(&path, "three\n").unwrap();
        tokio::time::sleep(READ_EVERY).await;
        assert_eq!(file.header(), "Bearer three");
    }
}
