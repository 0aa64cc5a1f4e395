//! How many PINGs a client may send, as grpc-go's server enforces it (`internal/transport/http2_server.go`,
//! `handlePing`).

use std::time::{Duration, Instant};

use super::frames::{ACK, DATA, FrameHeader, FrameWalker, HEADERS, PING};

/// So many PINGs may come too soon; one more ends the connection. grpc-go's `maxPingStrikes`.
const MAX_STRIKES: u8 = 2;

/// How often a client may ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingPolicy {
    /// The shortest time between two PINGs while streams are open. Smaller values tolerate more.
    pub min_interval: Duration,
    /// The same while none is open.
    pub min_interval_idle: Duration,
}

impl PingPolicy {
    /// Of the agent listener: 30 s, with and without streams.
    pub const AGENT_LISTENER: Self = Self {
        min_interval: Duration::from_secs(30),
        min_interval_idle: Duration::from_secs(30),
    };

    /// Of the gRPC frontend listener, grpc-go's default: 5 min, and 2 h without streams.
    pub const FRONTEND_LISTENER: Self = Self {
        min_interval: Duration::from_secs(5 * 60),
        min_interval_idle: Duration::from_secs(2 * 60 * 60),
    };
}

/// The client pinged too often: to be told so with GOAWAY, and its connection to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("client sent too many pings")]
pub struct TooManyPings;

impl TooManyPings {
    /// The error code of the GOAWAY: `ENHANCE_YOUR_CALM` (RFC 9113 section 7).
    pub const ERROR_CODE: u32 = 0xb;
    /// The debug data of the GOAWAY, by which clients know to ping less.
    pub const DEBUG_DATA: &'static [u8] = b"too_many_pings";
}

/// Counts the PINGs of one connection at its server.
///
/// A PING is a strike when it comes too soon after the one before, unless HEADERS or DATA were sent since:
/// Go clients measure bandwidth with a PING for nearly every piece of data, and those have to be free.
#[derive(Clone, Debug)]
pub struct PingEnforcer {
    policy: PingPolicy,
    received: FrameWalker,
    sent: FrameWalker,
    strikes: u8,
    last_ping: Option<Instant>,
    sent_since_ping: bool,
}

impl PingEnforcer {
    /// For a fresh connection, before its first byte.
    #[must_use]
    pub const fn new(policy: PingPolicy) -> Self {
        Self {
            policy,
            received: FrameWalker::client(),
            sent: FrameWalker::server(),
            strikes: 0,
            last_ping: None,
            sent_since_ping: false,
        }
    }

    /// Looks at the next bytes from the client; any split will do.
    ///
    /// `open_streams` is how many streams the connection has at the moment.
    ///
    /// # Errors
    ///
    /// When the client pinged too often, from then on at every PING too soon.
    pub fn handle_received(
        &mut self,
        now: Instant,
        bytes: &[u8],
        open_streams: usize,
    ) -> Result<(), TooManyPings> {
        let mut pings = 0_usize;
        self.received.for_each_header(bytes, |header| {
            pings += usize::from(header.kind == PING && !header.has(ACK));
        });
        for _ in 0..pings {
            self.handle_ping(now, open_streams)?;
        }
        Ok(())
    }

    /// Looks at the next bytes towards the client; any split will do.
    pub fn handle_sent(&mut self, bytes: &[u8]) {
        let sent_since_ping = &mut self.sent_since_ping;
        self.sent
            .for_each_header(bytes, |FrameHeader { kind, .. }| {
                *sent_since_ping |= matches!(kind, HEADERS | DATA);
            });
    }

    fn handle_ping(&mut self, now: Instant, open_streams: usize) -> Result<(), TooManyPings> {
        let last = self.last_ping.replace(now);
        if std::mem::take(&mut self.sent_since_ping) {
            self.strikes = 0;
            return Ok(());
        }
        let min_interval = if open_streams > 0 {
            self.policy.min_interval
        } else {
            self.policy.min_interval_idle
        };
        if last.is_some_and(|last| now.saturating_duration_since(last) < min_interval) {
            self.strikes = self.strikes.saturating_add(1);
        }
        if self.strikes > MAX_STRIKES {
            return Err(TooManyPings);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::tests::{client_stream, frame};
    use super::*;

    struct Client {
        enforcer: PingEnforcer,
        now: Instant,
        open_streams: usize,
    }

    impl Client {
        #[expect(
            clippy::disallowed_methods,
            reason = "the epoch of a test; all else is an offset"
        )]
        fn new(policy: PingPolicy) -> Self {
            let now = Instant::now();
            let mut enforcer = PingEnforcer::new(policy);
            assert_eq!(
                enforcer.handle_received(now, &client_stream(&[]), 1),
                Ok(())
            );
            Self {
                enforcer,
                now,
                open_streams: 1,
            }
        }

        fn ping_after(&mut self, seconds: u64) -> Result<(), TooManyPings> {
            self.now += Duration::from_secs(seconds);
            let ping = frame(PING, 0, &[0; 8]);
            self.enforcer
                .handle_received(self.now, &ping, self.open_streams)
        }
    }

    #[test]
    fn the_fourth_quick_ping_is_too_much() {
        let mut client = Client::new(PingPolicy::AGENT_LISTENER);
        for _ in 0..3 {
            assert_eq!(client.ping_after(1), Ok(()));
        }
        assert_eq!(client.ping_after(1), Err(TooManyPings));
    }

    #[test]
    fn pings_at_the_least_interval_are_free() {
        let mut client = Client::new(PingPolicy::AGENT_LISTENER);
        for _ in 0..10 {
            assert_eq!(client.ping_after(30), Ok(()));
        }
        assert_eq!(client.enforcer.strikes, 0);
        assert_eq!(client.ping_after(29), Ok(()));
        assert_eq!(client.enforcer.strikes, 1);
    }

    #[test]
    fn idle_connections_have_an_interval_of_their_own() {
        let mut client = Client::new(PingPolicy::FRONTEND_LISTENER);
        client.open_streams = 0;
        for _ in 0..3 {
            assert_eq!(client.ping_after(300), Ok(()));
        }
        assert_eq!(client.ping_after(300), Err(TooManyPings));
    }

    #[test]
    fn sending_headers_or_data_forgives_all_strikes() {
        for kind in [HEADERS, DATA] {
            let mut client = Client::new(PingPolicy::FRONTEND_LISTENER);
            for _ in 0..100 {
                assert_eq!(client.ping_after(0), Ok(()));
                assert_eq!(client.ping_after(0), Ok(()));
                client.enforcer.handle_sent(&frame(kind, 0, &[1, 2, 3]));
            }
        }
    }

    #[test]
    fn what_else_is_sent_forgives_nothing() {
        let mut client = Client::new(PingPolicy::AGENT_LISTENER);
        for _ in 0..3 {
            assert_eq!(client.ping_after(0), Ok(()));
            // SETTINGS, PING answers and WINDOW_UPDATE.
            client.enforcer.handle_sent(&frame(4, 0, &[]));
            client.enforcer.handle_sent(&frame(PING, ACK, &[0; 8]));
            client.enforcer.handle_sent(&frame(8, 0, &[0; 4]));
        }
        assert_eq!(client.ping_after(0), Err(TooManyPings));
    }

    #[test]
    fn answers_and_payload_that_looks_like_pings_do_not_count() {
        let mut client = Client::new(PingPolicy::AGENT_LISTENER);
        let answer = frame(PING, ACK, &[0; 8]);
        let data = frame(DATA, 0, &frame(PING, 0, &[0; 8]));
        for _ in 0..10 {
            for frame in [&answer, &data] {
                for byte in frame {
                    assert_eq!(
                        client.enforcer.handle_received(client.now, &[*byte], 1),
                        Ok(())
                    );
                }
            }
        }
        assert_eq!(client.enforcer.last_ping, None);
    }

    #[test]
    fn pings_in_one_chunk_all_count() {
        let mut client = Client::new(PingPolicy::AGENT_LISTENER);
        let four = frame(PING, 0, &[0; 8]).repeat(4);
        assert_eq!(
            client.enforcer.handle_received(client.now, &four, 1),
            Err(TooManyPings)
        );
    }
}
