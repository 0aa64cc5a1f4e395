//! Certificates that end soon, in words.

use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// From so long before its end on, an operator is told of a certificate.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How an end stands to the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It is far away.
    Far,
    /// It is so many whole days away.
    Soon(u64),
    /// It was so many whole days ago.
    Over(u64),
}

impl Expiry {
    pub(crate) fn at(end: SystemTime, now: SystemTime) -> Self {
        let days = |span: Duration| span.as_secs() / DAY.as_secs();
        match end.duration_since(now) {
            Ok(left) if left >= SOON => Self::Far,
            Ok(left) => Self::Soon(days(left)),
            Err(over) => Self::Over(days(over.duration())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fortnight_is_soon_and_the_end_itself_is_not_over() {
        let now = SystemTime::UNIX_EPOCH + 100 * DAY;
        for (end, expiry) in [
            (now + SOON, Expiry::Far),
            (now + SOON - Duration::from_secs(1), Expiry::Soon(13)),
            (now + DAY, Expiry::Soon(1)),
            (now, Expiry::Soon(0)),
            (now - Duration::from_secs(1), Expiry::Over(0)),
            (now - 3 * DAY, Expiry::Over(3)),
        ] {
            assert_eq!(Expiry::at(end, now), expiry, "{end:?}");
        }
    }
}
