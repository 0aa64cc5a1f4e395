use quickcheck::quickcheck;

use super::super::Form;
use super::*;

fn time(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

fn plain(stamp: Stamp) -> Backup {
    Backup {
        stamp,
        form: Form::Plain,
    }
}

#[test]
fn every_day_is_followed_by_the_next() {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut days = 0;
    for year in 1970..=9999 {
        let february = if is_leap(year) { 29 } else { 28 };
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in (1..).zip(lengths) {
            for day in 1..=length {
                assert_eq!(date(days), (year, month, day));
                assert_eq!(days_since_1970(year, month, day), Some(days));
                days += 1;
            }
        }
    }
    assert_eq!(Stamp::LAST.millis, days * MILLIS_PER_DAY - 1);
}

#[test]
fn times_read_as_operators_know_them() {
    for (millis, text) in [
        (0, "1970-01-01T00-00-00.000"),
        (951_827_696_789, "2000-02-29T12-34-56.789"),
        (1_795_483_800_000, "2026-11-24T01-30-00.000"),
        (253_402_300_799_999, "9999-12-31T23-59-59.999"),
        // Later ones have no stamp of their own.
        (253_402_300_800_000, "9999-12-31T23-59-59.999"),
    ] {
        assert_eq!(Stamp::at(time(millis)).to_string(), text);
    }
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(
        Stamp::at(before_1970).to_string(),
        "1970-01-01T00-00-00.000"
    );
}

#[test]
fn what_is_no_time_is_not_read() {
    for text in [
        "",
        "2026-11-24T01-30-00.00",
        "2026-11-24T01-30-00.0000",
        "2026-11-24T01:30:00.000",
        "2026-11-24 01-30-00.000",
        "2026-11-24t01-30-00.000",
        "2026-11-24T01-30-00,000",
        "2026-02-29T01-30-00.000",
        "2026-00-24T01-30-00.000",
        "2026-13-24T01-30-00.000",
        "2026-11-00T01-30-00.000",
        "2026-11-31T01-30-00.000",
        "2026-11-24T24-00-00.000",
        "2026-11-24T01-60-00.000",
        "2026-11-24T01-30-60.000",
        "+026-11-24T01-30-00.000",
        "1969-12-31T23-59-59.999",
        "0000-01-01T00-00-00.000",
        "2026-11-24T01-30-00.0é",
    ] {
        assert_eq!(Stamp::parse(text), None, "{text:?}");
    }
}

#[test]
fn a_time_that_is_taken_gives_way_to_the_next_free_one() {
    let now = 1_795_483_800_000;
    let next = |taken: &[u64]| {
        let taken: Vec<Backup> = taken.iter().map(|at| plain(Stamp::at(time(*at)))).collect();
        let free = Stamp::next_free(time(now), &taken).map(|stamp| stamp.millis);
        free.map(|free| free - now)
    };
    assert_eq!(next(&[]), Some(0));
    assert_eq!(next(&[now - 1]), Some(0));
    assert_eq!(next(&[now, now]), Some(1));
    assert_eq!(next(&[now + 1, now]), Some(2));
    // Rotated before the clock was set back: order is kept, if it wasn't far.
    assert_eq!(next(&[now + 5]), Some(6));
    let hour = MILLIS_PER_HOUR;
    assert_eq!(next(&[now + hour]), Some(hour + 1));
    assert_eq!(next(&[now + hour + 1]), Some(0));
    assert_eq!(next(&[now, now + hour, now + hour + 1]), Some(hour + 2));
}

#[test]
fn there_is_no_time_behind_the_last() {
    assert_eq!(Stamp::LAST.next(), None);
    let end = time(Stamp::LAST.millis);
    assert_eq!(Stamp::next_free(end, &[plain(Stamp::LAST)]), None);
}

quickcheck! {
    fn a_stamp_is_read_as_it_was_written(millis: u64) -> bool {
        let stamp = Stamp::at(time(millis % (2 * Stamp::LAST.millis)));
        let text = stamp.to_string();
        text.len() == Stamp::TEXT_BYTES && Stamp::parse(&text) == Some(stamp)
    }

    fn texts_are_ordered_as_times_are(a: u64, b: u64) -> bool {
        let [a, b] = [a, b].map(|millis| Stamp::at(time(millis % Stamp::LAST.millis)));
        a.cmp(&b) == a.to_string().cmp(&b.to_string())
    }

    fn any_text_is_refused_or_reads_the_same(text: String) -> bool {
        Stamp::parse(&text).is_none_or(|stamp| stamp.to_string() == text)
    }

    /// A valid one with one byte changed.
    fn a_garbled_stamp_is_refused_or_reads_the_same(millis: u64, at: usize, byte: u8) -> bool {
        let mut text = Stamp::at(time(millis % Stamp::LAST.millis)).to_string().into_bytes();
        text[at % Stamp::TEXT_BYTES] = byte % 128;
        let text = String::from_utf8(text).expect("ASCII");
        Stamp::parse(&text).is_none_or(|stamp| stamp.to_string() == text)
    }

    fn a_free_time_is_free_and_not_before_now(now: u16, taken: Vec<u16>) -> bool {
        let taken: Vec<Backup> = taken.iter().map(|at| plain(Stamp::at(time(u64::from(*at))))).collect();
        let now = time(u64::from(now));
        // All of them are within the hour, so it comes behind all that are not past.
        Stamp::next_free(now, &taken).is_some_and(|free| {
            free >= Stamp::at(now) && taken.iter().all(|backup| backup.stamp < free)
        })
    }
}
