#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::*;

/// A directory of its own for a test, removed with all that is in it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!(
            "dialback-listen-{}-{}",
            std::process::id(),
            fastrand::u64(..)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file_count(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// True when what connects to `path` reaches `socket`.
fn serves(socket: &UnixSocket, path: &Path) -> bool {
    let Ok(mut client) = UnixStream::connect(path) else {
        return false;
    };
    client.write_all(b"x").unwrap();
    let Ok((mut accepted, _)) = socket.listener.accept() else {
        return false;
    };
    accepted.set_nonblocking(false).unwrap();
    let mut byte = [0];
    accepted.read_exact(&mut byte).unwrap();
    byte == *b"x"
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_socket_lets_owner_and_group_in_and_goes_with_its_owner() {
    let directory = Directory::new();
    for existing in [ExistingFile::Keep, ExistingFile::ReplaceSocket] {
        let path = directory.path("s.sock");
        let socket = bind_unix(&path, existing).unwrap();
        assert!(serves(&socket, &path));
        assert_eq!(mode(&path), 0o770);
        assert_eq!(directory.file_count(), 1, "nothing but the socket is left");
        drop(socket);
        assert_eq!(directory.file_count(), 0);
    }
}

#[test]
fn a_live_socket_is_replaced_and_outlives_the_one_before() {
    let directory = Directory::new();
    let path = directory.path("s.sock");
    let old = bind_unix(&path, ExistingFile::ReplaceSocket).unwrap();
    let new = bind_unix(&path, ExistingFile::ReplaceSocket).unwrap();
    assert!(serves(&new, &path));
    drop(old);
    assert!(serves(&new, &path), "its file is still there");
}

#[test]
fn without_replacement_any_file_is_in_the_way() {
    let directory = Directory::new();
    let path = directory.path("s.sock");
    let text = format!(
        "listen unix {}: bind: address already in use",
        path.display()
    );
    // A stale socket: its owner is gone, its file is not.
    drop(UnixListener::bind(&path).unwrap());
    let error = bind_unix(&path, ExistingFile::Keep).unwrap_err();
    assert_eq!(error.to_string(), text);
    assert!(path.exists(), "it was left alone");
    bind_unix(&path, ExistingFile::ReplaceSocket).unwrap();
}

#[test]
fn only_sockets_are_replaced() {
    let directory = Directory::new();
    let (file, link) = (directory.path("file"), directory.path("link"));
    fs::write(&file, "precious").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for (path, kind) in [
        (&file, "a regular file"),
        (&link, "a symbolic link"),
        (&directory.0, "a directory"),
    ] {
        let text = bind_unix(path, ExistingFile::ReplaceSocket)
            .unwrap_err()
            .to_string();
        let start = format!(
            "listen unix {}: {kind} is there, not a socket",
            path.display()
        );
        assert!(text.starts_with(&start), "{text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(directory.file_count(), 2);
}

#[test]
fn a_missing_directory_reads_as_in_go() {
    let directory = Directory::new();
    let path = directory.path("missing/s.sock");
    for existing in [ExistingFile::Keep, ExistingFile::ReplaceSocket] {
        let error = bind_unix(&path, existing).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "listen unix {}: bind: no such file or directory",
                path.display()
            )
        );
    }
}

#[test]
fn paths_as_long_as_the_system_allows_work() {
    let directory = Directory::new();
    let base = directory.path("").as_os_str().len();
    let longest = directory.path(&"n".repeat(ListenCause::MAX_PATH - base));
    assert_eq!(longest.as_os_str().len(), 107);
    let socket = bind_unix(&longest, ExistingFile::ReplaceSocket).unwrap();
    assert!(serves(&socket, &longest));

    let deep = directory.path(&"d".repeat(ListenCause::MAX_PATH - base - 2));
    fs::create_dir(&deep).unwrap();
    let shortest_name = deep.join("s");
    assert_eq!(shortest_name.as_os_str().len(), 107);
    let socket = bind_unix(&shortest_name, ExistingFile::ReplaceSocket).unwrap();
    assert!(serves(&socket, &shortest_name));

    let too_long = directory.path(&"n".repeat(ListenCause::MAX_PATH - base + 1));
    let text = bind_unix(&too_long, ExistingFile::Keep)
        .unwrap_err()
        .to_string();
    assert!(text.contains("the path is 108 bytes long"), "{text}");
}

#[test]
fn an_at_sign_names_an_abstract_socket() {
    let name = format!("dialback-{}-{}", std::process::id(), fastrand::u64(..));
    let path = PathBuf::from(format!("@{name}"));
    let socket = bind_unix(&path, ExistingFile::ReplaceSocket).unwrap();
    assert!(socket.file.is_none());
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    UnixStream::connect_addr(&address).unwrap();
    let error = bind_unix(&path, ExistingFile::ReplaceSocket).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("listen unix @{name}: bind: address already in use")
    );
}
