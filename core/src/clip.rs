//! Texts of bounded length.

/// A text that a peer chose, cut to so many bytes, three at least; what was cut off shows by an ellipsis.
#[must_use]
pub fn clip(text: &str, most_bytes: usize) -> String {
    if text.len() <= most_bytes {
        return text.to_owned();
    }
    let room = 0..=most_bytes.saturating_sub('…'.len_utf8());
    let end = room.rev().find(|at| text.is_char_boundary(*at));
    format!("{}…", &text[..end.unwrap_or_default()])
}
