//! What can go wrong with the audit log's files.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why something could not be done with a file of the audit log.
#[derive(Debug, Error)]
pub enum AuditFileError {
    /// The directory of the file can't be made.
    #[error(
        "cannot make the directory {} of the audit log: {source}: make it, or name another file with --audit-log-path",
        path.display()
    )]
    MakeDirectory {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file can't be opened.
    #[error(
        "cannot open the audit log {}: {source}: let this process write to it, or name another file with --audit-log-path",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The path doesn't end in a name that backups can be named after.
    #[error(
        "the audit log {} has a name that is not UTF-8: name another file with --audit-log-path",
        path.display()
    )]
    FileName {
        /// The file.
        path: PathBuf,
    },
    /// The thread that compresses and deletes backups can't be started.
    #[error(
        "cannot start the thread that compresses and deletes backups of the audit log: {source}: let this process have another thread"
    )]
    Thread {
        /// The system's answer.
        source: io::Error,
    },
    /// Lines can't be written.
    #[error(
        "cannot write to the audit log {}: {source}: make room for it, or have its file replaced and send SIGHUP",
        path.display()
    )]
    Write {
        /// The file, or what stands for standard output.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A full file can't be put away.
    #[error(
        "cannot rename the audit log {} to a backup, it grows past its size: {source}: let this process write to the directory",
        path.display()
    )]
    PutAway {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A new file can't be begun in the place of a full one.
    #[error(
        "cannot begin a new audit log {}, the old one grows past its size: {source}: let this process write to the directory",
        path.display()
    )]
    Begin {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Backups can't be looked for.
    #[error(
        "cannot look for backups of the audit log in {}: {source}: let this process read the directory",
        path.display()
    )]
    List {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A backup can't be deleted.
    #[error(
        "cannot delete the backup {} of the audit log: {source}: delete it by hand, or let this process write to the directory",
        path.display()
    )]
    Delete {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A backup can't be compressed.
    #[error(
        "cannot compress the backup {} of the audit log, it stays as it is: {source}: make room on the disk, and let this process read the file and write to the directory",
        path.display()
    )]
    Compress {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Lines were not all taken.
#[derive(Debug, Error)]
#[error("{source}")]
pub(crate) struct AppendError {
    /// So many bytes of them were, which are whole lines. They are not to be given again.
    pub(crate) taken: usize,
    /// Why the rest was not.
    pub(crate) source: AuditFileError,
}
