//! The negotiation of what only Dialback knows, in the metadata of the Connect call.

use std::fmt;

/// Header of an agent's offer in the request and of the server's answer in the response.
pub const EXTENSIONS: &str = "dialback-extensions";

const DIALLED_ADDRESS: &str = "dialled-address/1";
const DRAIN: &str = "drain/1";
const FLOW_CONTROL: &str = "flow-control/1";
const HALF_CLOSE: &str = "half-close/1";
const RESET: &str = "reset/1";
const RESUME: &str = "resume/1";

/// How much of a peer's header is looked at, in bytes; what follows is as if it were not there.
const MAX_BYTES: usize = 4096;

/// A set of extensions: an offer, or what was accepted of one.
///
/// On the wire a comma list of `name/version` with `;key=value` parameters, such as
/// `flow-control/1;window=262144`. Each side states its own receive window. What a side does not know it
/// leaves out, so old and new versions meet on what both have; no header at all is plain Konnectivity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// `flow-control/1`: the payload bytes that this side takes on each new stream before it grants more by
    /// `WINDOW`; from 1 to `i64::MAX`.
    pub flow_control: Option<u64>,
    /// `dialled-address/1`: an agent tells with its good answer to a dial which address it connected to.
    pub dialled_address: bool,
    /// `drain/1`: a server that is about to stop says so with `DRAIN`, as agents do without it.
    pub drain: bool,
    /// `half-close/1`: `CLOSE_WRITE` ends one direction of a stream and leaves the other.
    pub half_close: bool,
    /// `reset/1`: `RESET` ends a stream early, with its reason.
    pub reset: bool,
    /// `resume/1`: the streams of a tunnel outlive its transport. It stands on `flow-control/1`, without which a
    /// tunnel that is not read for one slow stream could not be told from a dead one.
    pub resume: bool,
}

impl Extensions {
    /// Plain Konnectivity.
    pub const NONE: Self = Self {
        flow_control: None,
        dialled_address: false,
        drain: false,
        half_close: false,
        reset: false,
        resume: false,
    };

    /// Everything that Dialback has; `window` is as in [`Extensions::flow_control`].
    #[must_use]
    pub const fn all(window: u64) -> Self {
        Self {
            flow_control: Some(window),
            dialled_address: true,
            drain: true,
            half_close: true,
            reset: true,
            resume: true,
        }
    }

    /// Reads all values of [`EXTENSIONS`] in a request or response.
    ///
    /// Never fails: unknown extensions, versions and parameters are skipped, and a known extension with a
    /// parameter that makes no sense counts as not offered. The first mention of an extension counts.
    pub fn parse<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Self {
        let mut extensions = Self::NONE;
        let mut left = MAX_BYTES;
        for value in values {
            let value = value.as_ref();
            let looked_at = value.len().min(left);
            left -= looked_at;
            // A cut-off item could read as another one: 65536 as 6553.
            let whole = if looked_at == value.len() {
                value
            } else {
                let end = value[..looked_at].iter().rposition(|byte| *byte == b',');
                &value[..end.unwrap_or(0)]
            };
            for item in whole.split(|byte| *byte == b',') {
                extensions.take_item(item);
            }
        }
        extensions
    }

    /// What a server accepts of an agent's offer: the extensions that both have, each with `self`'s own
    /// parameters.
    #[must_use]
    pub fn accept(self, offer: Self) -> Self {
        let flow_control = self.flow_control.filter(|_| offer.flow_control.is_some());
        Self {
            flow_control,
            dialled_address: self.dialled_address && offer.dialled_address,
            drain: self.drain && offer.drain,
            half_close: self.half_close && offer.half_close,
            reset: self.reset && offer.reset,
            resume: self.resume && offer.resume && flow_control.is_some(),
        }
    }

    /// True when there is nothing to send a header for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    fn take_item(&mut self, item: &[u8]) {
        let Ok(item) = str::from_utf8(item) else {
            return;
        };
        let mut parts = item.split(';').map(str::trim);
        match parts.next() {
            Some(FLOW_CONTROL) if self.flow_control.is_none() => {
                self.flow_control = parts
                    .filter_map(|parameter| parameter.split_once('='))
                    .find(|(key, _)| *key == "window")
                    .and_then(|(_, window)| window.parse().ok())
                    .filter(|window| (1..=i64::MAX as u64).contains(window));
            }
            Some(DIALLED_ADDRESS) => self.dialled_address = true,
            Some(DRAIN) => self.drain = true,
            Some(HALF_CLOSE) => self.half_close = true,
            Some(RESET) => self.reset = true,
            Some(RESUME) => self.resume = true,
            Some(_) | None => {}
        }
    }
}

/// The header's value.
impl fmt::Display for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(window) = self.flow_control {
            write!(f, "{FLOW_CONTROL};window={window}")?;
            separator = ", ";
        }
        for (has, name) in [
            (self.dialled_address, DIALLED_ADDRESS),
            (self.drain, DRAIN),
            (self.half_close, HALF_CLOSE),
            (self.reset, RESET),
            (self.resume, RESUME),
        ] {
            if has {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn window(values: &[&str]) -> Option<u64> {
        Extensions::parse(values).flow_control
    }

    #[test]
    fn what_others_add_is_skipped() {
        for offer in [
            "flow-control/1;window=262144, half-close/1, resume/1",
            "resume/1,flow-control/1;window=262144",
            "  flow-control/1 ; colour=blue ; window=262144 ; window=7",
            "flow-control/2;window=9,flow-control/1;window=262144",
            ",,flow-control/1;window=262144,flow-control/1;window=9",
        ] {
            assert_eq!(window(&[offer]), Some(262_144), "{offer}");
        }
        assert_eq!(
            window(&["resume/1", "flow-control/1;window=1"]),
            Some(1),
            "values of several header lines form one list"
        );
    }

    #[test]
    fn what_makes_no_sense_is_not_offered() {
        for offer in [
            "",
            "flow-control/1",
            "flow-control/1;window",
            "flow-control/1;window=",
            "flow-control/1;window=0",
            "flow-control/1;window=-1",
            "flow-control/1;window=9223372036854775808",
            "flow-control;window=1",
            "Flow-Control/1;window=1",
        ] {
            assert_eq!(window(&[offer]), None, "{offer}");
        }
        assert_eq!(
            Extensions::parse([b"flow-control/1;window=1\xff"]),
            Extensions::NONE
        );
        assert_eq!(
            window(&["flow-control/1;window=9223372036854775807"]),
            Some(i64::MAX as u64)
        );
    }

    #[test]
    fn long_headers_are_cut_between_items() {
        let room = MAX_BYTES - "flow-control/1;window=65536".len();
        let offer = |padding: usize| format!("{}flow-control/1;window=65536", " ".repeat(padding));
        assert_eq!(window(&[&offer(room)]), Some(65_536));
        assert_eq!(window(&[&offer(room + 1)]), None);
    }

    #[test]
    fn a_server_accepts_what_both_have() {
        let ours = Extensions {
            flow_control: Some(7),
            half_close: true,
            ..Extensions::NONE
        };
        let theirs = Extensions {
            flow_control: Some(9),
            dialled_address: true,
            reset: true,
            ..ours
        };
        assert_eq!(ours.accept(theirs), ours);
        assert_eq!(ours.accept(Extensions::NONE), Extensions::NONE);
        assert_eq!(Extensions::NONE.accept(theirs), Extensions::NONE);
        assert!(Extensions::NONE.is_empty() && !ours.is_empty());
    }

    #[test]
    fn resumption_stands_on_flow_control() {
        let ours = Extensions::parse(["resume/1, flow-control/1;window=7"]);
        assert!(ours.resume && ours.accept(ours).resume);
        assert_eq!(
            ours.accept(Extensions::parse(["resume/1"])),
            Extensions::NONE
        );
    }

    quickcheck! {
        fn what_is_written_is_read(window: Option<u64>, flags: (bool, bool, bool, bool, bool)) -> bool {
            let (dialled_address, drain, half_close, reset, resume) = flags;
            let extensions = Extensions {
                flow_control: window.map(|window| window >> 1 | 1),
                dialled_address,
                drain,
                half_close,
                reset,
                resume,
            };
            Extensions::parse([extensions.to_string()]) == extensions
        }

        fn any_bytes_are_read(values: Vec<Vec<u8>>) -> bool {
            Extensions::parse(values).flow_control.is_none_or(|window| window > 0)
        }
    }
}
