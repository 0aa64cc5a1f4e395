//! What a scenario came to, as a line of JSON or of a table.

use std::fmt::Write as _;

use super::measure::Measure;
use super::statistics::median;

/// What one slot of time on one side showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// The scenario's figure, in its unit.
    pub(super) value: f64,
    /// What was measured beside it.
    pub(super) beside: Vec<(Measure, f64)>,
    /// CPU seconds of both processes, and the bytes they carried for it.
    pub(super) work: Option<(f64, u64)>,
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
    /// The unit of the values.
    pub(super) unit: &'static str,
    ours: Summary,
    /// Ours in another way, where that is compared with.
    other: Option<(OtherWay, Summary)>,
    relay: Summary,
}

/// How else ours may be run, to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherWay {
    /// On tokio.
    Tokio,
    /// Without an audit log.
    Unaudited,
}

impl OtherWay {
    const fn field(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Unaudited => "unaudited",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Tokio => "on tokio",
            Self::Unaudited => "without an audit log",
        }
    }
}

/// The condensed readings of one side; CPU time by their sums, as it comes in coarse ticks.
#[derive(Clone, Debug)]
struct Summary {
    value: Option<f64>,
    beside: Vec<(Measure, f64)>,
    cpu_s_per_gib: Option<f64>,
}

impl Summary {
    fn of(readings: &[Reading]) -> Self {
        let slots = |measure: Measure| {
            let beside = readings.iter().flat_map(|reading| &reading.beside);
            let slots = beside.filter(|(which, _)| *which == measure);
            slots.map(|(_, number)| *number).collect::<Vec<_>>()
        };
        let work = readings.iter().filter_map(|reading| reading.work);
        let (cpu, bytes) = work.fold((0.0, 0), |sum, work| (sum.0 + work.0, sum.1 + work.1));
        let values: Vec<_> = readings.iter().map(|reading| reading.value).collect();
        Self {
            value: median(&values),
            beside: Measure::ALL
                .into_iter()
                .filter_map(|measure| Some((measure, measure.condense(&slots(measure))?)))
                .collect(),
            cpu_s_per_gib: (bytes > 0).then(|| cpu / (bytes as f64 / f64::from(1 << 30))),
        }
    }

    fn beside(&self, measure: Measure) -> Option<f64> {
        let found = self.beside.iter().find(|(which, _)| *which == measure);
        found.map(|(_, number)| *number)
    }
}

impl Figure {
    /// Condenses the readings of all sides; the relay's are none where there is nothing to compare with.
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
            other: None,
            relay: Summary::of(relay),
        }
    }

    /// Beside what ours came to in another way.
    pub(super) fn beside(mut self, way: OtherWay, other: &[Reading]) -> Self {
        self.other = Some((way, Summary::of(other)));
        self
    }

    /// Our value as a multiple of `other`'s.
    fn ratio_to(&self, other: &Summary) -> Option<f64> {
        let ratio = self.ours.value? / other.value?;
        ratio.is_finite().then_some(ratio)
    }

    /// One JSON object without line breaks; what a scenario does not measure is left out.
    pub(super) fn json(&self) -> String {
        // The names and units are our own words and need no escapes.
        let mut json = format!(
            r#"{{"scenario":"{}","front":"{}","streams":{},"unit":"{}""#,
            self.scenario, self.front, self.streams, self.unit
        );
        let mut field = |prefix: &str, name: &str, number: Option<f64>| {
            if let Some(number) = number.filter(|number| number.is_finite()) {
                // Writing to a string does not fail.
                let _ = write!(json, r#","{prefix}{name}":{number:.3}"#);
            }
        };
        let (ours, relay) = (&self.ours, &self.relay);
        field("", "value", ours.value);
        field("", "relay", relay.value);
        field("", "ratio", self.ratio_to(relay));
        if let Some((way, other)) = &self.other {
            field("", way.field(), other.value);
            field("ratio_to_", way.field(), self.ratio_to(other));
        }
        field("", "cpu_s_per_gib", ours.cpu_s_per_gib);
        field("relay_", "cpu_s_per_gib", relay.cpu_s_per_gib);
        for measure in Measure::ALL {
            field("", measure.field(), ours.beside(measure));
            field("relay_", measure.field(), relay.beside(measure));
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
        let other = self.other.as_ref().map(|(way, other)| {
            let ratio = self.ratio_to(other).unwrap_or(f64::NAN);
            let (words, value) = (way.words(), number(other.value));
            format!("{words} {value}, ratio to it {ratio:.2}")
        });
        let beside = Measure::ALL.into_iter().filter_map(|measure| {
            let (ours, relay) = (ours.beside(measure), relay.beside(measure));
            let name = measure.label();
            match relay {
                Some(_) => Some(format!("{name} {} / {}", number(ours), number(relay))),
                None => ours.map(|_| format!("{name} {}", number(ours))),
            }
        });
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
            self.ratio_to(relay)
                .map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            other
                .into_iter()
                .chain(beside)
                .chain(cpu)
                .collect::<Vec<_>>()
                .join(", ")
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
            beside: vec![(Measure::P99, 7.25)],
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

    #[test]
    fn what_is_counted_is_summed_and_memory_is_the_most_there_was() {
        let ours = [(1.0, 3.0), (2.0, 9.0), (4.0, 5.0)].map(|(cuts, grown)| Reading {
            value: 50.0,
            beside: vec![(Measure::Cuts, cuts), (Measure::ResidentGrowth, grown)],
            ..Reading::default()
        });
        let figure = Figure::new("resume", "connect", 1, "ms", &ours, &[]);
        assert_eq!(
            figure.json(),
            r#"{"scenario":"resume","front":"connect","streams":1,"unit":"ms","value":50.000,"rss_growth_mib":9.000,"cuts":7.000}"#
        );
        assert!(figure.row().ends_with("memory grown MiB 9.0, cuts 7.0"));
    }

    #[test]
    fn another_runtime_is_compared_with_tokio() {
        let [smol, tokio, relay] = [80.0, 100.0, 160.0].map(|value| [reading(value, 0.0, 0)]);
        let figure = Figure::new("bulk-up", "grpc", 1, "MiB/s", &smol, &relay)
            .beside(OtherWay::Tokio, &tokio);
        assert_eq!(
            figure.json(),
            r#"{"scenario":"bulk-up","front":"grpc","streams":1,"unit":"MiB/s","value":80.000,"relay":160.000,"ratio":0.500,"tokio":100.000,"ratio_to_tokio":0.800}"#
        );
        assert!(figure.row().contains("on tokio 100.0, ratio to it 0.80"));
    }
}
