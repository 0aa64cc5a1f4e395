//! The open file.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Seek as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    fchown,
};
use std::path::Path;

use super::STANDARD_OUTPUT;
use super::error::AuditFileError;
use super::lines::Sink;
use super::place::{self, Place};

/// Records name frontends and destinations: they are for the owner's eyes.
pub(super) const FILE_MODE: u32 = 0o600;

/// The same for directories that are made for the file.
const DIRECTORY_MODE: u32 = 0o700;

/// What lines go to.
#[derive(Debug)]
pub(super) enum Output {
    /// A file, which is put away when it is full.
    Regular(RegularFile),
    /// Standard output, a pipe or a device: what is written is gone.
    Stream(File),
}

/// An output, as it was found.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) output: Output,
    /// Whether it ends within a line.
    pub(super) is_torn: bool,
    /// Where it is, if it is a regular file.
    pub(super) place: Option<Place>,
}

impl Opened {
    /// Standard output. Rust's own would keep what it can't write, so that nobody knew what is written.
    pub(super) fn standard_output() -> Result<Self, AuditFileError> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned();
        let descriptor = descriptor.map_err(|source| AuditFileError::Open {
            path: STANDARD_OUTPUT.into(),
            source,
        })?;
        Ok(Self {
            output: Output::Stream(File::from(descriptor)),
            is_torn: false,
            place: None,
        })
    }

    /// The file at this path, made if there is none, to be continued at its end.
    pub(super) fn at(path: &Path) -> Result<Self, AuditFileError> {
        make_directory(path)?;
        let failed = |source| AuditFileError::Open {
            path: path.to_owned(),
            source,
        };
        let resolved = place::resolve(path);
        let file = open_at_end(&resolved).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Ok(Self {
                output: Output::Stream(file),
                is_torn: false,
                place: None,
            });
        }
        let file = RegularFile::new(file, &metadata);
        Ok(Self {
            is_torn: file.ends_within_line(),
            output: Output::Regular(file),
            place: Some(Place::new(resolved)?),
        })
    }
}

impl Output {
    /// Whether both write to one file.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self.file().metadata(), other.file().metadata()) {
            (Ok(ours), Ok(theirs)) => is_same_file(&ours, &theirs),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    fn file(&self) -> &File {
        match self {
            Self::Regular(RegularFile { file, .. }) | Self::Stream(file) => file,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Regular(file) => file.write(bytes),
            Self::Stream(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Output {
    fn cut_back(&mut self, bytes: usize) -> io::Result<()> {
        match self {
            Self::Regular(file) => file.cut_back(bytes),
            Self::Stream(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A file on a disk, written at its end.
///
/// It has a shared lock as long as it is open: a file that was renamed, and looks like a backup, isn't compressed under
/// the hands of who writes to it. Where there are no locks, it goes without.
#[derive(Debug)]
pub(super) struct RegularFile {
    file: File,
    /// Where what was written last ended.
    end: u64,
    /// Nobody else wrote between here and the end.
    ours_from: u64,
}

impl RegularFile {
    /// A new file where none may be, with the owner and the permissions of another if that can be.
    pub(super) fn create(path: &Path, like: &Self) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)?;
        take_after(&file, &like.file.metadata()?);
        let metadata = file.metadata()?;
        Ok(Self::new(file, &metadata))
    }

    fn new(file: File, metadata: &Metadata) -> Self {
        let _ = file.try_lock_shared();
        Self {
            file,
            end: metadata.len(),
            ours_from: metadata.len(),
        }
    }

    /// Its size, as far as known without asking.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    /// Asks for its size, which others may have changed.
    pub(super) fn has_changed_size(&mut self) -> bool {
        let Ok(metadata) = self.file.metadata() else {
            return false;
        };
        let has_changed = metadata.len() != self.end;
        if has_changed {
            self.end = metadata.len();
            self.ours_from = self.end;
        }
        has_changed
    }

    /// Whether it is the file of this path, which isn't followed if it is a link.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        is_at(&self.file, path)
    }

    /// Whether the next line would become a part of one that is there. If that can't be seen, it is taken for so: an empty
    /// line does less harm.
    fn ends_within_line(&self) -> bool {
        let Some(last) = self.end.checked_sub(1) else {
            return false;
        };
        let mut byte = [0];
        let read = self.file.read_exact_at(&mut byte, last);
        read.is_err() || byte != [b'\n']
    }

    fn cut_back(&mut self, bytes: usize) -> io::Result<()> {
        let whole = self.end.checked_sub(bytes as u64);
        let whole = whole.filter(|whole| *whole >= self.ours_from);
        // Others who write to the file, or empty it, shall not lose by it.
        match whole {
            Some(whole) if self.file.metadata()?.len() == self.end => {
                self.file.set_len(whole)?;
                self.end = whole;
                Ok(())
            }
            Some(_) | None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        // What goes to the end of a file leaves the position behind itself, wherever the end was.
        let end = self.file.stream_position();
        let end = end.unwrap_or(self.end.saturating_add(written as u64));
        let begin = end.saturating_sub(written as u64);
        if begin != self.end {
            self.ours_from = begin;
        }
        self.end = end;
        Ok(written)
    }
}

impl Drop for RegularFile {
    fn drop(&mut self) {
        // A child process that is just being started has the descriptor, too, and would keep the lock.
        let _ = self.file.unlock();
    }
}

/// Whether an open file is that of this path, which isn't followed if it is a link.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => is_same_file(&open, &there),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Gives a file the owner and the permissions of another, or neither: who may read is said by both together.
pub(super) fn take_after(file: &File, like: &Metadata) {
    let has_owner = file
        .metadata()
        .is_ok_and(|own| (own.uid(), own.gid()) == (like.uid(), like.gid()));
    if has_owner || fchown(file, Some(like.uid()), Some(like.gid())).is_ok() {
        let _ = file.set_permissions(Permissions::from_mode(like.mode() & 0o777));
    }
}

fn make_directory(path: &Path) -> Result<(), AuditFileError> {
    let directory = place::directory(path);
    let made = DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory);
    made.map_err(|source| AuditFileError::MakeDirectory {
        path: directory.to_owned(),
        source,
    })
}

/// Regular files are opened for reading, too, to see how they end; others must not be: a pipe would seem to have a reader.
fn open_at_end(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(FILE_MODE);
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return options.open(path);
    }
    match options.clone().read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => options.open(path),
        opened => opened,
    }
}
