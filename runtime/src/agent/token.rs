//! The token that an agent shows.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::server::BearerToken;

/// A token file is read up to this size; more is no token.
const MAX_BYTES: u64 = 1024 * 1024;

/// The token in a file, without the white space around it: files tend to end with a newline, which no header can carry.
///
/// # Errors
/// The file can't be read, or has no token.
pub fn read_token(path: &Path) -> io::Result<BearerToken> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_BYTES)
        .read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is empty"));
    }
    Ok(BearerToken::from(token))
}
