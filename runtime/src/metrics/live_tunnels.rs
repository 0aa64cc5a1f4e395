//! How the tunnels are that exist when metrics are asked for.
//!
//! Nothing is counted while bytes move: each tunnel is looked at once for every scrape.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dialback_core::{LinkId, LinkLoad};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, Opts, Registry};

/// Tunnels that have series of their own, the oldest; sums cover all.
const MOST_SERIES: usize = 256;
/// Characters of a peer's name that its label shows; the name is the peer's choice.
const MOST_NAME: usize = 128;

/// How a tunnel is.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    /// What the other end calls itself.
    pub(crate) peer: String,
    pub(crate) link: LinkId,
    /// Since the tunnel began, whatever its transports did.
    pub(crate) age: Duration,
    pub(crate) load: LinkLoad,
}

/// A tunnel that can be looked at.
pub(crate) trait Measured: fmt::Debug + Send + Sync {
    /// `None` once the tunnel has ended.
    fn measure(&self) -> Option<Measurement>;

    /// Whether it will never be measured again; cheap.
    fn is_over(&self) -> bool;
}

/// The tunnels of a program.
#[derive(Clone, Debug)]
pub(super) struct LiveTunnels {
    shown: Arc<Mutex<Shown>>,
    descriptions: Arc<[Desc]>,
}

#[derive(Debug)]
struct Shown {
    tunnels: Vec<Box<dyn Measured>>,
    gauges: Gauges,
}

#[derive(Debug)]
struct Gauges {
    count: Gauge,
    queued: GaugeVec,
    stalled: Gauge,
    retained: Gauge,
    age: GaugeVec,
    round_trip: GaugeVec,
    streams: GaugeVec,
}

impl LiveTunnels {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauges = Gauges::new();
        let descriptions = gauges.all().into_iter().flat_map(|gauge| gauge.desc());
        let descriptions = descriptions.cloned().collect();
        let tunnels = Self {
            shown: Arc::new(Mutex::new(Shown {
                tunnels: Vec::new(),
                gauges,
            })),
            descriptions,
        };
        registry
            .register(Box::new(tunnels.clone()))
            .expect("every family in this crate has a name of its own");
        tunnels
    }

    /// A tunnel began; it is shown for as long as it lasts.
    pub(super) fn began(&self, tunnel: impl Measured + 'static) {
        let mut shown = self.shown();
        shown.tunnels.retain(|other| !other.is_over());
        shown.tunnels.push(Box::new(tunnel));
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for LiveTunnels {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shown = self.shown();
        let tunnels = shown.tunnels.iter();
        shown
            .gauges
            .set(tunnels.filter_map(|tunnel| tunnel.measure()));
        let gauges = shown.gauges.all().into_iter();
        gauges.flat_map(|gauge| gauge.collect()).collect()
    }
}

impl Gauges {
    fn new() -> Self {
        const TUNNEL: [&str; 2] = ["peer", "link"];
        Self {
            count: gauge(
                "tunnels",
                "Tunnels, those included that wait for another transport.",
            ),
            queued: gauges(
                "queued_bytes",
                "Payload bytes that wait in the queues of all streams: for their tunnels (outgoing), or for their readers (incoming).",
                &["direction"],
            ),
            stalled: gauge(
                "stalled_streams",
                "Streams with bytes to send for which their peers have given no credit.",
            ),
            retained: gauge(
                "retained_bytes",
                "Bytes that are kept until a peer has acknowledged them, to be sent again over another transport.",
            ),
            age: gauges(
                "tunnel_age_seconds",
                "Time since a tunnel began, over all its transports.",
                &TUNNEL,
            ),
            round_trip: gauges(
                "tunnel_round_trip_seconds",
                "Time from a packet to its acknowledgement, the newest of a tunnel that can be resumed.",
                &TUNNEL,
            ),
            streams: gauges(
                "tunnel_streams",
                "Streams of a tunnel, those included that are being opened or closed.",
                &TUNNEL,
            ),
        }
    }

    fn all(&self) -> [&dyn Collector; 7] {
        [
            &self.count,
            &self.queued,
            &self.stalled,
            &self.retained,
            &self.age,
            &self.round_trip,
            &self.streams,
        ]
    }

    fn set(&self, tunnels: impl Iterator<Item = Measurement>) {
        for family in [&self.age, &self.round_trip, &self.streams] {
            family.reset();
        }
        let mut count = 0;
        let mut total = LinkLoad::default();
        for Measurement {
            peer,
            link,
            age,
            load,
        } in tunnels
        {
            total.outgoing_bytes += load.outgoing_bytes;
            total.incoming_bytes += load.incoming_bytes;
            total.stalled_streams += load.stalled_streams;
            total.retained_bytes += load.retained_bytes;
            count += 1;
            if count > MOST_SERIES {
                continue;
            }
            let peer: String = peer.chars().take(MOST_NAME).collect();
            let labels = [peer, link.to_string()];
            self.age.with_label_values(&labels).set(age.as_secs_f64());
            self.streams
                .with_label_values(&labels)
                .set(number(load.streams));
            if let Some(round_trip) = load.round_trip {
                self.round_trip
                    .with_label_values(&labels)
                    .set(round_trip.as_secs_f64());
            }
        }
        self.count.set(number(count));
        self.stalled.set(number(total.stalled_streams));
        self.retained.set(number(total.retained_bytes));
        for (direction, bytes) in [
            ("outgoing", total.outgoing_bytes),
            ("incoming", total.incoming_bytes),
        ] {
            self.queued
                .with_label_values(&[direction])
                .set(number(bytes));
        }
    }
}

fn gauge(name: &str, help: &str) -> Gauge {
    Gauge::with_opts(opts(name, help)).expect("names in this file are well formed")
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    GaugeVec::new(opts(name, help), labels).expect("names and labels in this file are well formed")
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("dialback_{name}"), help)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "samples are floating point numbers"
)]
const fn number(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::metrics::render;

    #[derive(Debug)]
    struct Fixed(Measurement, Arc<AtomicBool>);

    impl Measured for Fixed {
        fn measure(&self) -> Option<Measurement> {
            (!self.is_over()).then(|| self.0.clone())
        }

        fn is_over(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }
    }

    fn measurement(peer: &str, link: u64, round_trip: Option<Duration>) -> Measurement {
        Measurement {
            peer: peer.to_owned(),
            link: LinkId(link),
            age: Duration::from_millis(1500),
            load: LinkLoad {
                streams: 3,
                pending_dials: 1,
                resumptions: 0,
                outgoing_bytes: 100,
                incoming_bytes: 10,
                stalled_streams: 2,
                retained_bytes: 1000,
                round_trip,
            },
        }
    }

    fn scrape(registry: &Registry) -> Vec<String> {
        let text = render::<&str>(registry, &[]);
        let lines = text.lines().filter(|line| line.starts_with("dialback_"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn tunnels_are_shown_while_they_last_and_summed() {
        let registry = Registry::new();
        let tunnels = LiveTunnels::new(&registry);
        let (first, second) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let fast = Some(Duration::from_millis(5));
        tunnels.began(Fixed(measurement("a", 1, fast), Arc::clone(&first)));
        tunnels.began(Fixed(measurement("b", 2, None), second));
        assert_eq!(
            scrape(&registry),
            [
                "dialback_queued_bytes{direction=\"incoming\"} 20",
                "dialback_queued_bytes{direction=\"outgoing\"} 200",
                "dialback_retained_bytes 2000",
                "dialback_stalled_streams 4",
                "dialback_tunnel_age_seconds{link=\"link:1\",peer=\"a\"} 1.5",
                "dialback_tunnel_age_seconds{link=\"link:2\",peer=\"b\"} 1.5",
                "dialback_tunnel_round_trip_seconds{link=\"link:1\",peer=\"a\"} 0.005",
                "dialback_tunnel_streams{link=\"link:1\",peer=\"a\"} 3",
                "dialback_tunnel_streams{link=\"link:2\",peer=\"b\"} 3",
                "dialback_tunnels 2",
            ]
        );
        first.store(true, Ordering::Relaxed);
        let left = scrape(&registry);
        assert!(left.iter().all(|line| !line.contains("link:1")), "{left:?}");
        assert!(left.contains(&"dialback_tunnels 1".to_owned()), "{left:?}");
        assert!(left.contains(&"dialback_retained_bytes 1000".to_owned()));
    }

    #[test]
    fn what_ended_is_not_kept_though_nobody_scrapes() {
        let tunnels = LiveTunnels::new(&Registry::new());
        for link in 0..1000 {
            let over = Arc::new(AtomicBool::new(true));
            tunnels.began(Fixed(measurement("a", link, None), over));
        }
        assert_eq!(tunnels.shown().tunnels.len(), 1);
    }

    /// Agents choose their names, and how many there are.
    #[test]
    fn series_and_names_are_bounded() {
        let registry = Registry::new();
        let tunnels = LiveTunnels::new(&registry);
        let name = "n".repeat(2 * MOST_NAME);
        for link in 0..=MOST_SERIES as u64 {
            tunnels.began(Fixed(measurement(&name, link, None), Arc::default()));
        }
        let lines = scrape(&registry);
        let ages = |line: &&String| line.starts_with("dialback_tunnel_age");
        assert_eq!(lines.iter().filter(ages).count(), MOST_SERIES);
        assert!(lines.iter().all(|line| line.len() < 2 * MOST_NAME));
        assert!(lines.contains(&format!("dialback_tunnels {}", MOST_SERIES + 1)));
    }
}
