//! The audit log of `proxy-server`: records wait in a bounded queue, and one thread writes them.

mod file;
mod format;
mod log;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use file::AuditFileError;
pub(crate) use log::AuditLog;
