//! Where the file is, and its backups beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dialback_core::audit::{Backup, BackupNames, Form, Stamp};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error::AuditFileError;
use super::output::RegularFile;

/// Names are tried so often that another process takes first.
const MAX_ATTEMPTS: usize = 16;

/// The path of a regular file, and how its backups are called.
#[derive(Clone, Debug)]
pub(super) struct Place {
    file: PathBuf,
    names: BackupNames,
}

/// Where a path leads if it is a link, so that the file is renamed and not the link.
pub(super) fn resolve(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| {
        let directory = fs::canonicalize(directory(path));
        match (directory, path.file_name()) {
            (Ok(directory), Some(name)) => directory.join(name),
            (Err(_), _) | (_, None) => path.to_owned(),
        }
    })
}

/// The directory that a file of this path is in.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}

impl Place {
    /// Of a file whose path is no link.
    pub(super) fn new(file: PathBuf) -> Result<Self, AuditFileError> {
        let name = file.file_name().and_then(|name| name.to_str());
        match name.map(BackupNames::of) {
            Some(names) => Ok(Self { file, names }),
            None => Err(AuditFileError::FileName { path: file }),
        }
    }

    /// Whether the file is still there.
    pub(super) fn holds(&self, file: &RegularFile) -> bool {
        file.is_at(&self.file)
    }

    pub(super) fn directory(&self) -> &Path {
        directory(&self.file)
    }

    pub(super) fn path(&self, backup: Backup) -> PathBuf {
        self.directory().join(self.names.name(backup))
    }

    /// All backups, regular files or not.
    pub(super) fn backups(&self) -> io::Result<Vec<Backup>> {
        let mut backups = Vec::new();
        for entry in fs::read_dir(self.directory())? {
            let name = entry?.file_name();
            backups.extend(name.to_str().and_then(|name| self.names.parse(name)));
        }
        Ok(backups)
    }

    /// Renames the file, which is in its place, to a backup, and has a new one made there.
    pub(super) fn rotate(
        &self,
        now: SystemTime,
        create: impl FnOnce(&Path) -> io::Result<RegularFile>,
    ) -> Result<RegularFile, AuditFileError> {
        let backup = self
            .put_away(now)
            .map_err(|source| AuditFileError::PutAway {
                path: self.file.clone(),
                source,
            })?;
        create(&self.file).map_err(|source| {
            // If this fails as well, lines go into the backup until the path can be opened.
            let _ = rename_to_free(&backup, &self.file);
            AuditFileError::Begin {
                path: self.file.clone(),
                source,
            }
        })
    }

    fn put_away(&self, now: SystemTime) -> io::Result<PathBuf> {
        let taken = self.backups()?;
        let mut next = Stamp::next_free(now, &taken);
        for _ in 0..MAX_ATTEMPTS {
            let Some(stamp) = next else {
                break;
            };
            let backup = self.path(Backup {
                stamp,
                form: Form::Plain,
            });
            match rename_to_free(&self.file, &backup) {
                Ok(()) => return Ok(backup),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => next = stamp.next(),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Renames a file to a name that nothing has.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that doesn't know how: nobody but this process makes such names.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
        },
        renamed => Ok(renamed?),
    }
}
