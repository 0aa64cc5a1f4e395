//! Shell completions and man pages of this command.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;
use thiserror::Error;

/// What `dialback completions` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: source <(dialback completions bash)")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// What `dialback man` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  dialback man | man -l -
  dialback man --out /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write a page for this command and one for each subcommand into a folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// They could not be written.
#[derive(Debug, Error)]
#[error("cannot write {to}: {source}")]
pub(crate) struct WriteError {
    to: String,
    source: io::Error,
}

impl Completions {
    pub(crate) fn write(
        &self,
        mut command: Command,
        out: &mut impl Write,
    ) -> Result<(), WriteError> {
        // The generator panics where it can't write, so it writes into memory.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "dialback", &mut script);
        out.write_all(&script).map_err(standard_output)
    }
}

impl Man {
    pub(crate) fn write(&self, command: Command, out: &mut impl Write) -> Result<(), WriteError> {
        match &self.out {
            None => clap_mangen::Man::new(command)
                .render(out)
                .map_err(standard_output),
            Some(folder) => {
                let failed = |source| WriteError {
                    to: folder.display().to_string(),
                    source,
                };
                fs::create_dir_all(folder).map_err(failed)?;
                clap_mangen::generate_to(command, folder).map_err(failed)
            }
        }
    }
}

fn standard_output(source: io::Error) -> WriteError {
    WriteError {
        to: "standard output".to_owned(),
        source,
    }
}
