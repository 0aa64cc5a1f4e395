//! HTTP requests through a proxy server, each over a connection of its own.

use std::io;
use std::path::Path;
use std::sync::Arc;

use dialback_runtime::connectivity::Dialer;
use dialback_runtime::tls::system_cas;
use dialback_tokio::TokioRuntime;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::error::ClientError;
use super::http_request::HttpUrl;
use super::progress::Passed;
use crate::tool::http::{Head, read_head, status};
use crate::tool::tls;

/// What is asked for, and how.
pub(super) struct Exchange {
    method: String,
    user_agent: String,
    target: HttpUrl,
    tls: Option<Tls>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Of the body, in bytes.
    pub(super) length: u64,
}

/// How an https target is spoken with.
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Exchange {
    /// A request to `target`, whose certificate, with https, `ca` has signed or a CA of the system.
    pub(super) fn new(
        method: &str,
        user_agent: &str,
        target: HttpUrl,
        ca: Option<&Path>,
    ) -> Result<Self, ClientError> {
        let tls = match (target.secure, ca) {
            (true, ca) => Some(Tls::new(&target, ca)?),
            (false, None) => None,
            (false, Some(_)) => {
                return Err(ClientError::Usage("--target-ca is for https targets"));
            }
        };
        Ok(Self {
            method: method.to_owned(),
            user_agent: user_agent.to_owned(),
            target,
            tls,
        })
    }

    /// Asks once, and takes the answer to its end; `body` gets the body piece by piece.
    pub(super) async fn once(
        &self,
        dialer: &Dialer<TokioRuntime>,
        passed: &Passed,
        body: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Answer, ClientError> {
        let stream = dialer.dial(&self.target.to).await.map_err(Box::new)?;
        let stream = passed.count(stream);
        let exchange = async {
            match &self.tls {
                None => self.converse(stream, body).await,
                Some(Tls { connector, name }) => {
                    let stream = connector.connect(name.clone(), stream).await?;
                    self.converse(stream, body).await
                }
            }
        };
        exchange.await.map_err(ClientError::Broken)
    }

    async fn converse(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        mut body: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Answer> {
        let (method, user_agent) = (&self.method, &self.user_agent);
        let HttpUrl { path, host, .. } = &self.target;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {user_agent}\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n",
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let Head { head, rest } = read_head(&mut stream).await?;
        let status = status(&head)?;
        let mut length = rest.len() as u64;
        body(&rest)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = match stream.read(&mut buffer).await {
                // Many an https server just closes; the answer was understood before.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                read => read?,
            };
            if read == 0 {
                return Ok(Answer { status, length });
            }
            length += read as u64;
            body(&buffer[..read])?;
        }
    }
}

impl Tls {
    fn new(target: &HttpUrl, ca: Option<&Path>) -> Result<Self, ClientError> {
        let system = system_cas();
        let config = tls::anonymous_client(ca.unwrap_or(&system));
        let config = config.map_err(ClientError::TargetTls)?;
        let name = ServerName::try_from(target.host_name().to_owned());
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: name.map_err(|_| ClientError::Usage("the target is no host name"))?,
        })
    }
}
