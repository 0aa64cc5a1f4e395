//! Bytes per second for one, beside others who are not limited, and dials per second.

mod tenant;

use std::time::Duration;

use dialback_core::throttle::{Limit, LimitSubject, Rate, ThrottleConfig};
use dialback_runtime::Runtime as _;
use dialback_runtime::connectivity::DialbackStream;
use dialback_simulation::cast::{AgentOptions, ServerOptions, Way, start};
use dialback_simulation::{Host, Simulation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{World, echo, exchange};

const MEBIBYTE: u64 = 1 << 20;
/// Time for the burst to be used up.
const RAMP: Duration = Duration::from_secs(1);

fn options(limits: Vec<Limit>) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.config.throttle = Some(ThrottleConfig {
        limits,
        ..ThrottleConfig::default()
    });
    options
}

/// Sends as fast as it may, and counts what comes back, from `RAMP` on for `time`.
async fn bulk(host: Host, stream: DialbackStream<Host>, time: Duration) -> u64 {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let begun = host.now() + RAMP;
    let end = begun + time;
    let sending = async {
        let chunk = vec![7; 64 * 1024];
        while writer.write_all(&chunk).await.is_ok() {}
    };
    let receiving = async {
        let (mut buffer, mut bytes) = (vec![0; 64 * 1024], 0);
        while host.now() < end {
            let read = reader.read(&mut buffer).await.unwrap() as u64;
            if host.now() >= begun {
                bytes += read;
            }
        }
        bytes
    };
    tokio::select! {
        () = sending => panic!("the stream is over"),
        bytes = receiving => bytes,
    }
}

/// The 99th of a hundred exchanges, over `time`.
async fn late_echo(host: Host, mut stream: DialbackStream<Host>, time: Duration) -> Duration {
    let mut times = Vec::new();
    let end = host.now() + time;
    while host.now() < end {
        let begun = host.now();
        exchange(&mut stream, b"a little").await;
        times.push(host.now() - begun);
        host.sleep_until(host.now() + Duration::from_millis(5))
            .await;
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[test]
fn a_limit_of_bytes_holds_and_others_notice_little() {
    // What has to be shown, and a shorter run of the other way.
    for (way, rate, seconds) in [
        (Way::Connect, 20 * MEBIBYTE, 10),
        (Way::Grpc, 4 * MEBIBYTE, 3),
    ] {
        let (time, wanted) = (Duration::from_secs(seconds), rate * seconds);
        Simulation::run(1, async |simulation| {
            let limited = simulation.host("limited");
            let rate = Some(Rate {
                per_second: rate as f64,
                burst: 65536.0,
            });
            let limits = vec![Limit {
                matches: Some(limited.address(0).ip().to_string().parse().unwrap()),
                bytes_to_endpoints: rate,
                bytes_to_frontends: rate,
                ..Limit::new("bulk", LimitSubject::Destination)
            }];
            let world = World::with(simulation, options(limits), AgentOptions::default()).await;
            echo(&limited, 9);
            let other = world.echo(7);
            let dialer = world.dialer(way);
            let stream = dialer.dial(&other).await.unwrap();
            let alone = late_echo(world.frontend.clone(), stream, time).await;

            let mut jobs = Vec::new();
            for _ in 0..2 {
                let stream = dialer.dial(&limited.address(9).to_string()).await.unwrap();
                let loading = bulk(world.frontend.clone(), stream, time);
                jobs.push(start(&world.frontend, loading));
            }
            let stream = dialer.dial(&other).await.unwrap();
            let beside = late_echo(world.frontend.clone(), stream, time).await;
            let mut bytes = Vec::new();
            for job in jobs {
                bytes.push(job.await.unwrap());
            }
            let sum: u64 = bytes.iter().sum();
            tell(&format!(
                "{way:?}: {:.2} MiB/s, shares {bytes:?}, echo p99 {alone:?} alone, {beside:?} beside",
                sum as f64 / (seconds * MEBIBYTE) as f64
            ));
            assert!(sum.abs_diff(wanted) * 20 <= wanted, "{sum} of {wanted}");
            assert!(bytes[0].abs_diff(bytes[1]) * 10 <= sum, "{bytes:?}");
            assert!(beside <= 2 * alone, "{alone:?}, {beside:?}");
            simulation.kill(&limited);
            world.end().await;
        });
    }
}

#[test]
fn dials_start_at_their_rate_and_all_of_them() {
    const DIALS: u32 = 40;
    for way in Way::ALL {
        Simulation::run(1, async |simulation| {
            let limits = vec![Limit {
                dials: Some(Rate {
                    per_second: 10.0,
                    burst: 5.0,
                }),
                ..Limit::new("dials", LimitSubject::Total)
            }];
            let world = World::with(simulation, options(limits), AgentOptions::default()).await;
            let address = world.echo(7);
            let begun = simulation.elapsed();
            let jobs: Vec<_> = (0..DIALS)
                .map(|_| {
                    let (dialer, address) = (world.dialer(way), address.clone());
                    start(&world.frontend, async move {
                        let mut stream = dialer.dial(&address).await.unwrap();
                        exchange(&mut stream, b"x").await;
                    })
                })
                .collect();
            for job in jobs {
                job.await.unwrap();
            }
            let took = simulation.elapsed() - begun;
            let least = Duration::from_millis(3500);
            assert!(
                took >= least && took < least + Duration::from_millis(200),
                "{took:?}"
            );
            world.end().await;
        });
    }
}

#[expect(clippy::print_stdout, reason = "what was measured")]
fn tell(text: &str) {
    println!("{text}");
}
