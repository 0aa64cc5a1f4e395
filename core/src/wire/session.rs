//! The words of a session's start and of its resumption, in the metadata of the Connect call (`resume/1`).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

/// Header of the server's response that names the session: `id=…;token=…;timeout=…`.
pub const SESSION: &str = "dialback-session";

/// Header of an agent's request that offers to go on with a session, `id=…;token=…;received=…`, once for each
/// session that it would resume; and of the response of a server that does, `id=…;received=…`.
pub const RESUME: &str = "dialback-resume";

/// The value of [`RESUME`] in a request of an agent that holds no session: what a server keeps for it is in vain.
pub const NO_SESSION: &str = "none";

/// Offers of one request that a server looks at.
pub const MAX_RESUME_OFFERS: usize = 8;

/// The longest value that is looked at, in bytes.
const MAX_BYTES: usize = 256;

/// Names a session; 128 random bits, no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

/// Proves that who offers a resumption is who was granted the session; 256 random bits of a generator fit for
/// secrets. Compared in constant time.
#[derive(Clone, Copy)]
pub struct SessionToken([u8; 32]);

impl SessionId {
    /// An id of these bytes, drawn at random.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl SessionToken {
    /// A token of these bytes, drawn at random.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl PartialEq for SessionToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SessionToken {}

/// Says nothing of the token: it must not come into a log.
impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

/// A server's grant of a session, or of the next token of one that was resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionGrant {
    /// The session.
    pub id: SessionId,
    /// What the next resumption must prove itself with.
    pub token: SessionToken,
    /// How long the server keeps the session without a transport, in whole seconds on the wire.
    pub timeout: Duration,
}

/// An agent's offer to go on with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeOffer {
    /// The session.
    pub id: SessionId,
    /// The token that came with it last.
    pub token: SessionToken,
    /// Packets that the agent took in this session.
    pub received: u64,
}

/// A server's word that it goes on with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeAnswer {
    /// The session.
    pub id: SessionId,
    /// Packets that the server took in this session.
    pub received: u64,
}

impl SessionGrant {
    /// Reads a value of [`SESSION`]; `None` when it makes no sense.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let fields = Fields::new(value)?;
        Some(Self {
            id: fields.id()?,
            token: fields.token()?,
            timeout: Duration::from_secs(fields.number("timeout")?),
        })
    }
}

/// The header's value; it holds the token.
impl fmt::Display for SessionGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = URL_SAFE_NO_PAD.encode(self.token.0);
        let timeout = self.timeout.as_secs();
        write!(f, "id={};token={token};timeout={timeout}", self.id)
    }
}

impl ResumeOffer {
    /// Reads all values of [`RESUME`] in a request, as far as they make sense; no more than
    /// [`MAX_RESUME_OFFERS`] are looked at.
    pub fn parse_all<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Vec<Self> {
        let parse = |value: V| {
            let fields = Fields::new(value.as_ref())?;
            Some(Self {
                id: fields.id()?,
                token: fields.token()?,
                received: fields.number("received")?,
            })
        };
        values
            .into_iter()
            .take(MAX_RESUME_OFFERS)
            .filter_map(parse)
            .collect()
    }
}

/// The header's value; it holds the token.
impl fmt::Display for ResumeOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = URL_SAFE_NO_PAD.encode(self.token.0);
        write!(f, "id={};token={token};received={}", self.id, self.received)
    }
}

impl ResumeAnswer {
    /// Reads the value of [`RESUME`] in a response; `None` when it makes no sense.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let fields = Fields::new(value)?;
        Some(Self {
            id: fields.id()?,
            received: fields.number("received")?,
        })
    }
}

/// The header's value.
impl fmt::Display for ResumeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "id={};received={}", self.id, self.received)
    }
}

/// `key=value` items with `;` between them; unknown keys are passed over, the first of a key counts.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn new(value: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(value).ok()?;
        (text.len() <= MAX_BYTES).then_some(Self(text))
    }

    fn find(&self, wanted: &str) -> Option<&'a str> {
        self.0
            .split(';')
            .filter_map(|item| item.trim().split_once('='))
            .find(|(key, _)| *key == wanted)
            .map(|(_, value)| value)
    }

    fn id(&self) -> Option<SessionId> {
        self.bytes("id").map(SessionId)
    }

    fn token(&self) -> Option<SessionToken> {
        self.bytes("token").map(SessionToken)
    }

    fn bytes<const N: usize>(&self, key: &str) -> Option<[u8; N]> {
        URL_SAFE_NO_PAD
            .decode(self.find(key)?)
            .ok()?
            .try_into()
            .ok()
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.find(key)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    const ID: SessionId = SessionId([0xfb; 16]);
    const TOKEN: SessionToken = SessionToken([0x5a; 32]);

    #[test]
    fn the_words_are_those_of_the_specification() {
        let grant = SessionGrant {
            id: ID,
            token: TOKEN,
            timeout: Duration::from_secs(30),
        };
        let words = "id=-_v7-_v7-_v7-_v7-_v7-w;token=WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo;timeout=30";
        assert_eq!(grant.to_string(), words);
        assert_eq!(SessionGrant::parse(words.as_bytes()), Some(grant));
        let answer = ResumeAnswer {
            id: ID,
            received: 7,
        };
        assert_eq!(answer.to_string(), "id=-_v7-_v7-_v7-_v7-_v7-w;received=7");
        assert_eq!(
            ResumeAnswer::parse(b" received=7 ; colour=red; id=-_v7-_v7-_v7-_v7-_v7-w"),
            Some(answer)
        );
    }

    #[test]
    fn what_makes_no_sense_is_no_session() {
        for words in [
            "",
            "id=-_v7-_v7-_v7-_v7-_v7-w",
            "id=-_v7-_v7-_v7-_v7-_v7;received=7",
            "id=+/v7+/v7+/v7+/v7+/v7+w;received=7",
            "id=-_v7-_v7-_v7-_v7-_v7-w;received=-1",
            "id=-_v7-_v7-_v7-_v7-_v7-w;received=18446744073709551616",
        ] {
            assert_eq!(ResumeAnswer::parse(words.as_bytes()), None, "{words}");
        }
        let long = format!("{};id={ID};received=7", "x".repeat(MAX_BYTES));
        assert_eq!(ResumeAnswer::parse(long.as_bytes()), None);
    }

    #[test]
    fn a_token_is_not_shown() {
        let offer = ResumeOffer {
            id: ID,
            token: TOKEN,
            received: 0,
        };
        assert!(!format!("{offer:?}").contains("Wlpa"));
    }

    #[test]
    fn no_more_offers_are_looked_at_than_allowed() {
        let offer = ResumeOffer {
            id: ID,
            token: TOKEN,
            received: 1,
        };
        let values = vec![offer.to_string(); MAX_RESUME_OFFERS + 1];
        assert_eq!(
            ResumeOffer::parse_all(values),
            vec![offer; MAX_RESUME_OFFERS]
        );
    }

    quickcheck! {
        fn any_bytes_are_read(value: Vec<u8>) -> bool {
            ResumeOffer::parse_all([value.as_slice()]).is_empty()
                && SessionGrant::parse(&value).is_none()
                && ResumeAnswer::parse(&value).is_none()
        }
    }
}
