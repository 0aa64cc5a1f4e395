//! The metadata of Connect calls: any bytes as values of its headers, one a line.
//!
//! Whatever comes: no panic, and what is understood is written in a form that is understood alike.

use dialback_core::wire::{
    AgentMetadata, Extensions, Identifiers, MAX_RESUME_OFFERS, ResumeAnswer, ResumeOffer,
    ServerMetadata, SessionGrant,
};

pub(super) fn check(data: &[u8]) {
    let values: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let (first, rest) = values.split_at(1);
    // Refused or not, and for what reason, is for the unit tests.
    let _ = AgentMetadata::parse(first, rest);
    let _ = ServerMetadata::parse(first, rest);
    let extensions = Extensions::parse(&values);
    let written = extensions.to_string();
    let again = Extensions::parse([&written]);
    assert_eq!(again, extensions, "{written}");
    let offers = ResumeOffer::parse_all(&values);
    assert!(offers.len() <= MAX_RESUME_OFFERS);
    let written: Vec<String> = offers.iter().map(ToString::to_string).collect();
    assert_eq!(ResumeOffer::parse_all(written), offers);
    for value in values {
        if let Some(grant) = SessionGrant::parse(value) {
            assert_eq!(
                SessionGrant::parse(grant.to_string().as_bytes()),
                Some(grant)
            );
        }
        if let Some(answer) = ResumeAnswer::parse(value) {
            assert_eq!(
                ResumeAnswer::parse(answer.to_string().as_bytes()),
                Some(answer)
            );
        }
        let option = str::from_utf8(value).ok();
        if let Some(Ok(identifiers)) = option.map(Identifiers::parse_option) {
            assert_eq!(Identifiers::parse(value).ok(), Some(identifiers));
        }
    }
}
