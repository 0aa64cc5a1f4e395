//! gRPC status: codes, their Go names, `grpc-message` encoding and what HTTP/2 errors mean.

use std::fmt;

/// A gRPC status code; the name is Go's, as logs and metric labels have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Code {
    /// The call ended well.
    Ok = 0,
    /// The caller gave the call up; Go spells it with one l.
    Canceled = 1,
    /// An error without a code of its own, such as a handler's plain error.
    Unknown = 2,
    /// The request makes no sense whatever the state of the server.
    InvalidArgument = 3,
    /// The call's time ran out.
    DeadlineExceeded = 4,
    /// Something that was asked for is not there.
    NotFound = 5,
    /// Something that was to be made is there.
    AlreadyExists = 6,
    /// The caller is known and may not do this.
    PermissionDenied = 7,
    /// A limit was met, such as the size of a message.
    ResourceExhausted = 8,
    /// The system is not in the state that the call needs.
    FailedPrecondition = 9,
    /// The call was ended by a conflict.
    Aborted = 10,
    /// Past the valid range.
    OutOfRange = 11,
    /// No such service or method.
    Unimplemented = 12,
    /// Something is broken.
    Internal = 13,
    /// Not possible at the moment; the transport was lost.
    Unavailable = 14,
    /// Data was lost for good.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl Code {
    const ALL: [Self; 17] = [
        Self::Ok,
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code with this number; numbers that gRPC does not define are `Unknown`.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|index| Self::ALL.get(index).copied())
            .unwrap_or(Self::Unknown)
    }

    /// The value of `grpc-status`.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Go's name, such as `Canceled` or `Unavailable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Canceled => "Canceled",
            Self::Unknown => "Unknown",
            Self::InvalidArgument => "InvalidArgument",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::PermissionDenied => "PermissionDenied",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::FailedPrecondition => "FailedPrecondition",
            Self::Aborted => "Aborted",
            Self::OutOfRange => "OutOfRange",
            Self::Unimplemented => "Unimplemented",
            Self::Internal => "Internal",
            Self::Unavailable => "Unavailable",
            Self::DataLoss => "DataLoss",
            Self::Unauthenticated => "Unauthenticated",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a gRPC call ended.
///
/// Shown as grpc-go shows it, `rpc error: code = Canceled desc = context canceled`, since such texts travel
/// on in `DIAL_RSP` and people search logs for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What kind of end.
    pub code: Code,
    /// In words; empty for most good ends.
    pub message: String,
}

impl Status {
    /// A status with this code and text.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The good end, without words.
    #[must_use]
    pub const fn ok() -> Self {
        Self {
            code: Code::Ok,
            message: String::new(),
        }
    }

    /// The status in a call's trailers, given the values of `grpc-status` and `grpc-message`.
    ///
    /// As grpc-go's client reads them (`http2_client.go`, `operateHeaders`): a missing code is `Unknown`, one
    /// that is no number is `Internal`.
    #[must_use]
    pub fn from_trailers(grpc_status: Option<&[u8]>, grpc_message: Option<&[u8]>) -> Self {
        let code = match grpc_status.map(str::from_utf8) {
            None => Code::Unknown,
            Some(Ok(number)) => match number.parse::<i32>() {
                Ok(number) => u32::try_from(number).map_or(Code::Unknown, Code::from_number),
                Err(error) => {
                    return Self::new(Code::Internal, format!("malformed grpc-status: {error}"));
                }
            },
            Some(Err(error)) => {
                return Self::new(Code::Internal, format!("malformed grpc-status: {error}"));
            }
        };
        Self::new(code, decode_message(grpc_message.unwrap_or_default()))
    }

    /// What a stream reset with this HTTP/2 error code (RFC 9113 section 7) means to a gRPC client.
    ///
    /// The table and the words are grpc-go's (`http_util.go`, `http2ErrConvTab`). A reset with `NO_ERROR`
    /// that *follows* the trailers is a normal end, and not for this function.
    #[must_use]
    pub fn from_reset(error_code: u32) -> Self {
        let code = match error_code {
            0x3 | 0xb => Code::ResourceExhausted,
            0x7 => Code::Unavailable,
            0x8 => Code::Canceled,
            0xc => Code::PermissionDenied,
            0x0..=0xd => Code::Internal,
            _ => Code::Unknown,
        };
        let name = usize::try_from(error_code)
            .ok()
            .and_then(|index| HTTP2_ERRORS.get(index))
            .map_or_else(
                || format!("unknown error code 0x{error_code:x}"),
                |name| (*name).to_owned(),
            );
        Self::new(
            code,
            format!("stream terminated by RST_STREAM with error code: {name}"),
        )
    }

    /// The value of `grpc-message` for this status.
    #[must_use]
    pub fn encoded_message(&self) -> String {
        encode_message(&self.message)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rpc error: code = {} desc = {}", self.code, self.message)
    }
}

impl std::error::Error for Status {}

/// Percent-encodes a text for `grpc-message`: everything but printable ASCII, and `%` itself
/// (gRPC over HTTP/2, "Status-Message"). The result is a legal header value.
#[must_use]
pub fn encode_message(message: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
    encoded
}

/// Decodes a `grpc-message`; malformed escapes stay as they are, bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn decode_message(encoded: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        if let [b'%', high, low, after_escape @ ..] = rest
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            decoded.push(high << 4 | low);
            rest = after_escape;
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The value of a hexadecimal digit in either case.
pub(super) fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The names of HTTP/2's error codes by number (RFC 9113 section 7), as Go prints them.
const HTTP2_ERRORS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn codes_have_go_names_and_numbers() {
        for number in 0..17 {
            assert_eq!(Code::from_number(number).number(), number);
        }
        assert_eq!(Code::from_number(17), Code::Unknown);
        assert_eq!(Code::from_number(u32::MAX), Code::Unknown);
        assert_eq!(Code::from_number(1).name(), "Canceled");
        assert_eq!(Code::from_number(14).to_string(), "Unavailable");
    }

    #[test]
    fn a_status_reads_as_in_grpc_go() {
        let status = Status::new(Code::Canceled, "context canceled");
        assert_eq!(
            status.to_string(),
            "rpc error: code = Canceled desc = context canceled"
        );
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(encode_message("plain ~text"), "plain ~text");
        assert_eq!(encode_message("100%\n\u{e9}"), "100%25%0A%C3%A9");
        assert_eq!(decode_message(b"100%25%0a%C3%A9"), "100%\n\u{e9}");
    }

    #[test]
    fn malformed_escapes_stay() {
        for text in ["%", "%2", "100%", "%zz", "%2g", "a%%"] {
            assert_eq!(decode_message(text.as_bytes()), text);
        }
        assert_eq!(decode_message(b"%%41"), "%A");
        assert_eq!(decode_message(b"%ff"), "\u{fffd}");
    }

    #[test]
    fn resets_map_as_at_a_go_client() {
        let code = |number| Status::from_reset(number).code;
        assert_eq!(code(0), Code::Internal);
        assert_eq!(code(1), Code::Internal);
        assert_eq!(code(3), Code::ResourceExhausted);
        assert_eq!(code(7), Code::Unavailable);
        assert_eq!(code(8), Code::Canceled);
        assert_eq!(code(11), Code::ResourceExhausted);
        assert_eq!(code(12), Code::PermissionDenied);
        assert_eq!(code(13), Code::Internal);
        assert_eq!(code(14), Code::Unknown);
        assert_eq!(
            Status::from_reset(8).message,
            "stream terminated by RST_STREAM with error code: CANCEL"
        );
        assert_eq!(
            Status::from_reset(0x2a).message,
            "stream terminated by RST_STREAM with error code: unknown error code 0x2a"
        );
    }

    #[test]
    fn trailers_without_a_usable_code_are_errors() {
        assert_eq!(Status::from_trailers(Some(b"0"), None), Status::ok());
        assert_eq!(
            Status::from_trailers(Some(b"8"), Some(b"a%20b")),
            Status::new(Code::ResourceExhausted, "a b")
        );
        assert_eq!(Status::from_trailers(None, None).code, Code::Unknown);
        assert_eq!(Status::from_trailers(Some(b"99"), None).code, Code::Unknown);
        assert_eq!(Status::from_trailers(Some(b"-1"), None).code, Code::Unknown);
        assert_eq!(Status::from_trailers(Some(b"x"), None).code, Code::Internal);
        assert_eq!(
            Status::from_trailers(Some(b"\xff"), None).code,
            Code::Internal
        );
    }

    quickcheck! {
        fn encoded_messages_are_printable_and_come_back(text: String) -> bool {
            let encoded = encode_message(&text);
            encoded.bytes().all(|byte| matches!(byte, b' '..=b'~'))
                && decode_message(encoded.as_bytes()) == text
        }

        fn any_bytes_decode(bytes: Vec<u8>) -> bool {
            decode_message(&bytes).len() <= bytes.len() * 3
        }
    }
}
