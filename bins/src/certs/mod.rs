//! `dialback certs`: the certificates that a proxy server, its agents and its frontends need.
//!
//! For trying things out, for tests, and for installations without a certificate authority of their own.

mod files;
mod issue;
mod names;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use thiserror::Error;

pub(crate) use files::shell_words;
pub use files::{CertificateFiles, FileError};
pub use issue::{CertificateSet, IssueError, Pair};
pub use names::{InvalidSubjectName, SubjectName};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What `dialback certs` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder to write to; made if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Further DNS name or IP address of the proxy server, beside localhost, 127.0.0.1 and ::1
    #[arg(long = "server-name", value_name = "NAME", num_args = 1..)]
    server_names: Vec<SubjectName>,

    /// How long every certificate is valid, in days
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    valid_days: u32,

    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

/// Why `dialback certs` failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertsError {
    /// A key or certificate could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The account of what was done could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Issues a set of certificates, writes it and tells on `out` what was written and how to use it.
///
/// # Errors
///
/// If a certificate cannot be issued or a file cannot be written; without `--force` also if any of the
/// files exists, in which case none is touched.
pub fn run(options: &Options, out: &mut impl Write) -> Result<(), CertsError> {
    let mut names = SubjectName::loopback();
    for name in &options.server_names {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let set = CertificateSet::issue(&names, DAY * options.valid_days, SystemTime::now())?;
    let files = CertificateFiles::write(&options.out, &set, options.force)?;
    explain(options, &names, &files, out)?;
    Ok(())
}

fn explain(
    options: &Options,
    names: &[SubjectName],
    files: &CertificateFiles,
    out: &mut impl Write,
) -> io::Result<()> {
    let listed = names.iter().map(ToString::to_string).collect::<Vec<_>>();
    // What the operator named is what others will dial; without a name it is a trial on one machine.
    let host = options
        .server_names
        .first()
        .map_or_else(|| "localhost".to_owned(), ToString::to_string);
    writeln!(out, "wrote to {}:", files.folder().display())?;
    for (name, purpose) in CertificateFiles::CONTENTS {
        writeln!(out, "  {name:<15} {purpose}")?;
    }
    writeln!(
        out,
        "valid for {} days; the listeners' certificates for {}",
        options.valid_days,
        listed.join(", ")
    )?;
    writeln!(out, "\nproxy-server, listener of the agents:")?;
    writeln!(out, "  {}", shell_words(&files.cluster_flags()))?;
    writeln!(
        out,
        "proxy-server, listener of the frontends (with a Unix socket, --uds-name, leave them out):"
    )?;
    writeln!(out, "  {}", shell_words(&files.server_flags()))?;
    writeln!(out, "proxy-agent:")?;
    writeln!(
        out,
        "  {} --proxy-server-host={host}",
        shell_words(&files.agent_flags())
    )?;
    writeln!(out, "a frontend, when the server runs --mode=http-connect:")?;
    writeln!(
        out,
        "  curl {} URL",
        shell_words(&files.curl_flags(&host, 8090))
    )
}
