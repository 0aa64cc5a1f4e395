//! A status as lines of text.

use dialback_runtime::status::{LinkState, LinkStatus, PeerStatus, Program, Status, Totals};

/// Room for the lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Size {
    /// As much as it takes.
    pub(super) const UNBOUNDED: Self = Self {
        columns: usize::MAX,
        rows: usize::MAX,
    };

    /// With `rows` fewer.
    pub(super) const fn less(self, rows: usize) -> Self {
        Self {
            rows: self.rows.saturating_sub(rows),
            ..self
        }
    }
}

/// The widest that a column of the table may be.
const WIDEST: usize = 40;
/// Columns from this one on are numbers, and aligned to the right.
const FIRST_NUMBER: usize = 4;

/// What fits into `size`; rates are since `before`, if that was the same run of the daemon.
pub(super) fn lines(status: &Status, before: Option<&Status>, size: Size) -> Vec<String> {
    let mut lines = head(status, before);
    lines.push(String::new());
    let rows: Vec<_> = status
        .peers
        .iter()
        .flat_map(|peer| peer.links.iter().map(move |link| row(peer, link)))
        .collect();
    let shown = rows.len();
    lines.extend(table(status.program, rows));
    let last = lines.len();
    let hidden = usize::try_from(status.totals.links)
        .unwrap_or(usize::MAX)
        .saturating_sub(shown);
    if last > size.rows {
        let cut = last - size.rows + 1;
        lines.truncate(size.rows.saturating_sub(1));
        lines.push(format!("({} more links)", hidden.saturating_add(cut)));
    } else if hidden > 0 {
        lines.push(format!("({hidden} more links)"));
        lines.truncate(size.rows);
    }
    for line in &mut lines {
        // ASCII, so that bytes are columns.
        line.truncate(size.columns);
    }
    lines
}

fn head(status: &Status, before: Option<&Status>) -> Vec<String> {
    let program = match status.program {
        Program::Server => "proxy-server",
        Program::Agent => "proxy-agent",
    };
    let state = match (status.draining, status.ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    let Totals {
        links,
        streams,
        pending_dials,
        outgoing_bytes,
        incoming_bytes,
        streams_opened,
        dials_failed,
        bytes_from_agent,
        bytes_to_agent,
        resumptions,
        ..
    } = status.totals;
    let rates = before
        .filter(|before| before.uptime_seconds < status.uptime_seconds && before.id == status.id);
    let passed = match rates {
        Some(before) => {
            let seconds = status.uptime_seconds - before.uptime_seconds;
            let rate = |counter: fn(&Totals) -> u64| {
                let grown = counter(&status.totals).saturating_sub(counter(&before.totals));
                float(grown) / seconds
            };
            format!(
                "opened {:.1}/s  failed {:.1}/s  to agents {}/s  from agents {}/s",
                rate(|totals| totals.streams_opened),
                rate(|totals| totals.dials_failed),
                bytes(rate(|totals| totals.bytes_to_agent)),
                bytes(rate(|totals| totals.bytes_from_agent)),
            )
        }
        None => format!(
            "opened {streams_opened}  failed {dials_failed}  to agents {}  from agents {}",
            bytes(float(bytes_to_agent)),
            bytes(float(bytes_from_agent)),
        ),
    };
    let policy = status.policy_generation;
    let policy = policy.map_or_else(String::new, |number| format!("  policy {number}"));
    let mut lines = vec![
        format!(
            "{program} {}  {state}  up {}  Dialback {}{policy}",
            plain(&status.id),
            duration(status.uptime_seconds),
            plain(&status.version)
        ),
        format!(
            "links {links}  streams {streams}  pending dials {pending_dials}  queued {}  resumed {resumptions}",
            bytes(float(outgoing_bytes.saturating_add(incoming_bytes))),
        ),
        passed,
    ];
    let met: Vec<_> = status
        .limits
        .iter()
        .filter(|limit| limit.reached > 0)
        .map(|limit| format!("{} {}", plain(&limit.name), limit.reached))
        .collect();
    if !met.is_empty() {
        lines.push(format!("limits met: {}", met.join(", ")));
    }
    let problems = status.problems.iter();
    lines.extend(problems.map(|problem| format!("! {}", plain(problem))));
    lines
}

fn row(peer: &PeerStatus, link: &LinkStatus) -> [String; 10] {
    let or_dash = |text: Option<&String>| text.map_or_else(|| "-".to_owned(), |text| plain(text));
    let state = match link.state {
        LinkState::Connected => "connected",
        LinkState::Draining => "draining",
        LinkState::Suspended => "suspended",
        LinkState::NotAdmitted => "not admitted",
    };
    let round_trip = link.round_trip_seconds;
    [
        or_dash(Some(&peer.id).filter(|id| !id.is_empty())),
        or_dash(peer.identity.as_ref()),
        state.to_owned(),
        or_dash(link.address.as_ref()),
        duration(link.age_seconds),
        round_trip.map_or_else(|| "-".to_owned(), |time| format!("{:.2}ms", time * 1e3)),
        link.streams.to_string(),
        link.pending_dials.to_string(),
        bytes(float(
            link.outgoing_bytes.saturating_add(link.incoming_bytes),
        )),
        link.resumptions.to_string(),
    ]
}

fn table(program: Program, rows: Vec<[String; 10]>) -> Vec<String> {
    let peer = match program {
        Program::Server => "AGENT",
        Program::Agent => "SERVER",
    };
    let titles = [
        peer, "IDENTITY", "STATE", "ADDRESS", "AGE", "RTT", "STREAMS", "DIALS", "QUEUED", "RESUMED",
    ];
    let mut rows = rows;
    rows.insert(0, titles.map(str::to_owned));
    let mut widths = [0; 10];
    for row in &mut rows {
        for (cell, width) in row.iter_mut().zip(&mut widths) {
            cell.truncate(WIDEST);
            *width = cell.len().max(*width);
        }
    }
    let line = |row: &[String; 10]| {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(|(at, (cell, width))| {
            if at < FIRST_NUMBER {
                format!("{cell:width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

/// What peers chose, without anything that a terminal would act on or show as something else.
fn plain(text: &str) -> String {
    let shown = |c: char| {
        if c == ' ' || c.is_ascii_graphic() {
            c
        } else {
            '?'
        }
    };
    text.chars().map(shown).collect()
}

fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole seconds are meant, and below zero there are none"
    )]
    let whole = seconds as u64;
    match whole {
        86_400.. => format!("{}d{}h", whole / 86_400, whole % 86_400 / 3600),
        3600.. => format!("{}h{}m", whole / 3600, whole % 3600 / 60),
        60.. => format!("{}m{}s", whole / 60, whole % 60),
        _ => format!("{whole}s"),
    }
}

fn bytes(mut value: f64) -> String {
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter().peekable();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1024.0 && units.peek().is_some() {
        value /= 1024.0;
        unit = units.next().unwrap_or_default();
    }
    if unit == "B" {
        format!("{value:.0}{unit}")
    } else {
        format!("{value:.1}{unit}")
    }
}

#[expect(clippy::cast_precision_loss, reason = "what is shown has three digits")]
const fn float(number: u64) -> f64 {
    number as f64
}
