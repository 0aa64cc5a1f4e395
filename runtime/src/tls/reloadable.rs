//! Configurations that are replaced while they are in use.

use std::sync::{Arc, PoisonError, RwLock};

/// A configuration of which every new connection takes the present one; clones share it.
///
/// Connections keep the one that they began with. It is how renewed certificates are taken up without a restart:
/// load them, and [`replace`](Self::replace).
#[derive(Debug)]
pub struct Reloadable<T>(Arc<RwLock<Arc<T>>>);

impl<T> Reloadable<T> {
    /// What a connection that begins now has to use.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connections that begin from now on use this one.
    pub fn replace(&self, config: Arc<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

impl<T> Clone for Reloadable<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<Arc<T>> for Reloadable<T> {
    fn from(config: Arc<T>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }
}
