//! Those who dial: gRPC clients and HTTP-CONNECT clients, each with the server's task for it.

mod connect;
mod grpc;
mod grpc_client;

pub use connect::ConnectFrontend;
pub use grpc::GrpcFrontend;

use dialback_core::server::{DialError, StreamRef};

use crate::tunnel::Tunnels;

/// How the server finds a link and dials on it.
pub(crate) trait Dialler {
    fn dial(
        &mut self,
        tunnels: &mut Tunnels,
        protocol: String,
        address: String,
    ) -> Result<StreamRef, DialError>;
}
