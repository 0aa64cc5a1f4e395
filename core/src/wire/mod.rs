//! The bytes of the protocol: protobuf packets, gRPC message framing, metadata. Only this module knows prost.

mod packet;

pub use packet::{Packet, PacketKind};
