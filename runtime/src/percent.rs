//! Percent-encoding (RFC 3986, section 2.1), read.

/// The bytes that `text` stands for; what is no escape stays as it is.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            decoded.push(high << 4 | low);
            rest = &after[2..];
        } else {
            decoded.push(*byte);
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_all_else_stays() {
        assert_eq!(decode("name%5b%5D"), b"name[]");
        assert_eq!(decode("%ff%00"), [0xff, 0]);
        assert_eq!(decode("%zz%4"), b"%zz%4");
        assert_eq!(decode("+"), b"+");
    }
}
