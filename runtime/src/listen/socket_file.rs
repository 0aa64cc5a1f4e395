//! The file of a Unix socket, unlinked by its owner alone.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The file of a Unix socket that this process bound. Dropped, it is unlinked, unless another file has taken
/// its place: when a successor is up already, its socket must stay.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Takes over the socket that was just bound at `path`.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Moves the file, over whatever is at `path`.
    pub(super) fn rename(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        path.clone_into(&mut self.path);
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_own(&self, metadata: &Metadata) -> bool {
        metadata.dev() == self.device && metadata.ino() == self.inode
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if self.is_own(&metadata) => {
                if let Err(error) = fs::remove_file(&self.path) {
                    tracing::warn!(path = %self.path.display(), %error, "socket file can't be removed");
                }
            }
            Ok(_) => {
                tracing::info!(path = %self.path.display(), "socket file belongs to another process now, it stays");
            }
            // Somebody removed it before.
            Err(_) => {}
        }
    }
}
