//! Dials through a proxy server in http-connect mode.

use std::io;

use bytes::{Bytes, BytesMut};
use dialback_core::wire::SERVED_BY;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::dialer::DialerOptions;
use super::error::{DialError, ProxyError};
use super::transport::{ProxyServer, Transport};
use crate::runtime::Runtime;

/// What an answer may have in bytes, the text of a refusal included.
const MAX_ANSWER: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// What a dial came to.
#[derive(Debug)]
pub(super) struct Dialled<R: Runtime> {
    pub(super) transport: Transport<R>,
    /// Bytes that came right behind the answer: the endpoint's first.
    pub(super) early: Bytes,
    /// The agent that serves it, if that was asked for and told.
    pub(super) agent_id: Option<String>,
}

/// Connects to the server and asks it for `address`.
pub(super) async fn dial<R: Runtime>(
    runtime: &R,
    server: &ProxyServer,
    address: &str,
    options: &DialerOptions,
) -> Result<Dialled<R>, DialError> {
    let unreachable = |error| DialError::proxy(&server.name, error);
    let mut transport = server
        .connect(runtime, options.dial_timeout)
        .await
        .map_err(unreachable)?;
    let asked = ask(&mut transport, &server.name, address, options.name_agent).await?;
    let (early, agent_id) = asked;
    Ok(Dialled {
        transport,
        early,
        agent_id,
    })
}

async fn ask(
    transport: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &str,
    address: &str,
    name_agent: bool,
) -> Result<(Bytes, Option<String>), DialError> {
    let unreachable = |error| DialError::proxy(proxy, error);
    let broken = |error| unreachable(ProxyError::Io(error));
    // As kube-apiserver does, with a Host that says nothing.
    let asks = if name_agent {
        format!("{SERVED_BY}: ?\r\n")
    } else {
        String::new()
    };
    let request = format!("CONNECT {address} HTTP/1.1\r\nHost: 127.0.0.1\r\n{asks}\r\n");
    let mut received = BytesMut::with_capacity(1024);
    if let Err(error) = send(transport, request.as_bytes()).await {
        // A server that refuses our certificate in TLS 1.3 says so after the handshake, and closes.
        let refusal = transport.read_buf(&mut received).await.err();
        return Err(broken(refusal.unwrap_or(error)));
    }
    let head = loop {
        let read = transport.read_buf(&mut received).await.map_err(broken)?;
        if let Some(head) = Head::parse(&received).map_err(unreachable)? {
            break head;
        }
        if read == 0 && received.is_empty() {
            return Err(DialError::Abandoned {
                address: address.to_owned(),
                text: "connection closed without an answer".to_owned(),
            });
        }
        if read == 0 || received.len() >= MAX_ANSWER {
            return Err(unreachable(ProxyError::Http(shown(&received))));
        }
    };
    let mut rest = received.split_off(head.length);
    if head.code == 200 {
        return Ok((rest.freeze(), head.agent_id));
    }
    // The reason ends with the connection, and whatever of it can be had is told.
    while rest.len() < head.body.min(MAX_ANSWER) {
        match transport.read_buf(&mut rest).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    let text = shown(&rest);
    let text = if text.is_empty() { head.reason } else { text };
    Err(match head.code {
        401 | 403 | 407 => unreachable(ProxyError::Credentials {
            code: head.code,
            text,
        }),
        429 => DialError::Throttled {
            address: address.to_owned(),
            text,
        },
        504 => DialError::TimedOut {
            address: address.to_owned(),
            text,
        },
        _ => DialError::reported(address, &text),
    })
}

async fn send(transport: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    transport.write_all(bytes).await?;
    transport.flush().await
}

#[derive(Debug)]
struct Head {
    code: u16,
    reason: String,
    /// The agent that serves the connection, as far as told.
    agent_id: Option<String>,
    /// Bytes of the head itself.
    length: usize,
    /// Bytes that the body has at the most.
    body: usize,
}

impl Head {
    /// `None` while it is not complete.
    fn parse(received: &[u8]) -> Result<Option<Self>, ProxyError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(received) {
            Ok(httparse::Status::Complete(length)) => {
                let body = response
                    .headers
                    .iter()
                    .find(|header| header.name.eq_ignore_ascii_case("content-length"))
                    .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
                Ok(Some(Self {
                    code: response.code.unwrap_or_default(),
                    reason: response.reason.unwrap_or_default().to_owned(),
                    agent_id: agent_id(response.headers),
                    length,
                    body: body.unwrap_or(usize::MAX),
                }))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(_) => Err(ProxyError::Http(shown(received))),
        }
    }
}

fn agent_id(headers: &[httparse::Header<'_>]) -> Option<String> {
    let named = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(SERVED_BY))?;
    Some(String::from_utf8_lossy(named.value).into_owned())
}

/// What of the server's bytes goes into a message.
fn shown(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(512)];
    let text = String::from_utf8_lossy(bytes);
    text.trim().replace(|c: char| c.is_control(), " ")
}
