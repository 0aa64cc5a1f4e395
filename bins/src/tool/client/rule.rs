//! What `dialback forward` forwards: `[ADDR:]PORT:HOST:PORT`, as ssh has it.

use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use super::listener::Local;

/// From a local listener to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) local: Local,
    /// `HOST:PORT`, resolved where the agent is.
    pub(crate) endpoint: String,
}

/// A text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not [ADDR:]PORT:HOST:PORT or PATH:HOST:PORT")]
pub(crate) struct InvalidRule(String);

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let invalid = || InvalidRule(text.to_owned());
        let mut fields = fields(text).ok_or_else(invalid)?;
        let port = fields.pop().ok_or_else(invalid)?;
        let host = fields.pop().ok_or_else(invalid)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(invalid());
        }
        let local = match fields[..] {
            [path] if path.contains('/') => Local::Unix(PathBuf::from(path)),
            [port] => Local::tcp("", port).ok_or_else(invalid)?,
            [address, port] => Local::tcp(address, port).ok_or_else(invalid)?,
            _ => return Err(invalid()),
        };
        Ok(Self {
            local,
            endpoint: format!("{host}:{port}"),
        })
    }
}

/// Splits at colons outside of brackets; the brackets stay.
fn fields(text: &str) -> Option<Vec<&str>> {
    let mut fields = Vec::new();
    let (mut start, mut bracketed) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' if !bracketed => bracketed = true,
            b']' if bracketed => bracketed = false,
            b'[' | b']' => return None,
            b':' if !bracketed => {
                fields.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&text[start..]);
    (!bracketed).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_ssh_reads_them() {
        let tcp = |host: &str, port| Local::Tcp {
            host: host.to_owned(),
            port,
        };
        let table = [
            ("8080:web:80", tcp("127.0.0.1", 8080), "web:80"),
            ("0:web:80", tcp("127.0.0.1", 0), "web:80"),
            ("127.0.0.2:1:[::1]:80", tcp("127.0.0.2", 1), "[::1]:80"),
            ("[::1]:1:web:80", tcp("::1", 1), "web:80"),
            ("localhost:1:web:80", tcp("localhost", 1), "web:80"),
            (
                "/run/a.sock:web:80",
                Local::Unix(PathBuf::from("/run/a.sock")),
                "web:80",
            ),
        ];
        for (text, local, endpoint) in table {
            let endpoint = endpoint.to_owned();
            assert_eq!(text.parse(), Ok(Rule { local, endpoint }), "{text}");
        }
        for text in [
            "",
            "80",
            "web:80",
            "x:web:80",
            "65536:web:80",
            "1:web:",
            "1:web:http",
            "1::80",
            "1:2:3:web:80",
            "[::1:1:web:80",
            "::1:1:web:80",
            "1:[[a]]:80",
        ] {
            assert_eq!(text.parse::<Rule>(), Err(InvalidRule(text.to_owned())));
        }
    }
}
