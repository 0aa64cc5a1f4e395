//! Unix sockets: a file with a mode that keeps strangers out, put in place in one step.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::error::{ListenCause, ListenError};
use super::socket_file::SocketFile;

/// `srwxrwx---`, what the reference gets by umask 0007: connecting needs the right to write.
const MODE: u32 = 0o770;
/// The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;
/// Names tried for the file that is renamed into place.
const NAME_TRIES: usize = 16;

/// What happens to a file that is at a socket's path already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingFile {
    /// A socket is replaced in one step, so that there is one to connect to at any time; anything else is
    /// left alone, and an error. `--delete-existing-uds-file`.
    ReplaceSocket,
    /// Any file is an error.
    Keep,
}

/// A listening Unix socket.
#[derive(Debug)]
pub struct UnixSocket {
    /// The socket, non-blocking, to be handed to [`Runtime::unix_listener`](crate::Runtime::unix_listener).
    pub listener: UnixListener,
    /// Its file, to be dropped when the listener is; an abstract socket has none.
    pub file: Option<SocketFile>,
}

/// Binds a Unix socket and listens. A path that begins with `@` names a Linux abstract socket, which has no
/// file and which every local process may connect to.
///
/// # Errors
/// [`ListenError`], in Go's words where Go has some.
pub fn bind_unix(path: &Path, existing: ExistingFile) -> Result<UnixSocket, ListenError> {
    bind(path, existing).map_err(|cause| ListenError {
        network: "unix",
        address: path.display().to_string(),
        cause,
    })
}

fn bind(path: &Path, existing: ExistingFile) -> Result<UnixSocket, ListenCause> {
    let length = path.as_os_str().len();
    if length > ListenCause::MAX_PATH {
        return Err(ListenCause::PathTooLong { length });
    }
    if let Some(name) = path.as_os_str().as_bytes().strip_prefix(b"@") {
        return bind_abstract(name);
    }
    let (socket, file) = match existing {
        ExistingFile::Keep => bind_file(path)?,
        ExistingFile::ReplaceSocket => bind_over(path)?,
    };
    Ok(UnixSocket {
        listener: socket.into(),
        file: Some(file),
    })
}

fn bind_abstract(name: &[u8]) -> Result<UnixSocket, ListenCause> {
    let bound = SocketAddr::from_abstract_name(name)
        .and_then(|address| UnixListener::bind_addr(&address))
        .map_err(ListenCause::system("bind"))?;
    bound
        .set_nonblocking(true)
        .map_err(ListenCause::system("socket"))?;
    Ok(UnixSocket {
        listener: bound,
        file: None,
    })
}

/// Binds beside the path and moves the listening socket over it.
fn bind_over(path: &Path) -> Result<(Socket, SocketFile), ListenCause> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let kind = kind(metadata.file_type());
            return Err(ListenCause::NotASocket { kind });
        }
        // Errors other than "not found" come again, with their meaning, from bind or rename.
        Ok(_) | Err(_) => {}
    }
    let (socket, mut file) = bind_beside(path)?;
    file.rename(path).map_err(ListenCause::system("rename"))?;
    Ok((socket, file))
}

fn bind_beside(path: &Path) -> Result<(Socket, SocketFile), ListenCause> {
    let mut tries = NAME_TRIES;
    loop {
        tries -= 1;
        match bind_file(&neighbour(path)?) {
            Err(ListenCause::System { error, .. })
                if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
}

/// A random name in the directory of `path`, no longer than a socket's may be.
fn neighbour(path: &Path) -> Result<PathBuf, ListenCause> {
    let own = path.file_name().ok_or(ListenCause::NoFileName)?;
    let room = ListenCause::MAX_PATH - (path.as_os_str().len() - own.len());
    let name: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(room.min(12))
        .collect();
    Ok(path.with_file_name(OsStr::new(&name)))
}

/// Binds at a path where nothing is, with the mode that the file is to have.
fn bind_file(path: &Path) -> Result<(Socket, SocketFile), ListenCause> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .map_err(ListenCause::system("socket"))?;
    // On Linux the file gets the socket's own mode less the umask: it is at no time open to more than it should.
    set_mode(&socket).map_err(ListenCause::system("chmod"))?;
    let address = SockAddr::unix(path).map_err(ListenCause::system("bind"))?;
    socket.bind(&address).map_err(ListenCause::system("bind"))?;
    let file = SocketFile::new(path).map_err(ListenCause::system("bind"))?;
    // And now what the umask took away.
    fs::set_permissions(path, Permissions::from_mode(MODE))
        .map_err(ListenCause::system("chmod"))?;
    socket
        .listen(BACKLOG)
        .map_err(ListenCause::system("listen"))?;
    Ok((socket, file))
}

fn set_mode(socket: &Socket) -> io::Result<()> {
    let handle = File::from(socket.as_fd().try_clone_to_owned()?);
    handle.set_permissions(Permissions::from_mode(MODE))
}

fn kind(file_type: FileType) -> &'static str {
    if file_type.is_file() {
        "a regular file"
    } else if file_type.is_dir() {
        "a directory"
    } else if file_type.is_symlink() {
        "a symbolic link"
    } else {
        "a special file"
    }
}

#[cfg(test)]
mod tests;
