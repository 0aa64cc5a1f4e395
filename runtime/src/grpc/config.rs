//! Settings of a connection, with the presets that Dialback runs with.

use std::time::Duration;

use dialback_core::http2::PingPolicy;
use dialback_core::wire::MAX_MESSAGE_BYTES;
use http::HeaderValue;

/// How long a connecting peer may take for TLS and the HTTP/2 preface together; grpc-go's server default.
pub const ACCEPT_TIMEOUT: Duration = Duration::from_secs(120);

/// The largest flow-control window that HTTP/2 knows.
pub(super) const MAX_WINDOW: u32 = (1 << 31) - 1;

/// What both ends of a connection set the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Config {
    /// Bytes that the peer may send on one stream before the reader has taken any: its share of our memory,
    /// and the limit of its throughput (window per round trip). At most 2^31 - 1.
    pub stream_window: u32,
    /// Bytes that the peer may send on all streams of the connection together. At most 2^31 - 1.
    ///
    /// h2 gives connection window back only when a stream is read, so a stream that nobody reads takes its
    /// share away from all others. Make it many times `stream_window`, so that no such stream can stall its
    /// neighbours. What can really be held is `stream_window` times the number of open streams.
    ///
    /// The worst that a peer can do is to fill it with frames of one byte, each of which costs about 256
    /// bytes here.
    pub connection_window: u32,
    /// The largest HTTP/2 frame we accept, 16,384 to 16,777,215 bytes. With room for a whole message a peer
    /// that honours it sends each one in one frame, which needs no assembling. Go always uses 16,384.
    pub max_frame_size: u32,
    /// Bytes that h2 takes for sending on one stream beyond what the peer's window and the socket take now.
    /// Larger wastes memory and delays what is sent next; smaller means more wake-ups.
    pub max_send_buffer: usize,
    /// The largest header list we accept, in bytes as HTTP/2 counts them (name, value and 32 a field).
    pub max_header_list: u32,
    /// The largest message we accept, in bytes. A larger one ends the RPC.
    pub max_message: usize,
    /// Streams that we reset and still remember, so that what was already under way to them is ignored
    /// instead of being counted against the peer.
    pub max_reset_streams: usize,
    /// Streams the peer may have opened and reset again before we took them (RFC 9113, section 10.5;
    /// CVE-2023-44487). More closes the connection.
    pub max_pending_reset_streams: usize,
    /// Streams that we may reset over the connection's life because the peer broke the protocol on them.
    /// More closes the connection.
    pub max_error_reset_streams: usize,
}

impl Http2Config {
    /// What [`stream_window`](Self::stream_window) becomes for a tunnel whose streams have credit of their own
    /// ([`ServerConnection::set_stream_window`](super::ServerConnection::set_stream_window)), in bytes.
    ///
    /// h2 gives window back only when a third of it is used up, so a stream has two thirds of it to fill its path
    /// with. Twice what a session may have under way by default
    /// ([`SessionConfig::retained_bytes`](dialback_core::SessionConfig::retained_bytes)), it holds nothing back: a
    /// tunnel that waits for window keeps all its streams waiting. Nothing more is held for it either, since a
    /// tunnel of streams with credit is always read.
    pub const CREDITED_STREAM_WINDOW: u32 = 32 * 1024 * 1024;

    /// For an agent's connection: one long-lived stream, which carries everything.
    #[must_use]
    pub const fn tunnel() -> Self {
        Self {
            stream_window: 8 * 1024 * 1024,
            connection_window: Self::CREDITED_STREAM_WINDOW,
            max_frame_size: 128 * 1024,
            max_send_buffer: 128 * 1024,
            max_header_list: 64 * 1024,
            max_message: MAX_MESSAGE_BYTES,
            max_reset_streams: 50,
            max_pending_reset_streams: 20,
            max_error_reset_streams: 1024,
        }
    }

    /// For a frontend's connection: any number of streams that come and go, each with a small share.
    #[must_use]
    pub const fn frontend() -> Self {
        Self {
            stream_window: 256 * 1024,
            connection_window: MAX_WINDOW,
            max_frame_size: 64 * 1024,
            max_send_buffer: 128 * 1024,
            max_header_list: 64 * 1024,
            max_message: MAX_MESSAGE_BYTES,
            // A frontend that cancels many calls at once, or writes on while we end a stream, is an everyday
            // thing (the API server does both) and must not cost it the whole connection.
            max_reset_streams: 1024,
            max_pending_reset_streams: 1024,
            max_error_reset_streams: 1 << 20,
        }
    }

    /// Within what HTTP/2 allows (RFC 9113, section 6.9.1), as are the next two; h2 panics beyond.
    pub(crate) fn legal_stream_window(&self) -> u32 {
        self.stream_window.min(MAX_WINDOW)
    }

    pub(crate) fn legal_connection_window(&self) -> u32 {
        self.connection_window.min(MAX_WINDOW)
    }

    pub(crate) fn legal_max_frame_size(&self) -> u32 {
        self.max_frame_size.clamp(1 << 14, (1 << 24) - 1)
    }

    /// h2's allowance for small DATA frames that nobody has read yet, chosen so that only the windows count.
    ///
    /// h2 closes a connection on which too many small frames wait unread (RUSTSEC-2026-0258). It charges up
    /// to 256 a frame; this covers the worst a peer can send within the connection window, so a legitimate
    /// tunnel of small packets is never taken for an attack, and memory stays bounded by the windows.
    pub(crate) fn data_frame_budget(&self) -> usize {
        usize::try_from(self.legal_connection_window())
            .unwrap_or(usize::MAX)
            .saturating_mul(256)
    }
}

/// When to ask a silent peer whether it is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepaliveConfig {
    /// How long nothing may arrive before a PING is sent.
    pub time: Duration,
    /// How long nothing may arrive after that before the connection is given up.
    pub timeout: Duration,
}

impl KeepaliveConfig {
    /// How long a PING may stay unanswered in Konnectivity, and its `TCP_USER_TIMEOUT`.
    pub const TIMEOUT: Duration = Duration::from_secs(20);

    /// A server's keep-alive; a `time` of zero means 2 h, and anything below 1 s means 1 s, as in grpc-go
    /// (internal/transport/http2_server.go, server.go `KeepaliveParams`).
    #[must_use]
    pub fn server(time: Duration) -> Self {
        let time = if time.is_zero() {
            Duration::from_secs(2 * 60 * 60)
        } else {
            time.max(Duration::from_secs(1))
        };
        Self {
            time,
            timeout: Self::TIMEOUT,
        }
    }

    /// A client's keep-alive; a `time` below 10 s means 10 s, as in grpc-go (dialoptions.go,
    /// `WithKeepaliveParams`). Servers close the connection of a client that pings more often than every 30 s.
    #[must_use]
    pub fn client(time: Duration) -> Self {
        Self {
            time: time.max(Duration::from_secs(10)),
            timeout: Self::TIMEOUT,
        }
    }
}

/// Settings of a listener's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// What both ends have.
    pub http2: Http2Config,
    /// How many calls a client may have open at once; more are refused (`REFUSED_STREAM`).
    pub max_streams: u32,
    /// When to ping a silent client.
    pub keepalive: KeepaliveConfig,
    /// How often a client may ping us; more closes the connection.
    pub pings: PingPolicy,
    /// Accept any `:authority`. To be set on Unix sockets, over which Go clients send the socket's path,
    /// percent-encoded, and others send it plain; h2 would refuse both.
    pub any_authority: bool,
}

impl ServerConfig {
    /// The agent listener; `keepalive_time` as for [`KeepaliveConfig::server`].
    #[must_use]
    pub fn agents(keepalive_time: Duration) -> Self {
        Self {
            http2: Http2Config::tunnel(),
            max_streams: 100,
            keepalive: KeepaliveConfig::server(keepalive_time),
            pings: PingPolicy::AGENT_LISTENER,
            any_authority: false,
        }
    }

    /// The frontend listener; `keepalive_time` as for [`KeepaliveConfig::server`].
    #[must_use]
    pub fn frontends(keepalive_time: Duration) -> Self {
        Self {
            http2: Http2Config::frontend(),
            max_streams: 10_000,
            keepalive: KeepaliveConfig::server(keepalive_time),
            pings: PingPolicy::FRONTEND_LISTENER,
            any_authority: false,
        }
    }
}

/// Settings of a client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// What both ends have.
    pub http2: Http2Config,
    /// When to ping a silent server; `None` for never.
    pub keepalive: Option<KeepaliveConfig>,
    /// The `user-agent`, which servers log.
    pub user_agent: HeaderValue,
}

impl ClientConfig {
    /// An agent's connection; `keepalive_time` as for [`KeepaliveConfig::client`].
    #[must_use]
    pub fn agent(keepalive_time: Duration) -> Self {
        Self {
            http2: Http2Config::tunnel(),
            keepalive: Some(KeepaliveConfig::client(keepalive_time)),
            user_agent: HeaderValue::from_static(USER_AGENT),
        }
    }

    /// A frontend's connection; without keep-alive, as Konnectivity's client library.
    #[must_use]
    pub fn frontend() -> Self {
        Self {
            http2: Http2Config::frontend(),
            keepalive: None,
            user_agent: HeaderValue::from_static(USER_AGENT),
        }
    }
}

/// How long a stream that we reset is remembered, as long as there are few enough of them.
pub(crate) const RESET_MEMORY: Duration = Duration::from_secs(30);

const USER_AGENT: &str = concat!("dialback/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalive_times_follow_grpc_go() {
        let seconds = Duration::from_secs;
        assert_eq!(KeepaliveConfig::server(Duration::ZERO).time, seconds(7200));
        assert_eq!(
            KeepaliveConfig::server(Duration::from_millis(3)).time,
            seconds(1)
        );
        assert_eq!(KeepaliveConfig::server(seconds(3600)).time, seconds(3600));
        assert_eq!(KeepaliveConfig::client(Duration::ZERO).time, seconds(10));
        assert_eq!(KeepaliveConfig::client(seconds(11)).time, seconds(11));
    }

    #[test]
    fn the_budget_covers_a_window_of_single_bytes() {
        let config = Http2Config::tunnel();
        assert_eq!(config.data_frame_budget(), 256 * 32 * 1024 * 1024);
    }
}
