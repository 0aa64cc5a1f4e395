//! Pings to a silent peer.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use h2::{Ping, PingPong};

use super::activity::Activity;
use super::config::KeepaliveConfig;
use crate::runtime::Runtime;
use crate::timer::Timer;

/// Finds out that a peer is gone; grpc-go's rules (internal/transport/http2_client.go, `keepalive`): whatever
/// arrives is a sign of life, an acknowledgement or not.
#[derive(Debug)]
pub(crate) struct Keepalive<R: Runtime> {
    runtime: R,
    config: KeepaliveConfig,
    activity: Arc<Activity>,
    seen_reads: u64,
    pings: PingPong,
    /// A PING was sent and nothing arrived since.
    asked: bool,
    timer: Timer<R>,
}

impl<R: Runtime> Keepalive<R> {
    pub(crate) fn new(
        runtime: R,
        config: KeepaliveConfig,
        activity: Arc<Activity>,
        pings: PingPong,
    ) -> Self {
        let mut keepalive = Self {
            timer: Timer::new(runtime.clone()),
            seen_reads: activity.reads(),
            asked: false,
            config,
            activity,
            pings,
            runtime,
        };
        let now = keepalive.runtime.now();
        keepalive.heard(now);
        keepalive
    }

    /// Ready when the peer is to be given up. To be polled after the connection was.
    pub(crate) fn poll_dead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reads = self.activity.reads();
        if reads != self.seen_reads {
            self.seen_reads = reads;
            let now = self.runtime.now();
            self.heard(now);
        }
        while let Poll::Ready(now) = self.timer.poll(cx) {
            if self.asked {
                return Poll::Ready(());
            }
            // Taking the last acknowledgement makes room for the next PING. If that never came, although other
            // things did, there is one under way still, and its time counts from now.
            let _ = self.pings.poll_pong(cx);
            let _ = self.pings.send_ping(Ping::opaque());
            self.asked = true;
            self.timer.set(now.checked_add(self.config.timeout));
        }
        Poll::Pending
    }

    fn heard(&mut self, now: Instant) {
        self.asked = false;
        self.timer.set(now.checked_add(self.config.time));
    }
}
