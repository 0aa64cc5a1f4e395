//! `dialback top`: what a server or an agent is at, on a terminal.

mod ask;
mod table;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use dialback_runtime::status::Status;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

use self::ask::{AskError, Source, ask};
use self::table::{Size, lines};
use super::client::duration;
use super::signal::EndSignals;

const EXAMPLES: &str = "\
Examples:
  dialback top
  dialback top --server http://127.0.0.1:8094 --interval 5s
  dialback top --once
  dialback top --json | jq .totals.streams";

/// What `dialback top` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The admin port of a server or an agent that runs with --enable-status-page
    #[arg(long, value_name = "http://HOST[:PORT]", default_value = "http://127.0.0.1:8095", value_parser = Source::parse)]
    server: Source,

    /// From one look to the next
    #[arg(long, short, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    interval: Duration,

    /// Print it once and end
    #[arg(long)]
    once: bool,

    /// Print the JSON once and end
    #[arg(long)]
    json: bool,
}

/// Why `dialback top` ended.
#[derive(Debug, Error)]
pub(crate) enum TopError {
    /// Threads or signals were refused.
    #[error("cannot prepare: {0}")]
    Prepare(#[source] io::Error),
    /// There is no status.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Nobody reads.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

/// Shows it until a signal comes, or once.
pub(crate) fn run(options: &Options) -> Result<(), TopError> {
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TopError::Prepare)?;
    executor.block_on(async {
        if options.json || options.once {
            let status = ask(&options.server).await?;
            let text = if options.json {
                json(&status)
            } else {
                page(&status, None, Size::UNBOUNDED)
            };
            return print(&text);
        }
        let mut signals = EndSignals::catch().map_err(TopError::Prepare)?;
        let screen = Screen::open()?;
        tokio::select! {
            shown = show(options, &screen) => shown,
            () = signals.received() => Ok(()),
        }
    })
}

/// Looks again and again. A daemon that can't be reached may come back; what it was at last stays on a terminal.
async fn show(options: &Options, screen: &Screen) -> Result<(), TopError> {
    let mut last: Option<Status> = None;
    let mut next = Instant::now();
    loop {
        let asked = ask(&options.server).await;
        let size = screen.size();
        let text = match asked {
            Ok(status) => {
                let before = last.take();
                let text = page(&status, before.as_ref(), size);
                last = Some(status);
                text
            }
            Err(error) if screen.is_terminal => {
                let was = last.as_ref().map(|status| page(status, None, size.less(1)));
                format!("{error}; trying again\n{}", was.unwrap_or_default())
            }
            Err(error) => format!("{error}\n"),
        };
        screen.draw(&text)?;
        next = (next + options.interval).max(Instant::now());
        sleep_until(next).await;
    }
}

fn page(status: &Status, before: Option<&Status>, size: Size) -> String {
    let mut text = lines(status, before, size).join("\n");
    text.push('\n');
    text
}

/// As text that no terminal takes for commands: JSON leaves C1 controls as they are.
fn json(status: &Status) -> String {
    let json =
        serde_json::to_string_pretty(status).expect("a status has only names, numbers and texts");
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    text
}

fn print(text: &str) -> Result<(), TopError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(TopError::Output)
}

/// Where it is shown. A terminal gets its former contents back at the end.
struct Screen {
    is_terminal: bool,
}

impl Screen {
    fn open() -> Result<Self, TopError> {
        let is_terminal = io::stdout().is_terminal();
        if is_terminal {
            // Another screen, without a cursor.
            print("\x1b[?1049h\x1b[?25l")?;
        }
        Ok(Self { is_terminal })
    }

    fn size(&self) -> Size {
        if !self.is_terminal {
            return Size::UNBOUNDED;
        }
        rustix::termios::tcgetwinsize(io::stdout()).map_or(Size::UNBOUNDED, |size| Size {
            columns: usize::from(size.ws_col).max(20),
            rows: usize::from(size.ws_row).max(5),
        })
    }

    /// On a terminal over what was there, without a flicker; else below it.
    fn draw(&self, text: &str) -> Result<(), TopError> {
        if !self.is_terminal {
            return print(&format!("{text}\n"));
        }
        let lines = text.trim_end_matches('\n').replace('\n', "\x1b[K\r\n");
        print(&format!("\x1b[H{lines}\x1b[K\x1b[J"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            // A terminal that is gone needs nothing.
            let _ = print("\x1b[?25h\x1b[?1049l");
        }
    }
}

#[cfg(test)]
mod tests;
