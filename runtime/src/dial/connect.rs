//! Asking an HTTP proxy for a tunnel (RFC 9110, section 9.3.6).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::proxy::Proxy;
use super::server::ProxyDialError;
use crate::net::Socket;

/// What a proxy's response may have in bytes before the tunnel.
const MAX_RESPONSE: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Sends `CONNECT target` and takes the response; the socket is a tunnel to the target then.
pub(super) async fn connect<S: Socket>(
    socket: &mut S,
    proxy: &Proxy,
    target: &str,
) -> Result<(), ProxyDialError> {
    let io = |error| ProxyDialError::Connection {
        proxy: proxy.address(),
        error,
    };
    socket
        .write_all(&request(proxy, target))
        .await
        .map_err(io)?;
    socket.flush().await.map_err(io)?;
    let mut received = Vec::with_capacity(512);
    loop {
        if socket.read_buf(&mut received).await.map_err(io)? == 0 {
            return Err(io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        match response(&received) {
            Ok(Some(Response {
                code: 200, length, ..
            })) if length == received.len() => return Ok(()),
            // TLS clients speak first: nothing of the server can be behind the header.
            Ok(Some(Response { code: 200, .. })) | Err(()) => {
                return Err(ProxyDialError::Malformed {
                    proxy: proxy.address(),
                });
            }
            Ok(Some(Response { code, reason, .. })) => {
                return Err(ProxyDialError::Refused {
                    proxy: proxy.address(),
                    target: target.to_owned(),
                    code,
                    reason,
                });
            }
            Ok(None) if received.len() < MAX_RESPONSE => {}
            Ok(None) => {
                return Err(ProxyDialError::Malformed {
                    proxy: proxy.address(),
                });
            }
        }
    }
}

fn request(proxy: &Proxy, target: &str) -> Vec<u8> {
    let mut request = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: dialback/{}\r\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(authorization) = &proxy.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

struct Response {
    code: u16,
    reason: String,
    /// Bytes of the header.
    length: usize,
}

/// `None` while it is not complete.
fn response(received: &[u8]) -> Result<Option<Response>, ()> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(received) {
        Ok(httparse::Status::Complete(length)) => Ok(Some(Response {
            code: response.code.unwrap_or_default(),
            reason: response.reason.unwrap_or_default().to_owned(),
            length,
        })),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(()),
    }
}
