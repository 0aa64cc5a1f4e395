//! Which sessions can be resumed, and by whom.

use std::collections::BTreeMap;

use crate::ids::LinkId;
use crate::wire::{ResumeOffer, SessionId, SessionToken};

/// The sessions of one server: what each link's agent must present to go on with it over another transport.
///
/// A token is good for one resumption. Its successor is told with the answer to that, and since the answer may be
/// lost on the way, the old one stands until the agent has used the new transport.
#[derive(Debug)]
pub struct Sessions {
    limit: usize,
    by_id: BTreeMap<SessionId, Entry>,
    by_link: BTreeMap<LinkId, SessionId>,
}

#[derive(Debug)]
struct Entry {
    link: LinkId,
    identity: Vec<u8>,
    token: SessionToken,
    previous: Option<SessionToken>,
    /// How often the session was resumed.
    resumptions: u64,
}

/// Why an offer to resume a session is refused; the `reason` of logs and metrics. The session, if there is one, is
/// unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum ResumeRefused {
    /// There is no such session here: it has ended, or is another server's.
    #[error("session is not known here")]
    Unknown,
    /// The token is not the session's, or was used before.
    #[error("token is wrong or was used before")]
    WrongToken,
    /// Who presents it is not who was granted the session.
    #[error("session belongs to another agent")]
    WrongIdentity,
    /// The agent's count of packets cannot be.
    #[error("count of packets is impossible")]
    WrongCount,
}

impl ResumeRefused {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::Unknown,
        Self::WrongToken,
        Self::WrongIdentity,
        Self::WrongCount,
    ];

    /// The label value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_session",
            Self::WrongToken => "wrong_token",
            Self::WrongIdentity => "wrong_identity",
            Self::WrongCount => "wrong_count",
        }
    }
}

impl Sessions {
    /// No sessions, and room for `limit`; agents that come beyond it get a tunnel that cannot be resumed.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            by_id: BTreeMap::new(),
            by_link: BTreeMap::new(),
        }
    }

    /// Whether another session may begin.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.by_id.len() < self.limit
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// A link's session begins. `identity` is what its agent authenticated as, in bytes that are compared as a
    /// whole; empty when agents do not authenticate.
    pub fn begin(&mut self, link: LinkId, identity: Vec<u8>, id: SessionId, token: SessionToken) {
        self.end(link);
        let entry = Entry {
            link,
            identity,
            token,
            previous: None,
            resumptions: 0,
        };
        self.by_id.insert(id, entry);
        self.by_link.insert(link, id);
    }

    /// The link that an offer is for.
    ///
    /// # Errors
    ///
    /// Why it is refused; what is asked first is said first, so that who holds no token learns nothing.
    pub fn check(&self, offer: &ResumeOffer, identity: &[u8]) -> Result<LinkId, ResumeRefused> {
        let entry = self.by_id.get(&offer.id).ok_or(ResumeRefused::Unknown)?;
        let known = offer.token == entry.token
            || entry
                .previous
                .is_some_and(|previous| offer.token == previous);
        if !known {
            return Err(ResumeRefused::WrongToken);
        }
        if entry.identity != identity {
            return Err(ResumeRefused::WrongIdentity);
        }
        Ok(entry.link)
    }

    /// A session goes on over another transport; returns the token that its agent is to be told for the next time,
    /// which is `fresh` in most cases. `offered` stands until [`Sessions::confirm`].
    ///
    /// Who comes again with a token that has an unused successor is told that one: the offer may be a late one, whose
    /// answer nobody waits for, while the agent was told the successor before.
    #[must_use = "it is the token that will be accepted"]
    pub fn renew(&mut self, offered: &ResumeOffer, fresh: SessionToken) -> SessionToken {
        let Some(entry) = self.by_id.get_mut(&offered.id) else {
            return fresh;
        };
        entry.resumptions += 1;
        if entry.previous != Some(offered.token) {
            entry.previous = Some(offered.token);
            entry.token = fresh;
        }
        entry.token
    }

    /// The links whose sessions are `identity`'s. An agent that comes and says that it holds no session has
    /// started anew, and will never offer them.
    pub fn links_of(&self, identity: &[u8]) -> Vec<LinkId> {
        let theirs = self.by_id.values();
        theirs
            .filter(|entry| entry.identity == identity)
            .map(|entry| entry.link)
            .collect()
    }

    /// The agent has used the transport of a link's resumption, counted from one, hence knows the token that it was
    /// told with it. When another resumption has come since, the word is late and says nothing of that one's.
    pub fn confirm(&mut self, link: LinkId, resumption: u64) {
        let id = self.by_link.get(&link);
        if let Some(entry) = id.and_then(|id| self.by_id.get_mut(id))
            && entry.resumptions == resumption
        {
            entry.previous = None;
        }
    }

    /// A link is over, and its session with it.
    pub fn end(&mut self, link: LinkId) {
        if let Some(id) = self.by_link.remove(&link) {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(7);
    const ID: SessionId = SessionId::new([1; 16]);

    fn token(byte: u8) -> SessionToken {
        SessionToken::new([byte; 32])
    }

    fn offer(byte: u8) -> ResumeOffer {
        ResumeOffer {
            id: ID,
            token: token(byte),
            received: 0,
        }
    }

    fn begun() -> Sessions {
        let mut sessions = Sessions::new(2);
        sessions.begin(LINK, b"agent a".to_vec(), ID, token(1));
        sessions
    }

    #[test]
    fn only_who_was_granted_a_session_resumes_it() {
        let sessions = begun();
        assert_eq!(sessions.check(&offer(1), b"agent a"), Ok(LINK));
        let refused = |offer, identity: &[u8]| sessions.check(&offer, identity);
        assert_eq!(
            refused(offer(2), b"agent a"),
            Err(ResumeRefused::WrongToken)
        );
        assert_eq!(
            refused(offer(2), b"agent b"),
            Err(ResumeRefused::WrongToken)
        );
        assert_eq!(
            refused(offer(1), b"agent b"),
            Err(ResumeRefused::WrongIdentity)
        );
        assert_eq!(refused(offer(1), b""), Err(ResumeRefused::WrongIdentity));
        let other = ResumeOffer {
            id: SessionId::new([2; 16]),
            ..offer(1)
        };
        assert_eq!(refused(other, b"agent a"), Err(ResumeRefused::Unknown));
    }

    #[test]
    fn a_token_is_good_until_its_successor_was_used() {
        let mut sessions = begun();
        assert_eq!(sessions.renew(&offer(1), token(2)), token(2));
        for byte in [1, 2] {
            assert_eq!(sessions.check(&offer(byte), b"agent a"), Ok(LINK));
        }
        sessions.confirm(LINK, 1);
        assert_eq!(
            sessions.check(&offer(1), b"agent a"),
            Err(ResumeRefused::WrongToken)
        );
        assert_eq!(sessions.check(&offer(2), b"agent a"), Ok(LINK));
    }

    #[test]
    fn a_late_confirmation_leaves_the_token_that_may_still_be_offered() {
        let mut sessions = begun();
        let _ = sessions.renew(&offer(1), token(2));
        // The answer with token 3 may be lost on its way.
        let _ = sessions.renew(&offer(2), token(3));
        sessions.confirm(LINK, 1);
        for byte in [2, 3] {
            assert_eq!(sessions.check(&offer(byte), b"agent a"), Ok(LINK));
        }
        sessions.confirm(LINK, 2);
        assert_eq!(
            sessions.check(&offer(2), b"agent a"),
            Err(ResumeRefused::WrongToken)
        );
    }

    /// Whether the first answer was lost, or the second offer is a late copy of the first: the agent comes back.
    #[test]
    fn a_token_that_comes_again_has_one_successor() {
        let mut sessions = begun();
        assert_eq!(sessions.renew(&offer(1), token(2)), token(2));
        assert_eq!(sessions.renew(&offer(1), token(3)), token(2));
        for byte in [1, 2] {
            assert_eq!(sessions.check(&offer(byte), b"agent a"), Ok(LINK));
        }
        assert_eq!(sessions.renew(&offer(2), token(4)), token(4));
        assert_eq!(
            sessions.check(&offer(1), b"agent a"),
            Err(ResumeRefused::WrongToken)
        );
    }

    #[test]
    fn an_ended_session_leaves_nothing() {
        let mut sessions = begun();
        sessions.begin(LinkId(8), Vec::new(), SessionId::new([2; 16]), token(1));
        assert!(!sessions.has_room());
        sessions.end(LINK);
        assert_eq!(
            sessions.check(&offer(1), b"agent a"),
            Err(ResumeRefused::Unknown)
        );
        assert!(sessions.has_room() && sessions.len() == 1);
        sessions.end(LinkId(8));
        assert!(sessions.is_empty() && sessions.by_link.is_empty());
    }
}
