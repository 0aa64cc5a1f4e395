//! The time in a backup's name.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::{Backup, CLOCK_STEP};
use crate::audit::civil::{date, days_since_1970};

const MILLIS_PER_SECOND: u64 = 1000;
const MILLIS_PER_MINUTE: u64 = 60 * MILLIS_PER_SECOND;
const MILLIS_PER_HOUR: u64 = 60 * MILLIS_PER_MINUTE;
const MILLIS_PER_DAY: u64 = 24 * MILLIS_PER_HOUR;

/// When a file was put away, to the millisecond, in UTC: `2026-11-24T01-30-00.000`.
///
/// From 1970 to 9999, so that the order of texts is that of times. Source: lumberjack v2, `backupTimeFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Since 1970.
    millis: u64,
}

impl Stamp {
    /// The length of its text.
    pub(super) const TEXT_BYTES: usize = "2026-11-24T01-30-00.000".len();

    /// The end of 9999.
    const LAST: Self = Self {
        millis: 2_932_897 * MILLIS_PER_DAY - 1,
    };

    /// This time, rounded down; one that has no stamp gets the nearest that there is.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since_1970.unwrap_or(Duration::ZERO).as_millis();
        Self {
            millis: u64::try_from(millis).unwrap_or(u64::MAX),
        }
        .min(Self::LAST)
    }

    /// For a file that is put away now: the first time from `now` on that comes behind what was put away before, and that
    /// no backup has, in whatever form. `None` only at the end of 9999.
    ///
    /// Those that the clock is far behind of don't count for the order: it was wrong then.
    #[must_use]
    pub fn next_free(now: SystemTime, backups: &[Backup]) -> Option<Self> {
        let now = Self::at(now);
        let mut taken: Vec<Self> = backups.iter().map(|backup| backup.stamp).collect();
        taken.sort_unstable();
        let step = u64::try_from(CLOCK_STEP.as_millis()).unwrap_or(u64::MAX);
        let mut free = now;
        for stamp in taken {
            let is_recent = stamp >= now && stamp.millis - now.millis <= step;
            if stamp == free || (is_recent && stamp > free) {
                free = stamp.next()?;
            }
        }
        Some(free)
    }

    /// A millisecond later.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        (self < Self::LAST).then_some(Self {
            millis: self.millis + 1,
        })
    }

    /// Reads what `Display` writes, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields = [(0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2), (20, 3)];
        let [year, month, day, hour, minute, second, millis] =
            fields.map(|(start, digits)| number(text.get(start..start + digits)?));
        let days = days_since_1970(year?, month?, day?)?;
        let stamp = Self {
            millis: days
                .checked_mul(MILLIS_PER_DAY)?
                .checked_add(hour? * MILLIS_PER_HOUR)?
                .checked_add(minute? * MILLIS_PER_MINUTE)?
                .checked_add(second? * MILLIS_PER_SECOND)?
                .checked_add(millis?)?,
        };
        // What has other marks between its numbers, or a thirteenth month, is written differently.
        (stamp.to_string() == text).then_some(stamp)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.millis / MILLIS_PER_DAY);
        let hour = self.millis % MILLIS_PER_DAY / MILLIS_PER_HOUR;
        let minute = self.millis % MILLIS_PER_HOUR / MILLIS_PER_MINUTE;
        let second = self.millis % MILLIS_PER_MINUTE / MILLIS_PER_SECOND;
        let millis = self.millis % MILLIS_PER_SECOND;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{millis:03}"
        )
    }
}

fn number(digits: &str) -> Option<u64> {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
