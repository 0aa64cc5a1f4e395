//! What a scenario came to, as a line of JSON or of a table.

use std::fmt::Write as _;

use super::statistics::median;

/// What one slot of time on one side showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// The scenario's figure, in its unit.
    pub(super) value: f64,
    /// Median latency, in microseconds.
    pub(super) p50: Option<f64>,
    /// 99th percentile of latency, in microseconds.
    pub(super) p99: Option<f64>,
    /// 99th percentile of the dials beside, in microseconds.
    pub(super) dial_p99: Option<f64>,
    /// What the bulk streams beside carried, in MiB/s.
    pub(super) bulk_mib_s: Option<f64>,
    /// CPU seconds of both processes, and the bytes they carried for it.
    pub(super) work: Option<(f64, u64)>,
    /// Growth of the larger process, in KiB per stream.
    pub(super) rss_kib: Option<f64>,
}

/// All slots of a scenario, condensed.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// The scenario's name.
    pub(super) scenario: &'static str,
    /// The name of our frontend's protocol.
    pub(super) front: &'static str,
    /// How many streams the scenario was asked for.
    pub(super) streams: usize,
    /// The unit of the two values.
    pub(super) unit: &'static str,
    ours: Summary,
    relay: Summary,
}

/// The medians of one side's readings; CPU time by their sums, as it comes in coarse ticks.
#[derive(Clone, Debug)]
struct Summary {
    value: Option<f64>,
    p50: Option<f64>,
    p99: Option<f64>,
    dial_p99: Option<f64>,
    bulk_mib_s: Option<f64>,
    cpu_s_per_gib: Option<f64>,
    rss_kib: Option<f64>,
}

impl Summary {
    fn of(readings: &[Reading]) -> Self {
        let middle = |pick: fn(&Reading) -> Option<f64>| {
            median(&readings.iter().filter_map(pick).collect::<Vec<_>>())
        };
        let work = readings.iter().filter_map(|reading| reading.work);
        let (cpu, bytes) = work.fold((0.0, 0), |sum, work| (sum.0 + work.0, sum.1 + work.1));
        Self {
            value: middle(|reading| Some(reading.value)),
            p50: middle(|reading| reading.p50),
            p99: middle(|reading| reading.p99),
            dial_p99: middle(|reading| reading.dial_p99),
            bulk_mib_s: middle(|reading| reading.bulk_mib_s),
            cpu_s_per_gib: (bytes > 0).then(|| cpu / (bytes as f64 / f64::from(1 << 30))),
            rss_kib: middle(|reading| reading.rss_kib),
        }
    }
}

impl Figure {
    /// Condenses the readings of both sides.
    pub(super) fn new(
        scenario: &'static str,
        front: &'static str,
        streams: usize,
        unit: &'static str,
        ours: &[Reading],
        relay: &[Reading],
    ) -> Self {
        Self {
            scenario,
            front,
            streams,
            unit,
            ours: Summary::of(ours),
            relay: Summary::of(relay),
        }
    }

    /// Our value as a multiple of the relay's.
    fn ratio(&self) -> Option<f64> {
        let ratio = self.ours.value? / self.relay.value?;
        ratio.is_finite().then_some(ratio)
    }

    /// One JSON object without line breaks; what a scenario does not measure is left out.
    pub(super) fn json(&self) -> String {
        // The names and units are our own words and need no escapes.
        let mut json = format!(
            r#"{{"scenario":"{}","front":"{}","streams":{},"unit":"{}""#,
            self.scenario, self.front, self.streams, self.unit
        );
        let (ours, relay) = (&self.ours, &self.relay);
        for (name, number) in [
            ("value", ours.value),
            ("relay", relay.value),
            ("ratio", self.ratio()),
            ("cpu_s_per_gib", ours.cpu_s_per_gib),
            ("relay_cpu_s_per_gib", relay.cpu_s_per_gib),
            ("rss_kib_per_stream", ours.rss_kib),
            ("relay_rss_kib_per_stream", relay.rss_kib),
            ("p50", ours.p50),
            ("relay_p50", relay.p50),
            ("p99", ours.p99),
            ("relay_p99", relay.p99),
            ("dial_p99", ours.dial_p99),
            ("relay_dial_p99", relay.dial_p99),
            ("bulk_mib_s", ours.bulk_mib_s),
            ("relay_bulk_mib_s", relay.bulk_mib_s),
        ] {
            if let Some(number) = number.filter(|number| number.is_finite()) {
                // Writing to a string does not fail.
                let _ = write!(json, r#","{name}":{number:.3}"#);
            }
        }
        json.push('}');
        json
    }

    /// The heads of the columns of [`Figure::row`].
    pub(super) fn heads() -> String {
        format!(
            "{:<16} {:<8} {:>7} {:>10} {:>10} {:<10} {:>6}  {}",
            "scenario",
            "front",
            "streams",
            "dialback",
            "relay",
            "unit",
            "ratio",
            "beside (dialback / relay)"
        )
    }

    /// One line of a table.
    pub(super) fn row(&self) -> String {
        let number = |number: Option<f64>| number.map_or("-".to_owned(), |n| format!("{n:.1}"));
        let (ours, relay) = (&self.ours, &self.relay);
        let beside = [
            ("p50 us", ours.p50, relay.p50),
            ("p99 us", ours.p99, relay.p99),
            ("dial p99 us", ours.dial_p99, relay.dial_p99),
            ("bulk MiB/s", ours.bulk_mib_s, relay.bulk_mib_s),
        ]
        .into_iter()
        .filter(|(_, ours, relay)| ours.or(*relay).is_some())
        .map(|(name, ours, relay)| format!("{name} {} / {}", number(ours), number(relay)));
        let cpu = ours.cpu_s_per_gib.zip(relay.cpu_s_per_gib);
        let cpu = cpu.map(|(ours, relay)| format!("cpu s/GiB {ours:.2} / {relay:.2}"));
        format!(
            "{:<16} {:<8} {:>7} {:>10} {:>10} {:<10} {:>6}  {}",
            self.scenario,
            self.front,
            self.streams,
            number(ours.value),
            number(relay.value),
            self.unit,
            self.ratio()
                .map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            beside.chain(cpu).collect::<Vec<_>>().join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(value: f64, cpu: f64, bytes: u64) -> Reading {
        Reading {
            value,
            work: Some((cpu, bytes)),
            ..Reading::default()
        }
    }

    #[test]
    fn a_line_has_medians_their_ratio_and_the_cpu_time_of_all_slots() {
        const GIB: u64 = 1 << 30;
        let ours = [
            reading(100.0, 1.0, GIB),
            reading(900.0, 2.0, GIB),
            reading(300.0, 3.0, 2 * GIB),
        ];
        let relay = [reading(400.0, 1.0, 2 * GIB)];
        let figure = Figure::new("bulk-down", "connect", 4, "MiB/s", &ours, &relay);
        assert_eq!(
            figure.json(),
            r#"{"scenario":"bulk-down","front":"connect","streams":4,"unit":"MiB/s","value":300.000,"relay":400.000,"ratio":0.750,"cpu_s_per_gib":1.500,"relay_cpu_s_per_gib":0.500}"#
        );
    }

    #[test]
    fn a_ratio_to_nothing_is_left_out() {
        let ours = [Reading {
            value: 5.0,
            p99: Some(7.25),
            ..Reading::default()
        }];
        let relay = [Reading::default()];
        let figure = Figure::new("idle", "grpc", 1, "KiB", &ours, &relay);
        assert_eq!(
            figure.json(),
            r#"{"scenario":"idle","front":"grpc","streams":1,"unit":"KiB","value":5.000,"relay":0.000,"p99":7.250}"#
        );
        assert!(figure.row().contains(" - "), "{}", figure.row());
    }
}
