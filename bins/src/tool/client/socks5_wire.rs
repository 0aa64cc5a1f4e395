//! SOCKS5 (RFC 1928) with user and password (RFC 1929), as far as a server of CONNECT needs it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::password::Credentials;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;

/// Why a client was sent away.
#[derive(Debug, Error)]
pub(super) enum SocksError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not a SOCKS5 client")]
    Version,
    #[error("the client offers no way to authenticate that is accepted")]
    Method,
    #[error("wrong user or password")]
    Credentials,
    #[error("only CONNECT is served")]
    Command,
    #[error("unknown kind of address")]
    Address,
}

/// What a request is answered with (RFC 1928, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reply {
    Succeeded = 0,
    GeneralFailure = 1,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    CommandNotSupported = 7,
    AddressTypeNotSupported = 8,
}

/// Reads up to the request, and tells what is to be dialled: `host:port`.
pub(super) async fn accept<S>(client: &mut S, access: &Credentials) -> Result<String, SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    greet(client, access).await?;
    let [version, command, _, kind] = read(client).await?;
    if version != VERSION {
        return Err(SocksError::Version);
    }
    let host = match kind {
        1 => Ipv4Addr::from(read::<4, _>(client).await?).to_string(),
        4 => format!("[{}]", Ipv6Addr::from(read::<16, _>(client).await?)),
        3 => {
            let name = read_string(client).await?;
            String::from_utf8(name).map_err(|_| SocksError::Address)?
        }
        _ => {
            reply(client, Reply::AddressTypeNotSupported).await?;
            return Err(SocksError::Address);
        }
    };
    let port = u16::from_be_bytes(read(client).await?);
    if command != CONNECT {
        reply(client, Reply::CommandNotSupported).await?;
        return Err(SocksError::Command);
    }
    Ok(format!("{host}:{port}"))
}

async fn greet<S>(client: &mut S, access: &Credentials) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let [version] = read(client).await?;
    if version != VERSION {
        return Err(SocksError::Version);
    }
    let methods = read_string(client).await?;
    let method = if access.are_needed() {
        USER_AND_PASSWORD
    } else {
        NO_AUTHENTICATION
    };
    if !methods.contains(&method) {
        send(client, &[VERSION, NO_ACCEPTABLE_METHOD]).await?;
        return Err(SocksError::Method);
    }
    send(client, &[VERSION, method]).await?;
    if method == USER_AND_PASSWORD {
        let [version] = read(client).await?;
        let user = read_string(client).await?;
        let password = read_string(client).await?;
        let admitted = version == 1 && access.admit(&user, &password);
        send(client, &[1, u8::from(!admitted)]).await?;
        if !admitted {
            return Err(SocksError::Credentials);
        }
    }
    Ok(())
}

/// Answers the request. The address that the connection has at the agent is not known here: it says 0.0.0.0:0.
pub(super) async fn reply(client: &mut (impl AsyncWrite + Unpin), reply: Reply) -> io::Result<()> {
    send(client, &[VERSION, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

async fn send(client: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes).await?;
    client.flush().await
}

async fn read<const N: usize, S: AsyncRead + Unpin>(client: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A byte of length, and as many bytes.
async fn read_string(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(client.read_u8().await?)];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use tokio::io::duplex;

    use super::*;

    async fn said(client: &[u8], access: Credentials) -> (Result<String, SocksError>, Vec<u8>) {
        let (mut ours, mut theirs) = duplex(1024);
        theirs.write_all(client).await.unwrap();
        theirs.shutdown().await.unwrap();
        let accepted = accept(&mut ours, &access).await;
        drop(ours);
        let mut answers = Vec::new();
        theirs.read_to_end(&mut answers).await.unwrap();
        (accepted, answers)
    }

    #[tokio::test]
    async fn all_kinds_of_addresses_are_taken() {
        for (request, address) in [
            (
                &b"\x05\x01\x00\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50"[..],
                "10.0.0.1:80",
            ),
            (
                b"\x05\x02\x02\x00\x05\x01\x00\x03\x03web\x01\xbb",
                "web:443",
            ),
            (
                b"\x05\x01\x00\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x16",
                "[::1]:22",
            ),
        ] {
            let (accepted, answers) = said(request, Credentials::none()).await;
            assert_eq!(accepted.unwrap(), address);
            assert_eq!(answers, b"\x05\x00");
        }
    }

    #[tokio::test]
    async fn user_and_password_are_checked() {
        let access = || Credentials::of("me", "secret");
        let with = |password: &[u8]| {
            let mut bytes = b"\x05\x01\x02\x01\x02me".to_vec();
            bytes.push(u8::try_from(password.len()).unwrap());
            bytes.extend_from_slice(password);
            bytes.extend_from_slice(b"\x05\x01\x00\x03\x01a\x00\x01");
            bytes
        };
        let (accepted, answers) = said(&with(b"secret"), access()).await;
        assert_eq!(accepted.unwrap(), "a:1");
        assert_eq!(answers, b"\x05\x02\x01\x00");
        for wrong in [&b""[..], b"secre", b"secret2", b"secretsecret", b"Secret"] {
            let (accepted, answers) = said(&with(wrong), access()).await;
            assert!(matches!(accepted, Err(SocksError::Credentials)));
            assert_eq!(answers, b"\x05\x02\x01\x01");
        }
        let (accepted, answers) = said(b"\x05\x01\x00", access()).await;
        assert!(matches!(accepted, Err(SocksError::Method)));
        assert_eq!(answers, b"\x05\xff");
    }

    #[tokio::test]
    async fn what_is_not_served_is_refused() {
        let greeting = b"\x05\x01\x00".to_vec();
        let said =
            |rest: &'static [u8]| said([&greeting[..], rest].concat().leak(), Credentials::none());
        let (bind, answers) = said(b"\x05\x02\x00\x01\0\0\0\0\0\0").await;
        assert!(matches!(bind, Err(SocksError::Command)));
        assert_eq!(answers[2..4], *b"\x05\x07");
        let (kind, answers) = said(b"\x05\x01\x00\x02").await;
        assert!(matches!(kind, Err(SocksError::Address)));
        assert_eq!(answers[2..4], *b"\x05\x08");
        let (cut, _) = said(b"\x05\x01\x00\x03\xffweb").await;
        assert!(matches!(cut, Err(SocksError::Io(_))));
        let (socks4, answers) = self::said(b"\x04\x01\x00\x50", Credentials::none()).await;
        assert!(matches!(socks4, Err(SocksError::Version)));
        assert_eq!(answers, b"");
    }
}
