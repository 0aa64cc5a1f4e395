//! gRPC over h2.
