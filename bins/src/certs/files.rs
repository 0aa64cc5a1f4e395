//! A certificate set as files in one folder, named for the flags that take them.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::CertificateSet;

/// The files of a [`CertificateSet`]: `FLAG.crt` or `FLAG.key` for each flag that takes one.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    folder: PathBuf,
}

/// A certificate or key file could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file is there and replacing was not allowed.
    #[error("{} exists; choose another folder, or replace the whole set with --force", path.display())]
    Exists {
        /// The file found.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

impl CertificateFiles {
    /// Every file's name, with what it is for.
    pub const CONTENTS: [(&'static str, &'static str); 12] = [
        ("cluster-ca.crt", "the CA of the agents and their listener"),
        (
            "cluster-ca.key",
            "its key: signs further agents; keep it away from the servers",
        ),
        ("cluster.crt", "the server's listener for agents"),
        ("cluster.key", "its key"),
        ("agent.crt", "an agent"),
        ("agent.key", "its key"),
        (
            "server-ca.crt",
            "the CA of the frontends and their listener",
        ),
        (
            "server-ca.key",
            "its key: signs further frontends; keep it away from the servers",
        ),
        ("server.crt", "the server's listener for frontends"),
        ("server.key", "its key"),
        ("client.crt", "a frontend"),
        ("client.key", "its key"),
    ];

    /// Writes `set` to `folder`, which is made if it does not exist; keys are for the owner alone.
    ///
    /// # Errors
    ///
    /// If a file cannot be written or, unless `replace`, if any of them exists; then none is written.
    pub fn write(folder: &Path, set: &CertificateSet, replace: bool) -> Result<Self, FileError> {
        let folder = std::path::absolute(folder).map_err(|source| FileError::Write {
            path: folder.to_owned(),
            source,
        })?;
        let files = Self { folder };
        if !replace {
            for (name, _) in Self::CONTENTS {
                let path = files.path(name);
                if fs::symlink_metadata(&path).is_ok() {
                    return Err(FileError::Exists { path });
                }
            }
        }
        fs::create_dir_all(&files.folder).map_err(|source| FileError::Write {
            path: files.folder.clone(),
            source,
        })?;
        for (stem, pair) in [
            ("cluster-ca", &set.cluster_ca),
            ("cluster", &set.cluster),
            ("agent", &set.agent),
            ("server-ca", &set.server_ca),
            ("server", &set.server),
            ("client", &set.client),
        ] {
            write_file(
                &files.path(&format!("{stem}.key")),
                &pair.key,
                0o600,
                replace,
            )?;
            write_file(
                &files.path(&format!("{stem}.crt")),
                &pair.certificate,
                0o644,
                replace,
            )?;
        }
        Ok(files)
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one of [`CertificateFiles::CONTENTS`].
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// proxy-server's flags for its agent listener with mutual TLS.
    #[must_use]
    pub fn cluster_flags(&self) -> Vec<OsString> {
        vec![
            self.flag("--cluster-cert=", "cluster.crt"),
            self.flag("--cluster-key=", "cluster.key"),
            self.flag("--cluster-ca-cert=", "cluster-ca.crt"),
        ]
    }

    /// proxy-server's flags for a frontend listener on TCP with mutual TLS.
    #[must_use]
    pub fn server_flags(&self) -> Vec<OsString> {
        vec![
            self.flag("--server-cert=", "server.crt"),
            self.flag("--server-key=", "server.key"),
            self.flag("--server-ca-cert=", "server-ca.crt"),
        ]
    }

    /// proxy-agent's flags.
    #[must_use]
    pub fn agent_flags(&self) -> Vec<OsString> {
        vec![
            self.flag("--ca-cert=", "cluster-ca.crt"),
            self.flag("--agent-cert=", "agent.crt"),
            self.flag("--agent-key=", "agent.key"),
        ]
    }

    /// curl's arguments for reaching a URL through a server in http-connect mode whose frontend listener
    /// is at `host` and `port`.
    #[must_use]
    pub fn curl_flags(&self, host: &str, port: u16) -> Vec<OsString> {
        let proxy = if host.contains(':') {
            format!("https://[{host}]:{port}")
        } else {
            format!("https://{host}:{port}")
        };
        vec![
            "--proxytunnel".into(),
            "--proxy".into(),
            proxy.into(),
            "--proxy-cacert".into(),
            self.path("server-ca.crt").into(),
            "--proxy-cert".into(),
            self.path("client.crt").into(),
            "--proxy-key".into(),
            self.path("client.key").into(),
        ]
    }

    fn flag(&self, flag: &str, file: &str) -> OsString {
        let mut flag = OsString::from(flag);
        flag.push(self.path(file));
        flag
    }
}

/// `words` as they are typed in a POSIX shell.
pub(crate) fn shell_words(words: &[OsString]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    let quoted = words.iter().map(|word| {
        let word = word.to_string_lossy();
        if word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Writes a new file, or replaces one in a single step, since a running daemon may read it at any time.
fn write_file(path: &Path, text: &str, mode: u32, replace: bool) -> Result<(), FileError> {
    let failed = |source: io::Error| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::AlreadyExists {
            FileError::Exists { path }
        } else {
            FileError::Write { path, source }
        }
    };
    let create = |path: &Path| {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
    };
    if !replace {
        return create(path).map_err(failed);
    }
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let replaced = create(&fresh).and_then(|()| fs::rename(&fresh, path));
    if replaced.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&fresh);
    }
    replaced.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_split_are_quoted() {
        let words = ["--ca-cert=/a/b.crt", "/my files/it's"].map(OsString::from);
        assert_eq!(
            shell_words(&words),
            r"--ca-cert=/a/b.crt '/my files/it'\''s'"
        );
    }
}
