//! Who may use a local proxy.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::ClientError;
use super::listener::Local;

/// Flags of a listener that others may be able to reach.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Access {
    /// Where to listen: [ADDR:]PORT on the loopback address, or the path of a Unix socket
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Local,

    /// The user that clients have to give; needed on addresses that other machines reach
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,

    /// A file with the password of that user in its first line
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

/// What a client has to know, if anything.
#[derive(Clone, Debug)]
pub(crate) struct Credentials(Option<Arc<(Vec<u8>, Vec<u8>)>>);

impl Access {
    /// # Errors
    /// The password can't be read, or there is none where there has to be.
    pub(crate) fn credentials(&self) -> Result<Credentials, ClientError> {
        let (Some(user), Some(file)) = (&self.user, &self.password_file) else {
            return if self.listen.is_loopback() {
                Ok(Credentials(None))
            } else {
                Err(ClientError::Usage(
                    "on an address that is not loopback, --user and --password-file are needed",
                ))
            };
        };
        let text = fs::read_to_string(file).map_err(|error| ClientError::File {
            file: file.display().to_string(),
            error,
        })?;
        let password = text.lines().next().unwrap_or_default();
        // RFC 1929 has a byte for the length of each.
        if password.is_empty() || password.len() > 255 || user.is_empty() || user.len() > 255 {
            return Err(ClientError::Usage(
                "user and password are to have 1 to 255 bytes",
            ));
        }
        let both = (user.clone().into_bytes(), password.as_bytes().to_vec());
        Ok(Credentials(Some(Arc::new(both))))
    }
}

impl Credentials {
    pub(crate) const fn are_needed(&self) -> bool {
        self.0.is_some()
    }

    /// Whether these are they; the time it takes does not tell how much of them is right.
    pub(crate) fn admit(&self, user: &[u8], password: &[u8]) -> bool {
        self.0.as_deref().is_none_or(|(known, secret)| {
            // Both, always.
            same(known, user) & same(secret, password)
        })
    }

    #[cfg(test)]
    pub(super) fn of(user: &str, password: &str) -> Self {
        Self(Some(Arc::new((user.into(), password.into()))))
    }

    #[cfg(test)]
    pub(super) const fn none() -> Self {
        Self(None)
    }
}

fn same(known: &[u8], given: &[u8]) -> bool {
    let mut differences = known.len() ^ given.len();
    for (at, byte) in given.iter().enumerate() {
        differences |= usize::from(byte ^ known[at % known.len()]);
    }
    differences == 0
}
