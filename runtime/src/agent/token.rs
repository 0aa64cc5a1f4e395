//! The token that an agent shows.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::server::BearerToken;

/// A token file may have so many bytes; a token of Kubernetes has one or two thousand.
const MAX_BYTES: u64 = 64 * 1024;

/// The token in a file, without the white space around it: files tend to end with a newline, which no header can carry.
///
/// # Errors
/// The file can't be read, is larger than 64 KiB, or has no token.
pub fn read_token(path: &Path) -> io::Result<BearerToken> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(MAX_BYTES + 1);
    file.read_to_string(&mut text)?;
    if file.limit() == 0 {
        let too_large = format!("is larger than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, too_large));
    }
    let token = text.trim();
    if token.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is empty"));
    }
    Ok(BearerToken::from(token))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_token_is_what_is_in_the_file_without_its_white_space() {
        let folder = std::env::temp_dir().join(format!("dialback-token-{}", std::process::id()));
        let read = |content: &[u8]| {
            File::create(&folder).unwrap().write_all(content).unwrap();
            let token = read_token(&folder).map_err(|error| error.to_string());
            std::fs::remove_file(&folder).unwrap();
            token
        };
        let most = usize::try_from(MAX_BYTES).unwrap();
        assert_eq!(read(b" a.b\n"), Ok(BearerToken::from("a.b")));
        assert_eq!(read(&vec![b'a'; most]).unwrap().secret().len(), most);
        let refused = |text: &str| Err(text.to_owned());
        assert_eq!(
            read(&vec![b'a'; most + 1]),
            refused("is larger than 65536 bytes")
        );
        assert_eq!(read(b"\n"), refused("is empty"));
        assert_eq!(read(b"\xff"), refused("stream did not contain valid UTF-8"));
        assert!(read_token(&folder).is_err(), "there is no file");
    }
}
