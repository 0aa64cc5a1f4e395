//! The HTTP proxy that the environment names (golang.org/x/net/http/httpproxy, grpc-go).

use std::fmt;

use super::address::{join_host_port, parse_port, split_host_port};
use super::no_proxy::NoProxy;
use crate::percent;

/// What grpc-go dials when the proxy's URL names no port.
const DEFAULT_PORT: u16 = 443;

/// The proxy for connections to the proxy server, from `HTTPS_PROXY` and `NO_PROXY`. The default is none.
///
/// Shown without the password.
#[derive(Clone, Default)]
pub struct ProxyEnvironment {
    proxy: Option<Proxy>,
    exempt: NoProxy,
}

/// An HTTP proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`, if the URL has a user.
    pub(super) authorization: Option<String>,
}

/// `HTTPS_PROXY` has a value that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxy {
    /// Another way to speak to the proxy than HTTP in plain text.
    #[error(
        "HTTPS_PROXY: proxies with scheme {0:?} are not supported, give one that begins with http://"
    )]
    Scheme(String),
    /// There is no host and port to connect to; the URL is not repeated, for it may hold a password.
    #[error("HTTPS_PROXY: not a URL of the form http://[user:password@]host[:port]")]
    Host,
}

impl ProxyEnvironment {
    /// Takes `HTTPS_PROXY` and `NO_PROXY`, or their lower-case forms, from `variable`, such as
    /// `|name| std::env::var(name).ok()`. A variable that is empty counts as not set.
    ///
    /// # Errors
    /// The proxy can't be used.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidProxy> {
        let either = |upper, lower| {
            let set = |name| variable(name).filter(|value| !value.is_empty());
            set(upper).or_else(|| set(lower)).unwrap_or_default()
        };
        Self::new(
            &either("HTTPS_PROXY", "https_proxy"),
            &either("NO_PROXY", "no_proxy"),
        )
    }

    /// The values of `HTTPS_PROXY` and `NO_PROXY`, empty if not set.
    ///
    /// # Errors
    /// The proxy can't be used.
    pub fn new(https_proxy: &str, no_proxy: &str) -> Result<Self, InvalidProxy> {
        let proxy = match https_proxy {
            "" => None,
            url => Some(Proxy::parse(url)?),
        };
        Ok(Self {
            proxy,
            exempt: NoProxy::parse(no_proxy),
        })
    }

    /// The proxy, `host:port`, that connections to this host take; `None` if they are direct. For logs: an
    /// operator may not know of the variables.
    #[must_use]
    pub fn route(&self, host: &str, port: u16) -> Option<String> {
        self.proxy_for(host, port).map(Proxy::address)
    }

    pub(super) fn proxy_for(&self, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = self.proxy.as_ref()?;
        (!self.exempt.exempts(host, port)).then_some(proxy)
    }
}

impl fmt::Debug for ProxyEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyEnvironment")
            .field("proxy", &self.proxy.as_ref().map(Proxy::address))
            .field("exempt", &self.exempt)
            .finish()
    }
}

impl Proxy {
    pub(super) fn address(&self) -> String {
        join_host_port(&self.host, self.port)
    }

    fn parse(url: &str) -> Result<Self, InvalidProxy> {
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) => return Err(InvalidProxy::Scheme(scheme.to_owned())),
            // Go takes `host:port` for `http://host:port`.
            None => url,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host_port) = match authority.rsplit_once('@') {
            Some((user, host_port)) => (Some(user), host_port),
            None => (None, authority),
        };
        let (host, port) = match split_host_port(host_port) {
            Ok((host, "")) => (host, DEFAULT_PORT),
            Ok((host, port)) => (host, parse_port(port).map_err(|_| InvalidProxy::Host)?),
            Err(_) => (
                without_port(host_port).ok_or(InvalidProxy::Host)?,
                DEFAULT_PORT,
            ),
        };
        if host.is_empty() || host.contains(|letter: char| letter.is_whitespace()) {
            return Err(InvalidProxy::Host);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            authorization: user.map(basic),
        })
    }
}

/// The host of an authority that has no port.
fn without_port(authority: &str) -> Option<&str> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None => authority.split_once(':').is_none().then_some(authority)?,
    };
    (!host.contains(['[', ']'])).then_some(host)
}

/// RFC 7617; a user without a password has an empty one.
fn basic(user: &str) -> String {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut credentials = percent::decode(name);
    credentials.push(b':');
    credentials.extend(percent::decode(password));
    format!("Basic {}", base64(&credentials))
}

/// RFC 4648, with padding. Too little to ask a crate for.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let digit = (group >> (18 - 6 * position)) & 63;
            // A chunk of n bytes makes n + 1 digits.
            text.push(if position <= chunk.len() {
                char::from(ALPHABET[digit as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_a_proxy_as_in_grpc_go() {
        let cases = [
            ("http://proxy:3128", "proxy:3128"),
            ("http://proxy:3128/path?query", "proxy:3128"),
            ("HTTP://proxy", "proxy:443"),
            ("proxy:3128", "proxy:3128"),
            ("10.0.0.1", "10.0.0.1:443"),
            ("http://[2001:db8::1]:3128", "[2001:db8::1]:3128"),
            ("http://[2001:db8::1]", "[2001:db8::1]:443"),
            ("http://user:secret@proxy:3128", "proxy:3128"),
            ("http://a@b@proxy:", "proxy:443"),
        ];
        for (url, proxy) in cases {
            let environment = ProxyEnvironment::new(url, "").unwrap();
            assert_eq!(environment.route("server", 8091).as_deref(), Some(proxy));
            assert_eq!(environment.route("localhost", 8091), None);
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_a_password() {
        for url in [
            "http://",
            "http://:3128",
            "http://u:secret@pro xy",
            "http://a:b:c",
            "http://p:x",
        ] {
            assert_eq!(Proxy::parse(url).err(), Some(InvalidProxy::Host), "{url}");
        }
        let socks = Proxy::parse("socks5://u:secret@proxy").err().unwrap();
        assert!(!socks.to_string().contains("secret"));
        assert_eq!(socks, InvalidProxy::Scheme("socks5".to_owned()));
    }

    #[test]
    fn variables_are_taken_in_either_case() {
        let variable = |name: &str| match name {
            "HTTPS_PROXY" => Some(String::new()),
            "https_proxy" => Some("http://lower:1".to_owned()),
            "NO_PROXY" => Some("direct".to_owned()),
            _ => None,
        };
        let environment = ProxyEnvironment::from_variables(variable).unwrap();
        assert_eq!(environment.route("server", 1).as_deref(), Some("lower:1"));
        assert_eq!(environment.route("direct", 1), None);
        let none = ProxyEnvironment::from_variables(|_| None).unwrap();
        assert_eq!(none.route("server", 1), None);
    }

    #[test]
    fn credentials_are_decoded_and_encoded() {
        // RFC 7617, section 2.
        let aladdin = basic("Aladdin:open%20sesame");
        assert_eq!(aladdin, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        // RFC 4648, section 10.
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (text, encoded) in vectors {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let environment = ProxyEnvironment::new("http://user:secret@proxy:3128", "").unwrap();
        let shown = format!("{environment:?}");
        assert!(
            shown.contains("proxy:3128") && !shown.contains("secret"),
            "{shown}"
        );
        assert!(!shown.contains("Basic"), "{shown}");
    }
}
