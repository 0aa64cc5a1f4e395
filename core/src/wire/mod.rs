//! The bytes of the protocol: protobuf packets, gRPC message framing, status and metadata. Only this module
//! knows prost.
//!
//! Receiving: [`FrameDecoder`] cuts the chunks of an HTTP/2 stream into messages, [`decode`] makes a
//! [`Packet`] of one. Sending: [`Frame`] is a packet ready for HTTP/2.

mod convert;
mod extensions;
mod frame;
mod frame_decoder;
mod identifiers;
mod message;
mod metadata;
mod packet;
mod query;
mod session;
mod status;
#[cfg(test)]
mod tests;

pub use convert::{DecodeError, Decoded, decode};
pub use extensions::{EXTENSIONS, Extensions};
pub use frame::Frame;
pub use frame_decoder::{FrameDecoder, FrameError, MAX_MESSAGE_BYTES};
pub use identifiers::{IdentifierOptionError, Identifiers};
pub use metadata::{
    AGENT_ID, AGENT_IDENTIFIERS, AUTHORIZATION, AgentMetadata, AgentMetadataError, PROBE,
    SELECT_AGENT, SERVED_BY, SERVER_COUNT, SERVER_ID, ServerMetadata, ServerMetadataError,
};
pub use packet::{Packet, PacketKind};
pub use query::QueryError;
pub use session::{
    MAX_RESUME_OFFERS, NO_SESSION, RESUME, ResumeAnswer, ResumeOffer, SESSION, SessionGrant,
    SessionId, SessionToken,
};
pub use status::{Code, Status, decode_message, encode_message};
