//! System errors in Go's words.
//!
//! Texts of failed dials travel to frontends, where kube-apiserver's logs and Konnectivity's own tests look for
//! Go's (`connect: connection refused`), and the HTTP-CONNECT frontend picks its status by them. The C
//! library's texts are close, but not the same everywhere.

use std::io;

/// The text that Go has for this error (`syscall.Errno.Error`).
pub(crate) fn go_text(error: &io::Error) -> String {
    let Some(number) = error.raw_os_error() else {
        return error.to_string();
    };
    if let Some(text) = known(number) {
        return text.to_owned();
    }
    let text = error.to_string();
    let text = text
        .strip_suffix(&format!(" (os error {number})"))
        .unwrap_or(&text);
    lower_first(text)
}

/// What is common where sockets and files are opened; musl and glibc differ in most of them.
const fn known(number: i32) -> Option<&'static str> {
    Some(match number {
        libc::EPERM => "operation not permitted",
        libc::ENOENT => "no such file or directory",
        libc::EACCES => "permission denied",
        libc::ENOTDIR => "not a directory",
        libc::EISDIR => "is a directory",
        libc::EINVAL => "invalid argument",
        libc::ENFILE => "too many open files in system",
        libc::EMFILE => "too many open files",
        libc::EROFS => "read-only file system",
        libc::EPIPE => "broken pipe",
        libc::ENAMETOOLONG => "file name too long",
        libc::ELOOP => "too many levels of symbolic links",
        libc::EAFNOSUPPORT => "address family not supported by protocol",
        libc::EADDRINUSE => "address already in use",
        libc::EADDRNOTAVAIL => "cannot assign requested address",
        libc::ENETDOWN => "network is down",
        libc::ENETUNREACH => "network is unreachable",
        libc::ECONNABORTED => "software caused connection abort",
        libc::ECONNRESET => "connection reset by peer",
        libc::ENOBUFS => "no buffer space available",
        libc::ETIMEDOUT => "connection timed out",
        libc::ECONNREFUSED => "connection refused",
        libc::EHOSTDOWN => "host is down",
        libc::EHOSTUNREACH => "no route to host",
        _ => return None,
    })
}

/// Go lowers the first letter of the C library's text, unless it begins an abbreviation.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_in_go() {
        let cases = [
            (libc::ECONNREFUSED, "connection refused"),
            (libc::EMFILE, "too many open files"),
            (libc::EADDRNOTAVAIL, "cannot assign requested address"),
            (libc::ENOTEMPTY, "directory not empty"),
        ];
        for (number, text) in cases {
            assert_eq!(go_text(&io::Error::from_raw_os_error(number)), text);
        }
    }

    #[test]
    fn errors_without_a_number_keep_their_text() {
        let error = io::Error::new(io::ErrorKind::InvalidData, "Unusual");
        assert_eq!(go_text(&error), "Unusual");
        let simulated = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(go_text(&simulated), "connection refused");
    }

    #[test]
    fn abbreviations_stay_upper_case() {
        assert_eq!(lower_first("RFS specific error"), "RFS specific error");
        assert_eq!(lower_first("Bad message"), "bad message");
        assert_eq!(lower_first(""), "");
    }
}
