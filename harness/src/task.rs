//! What a task waits for.

/// The wake-ups that a task has asked for since it last ran, as a runtime's wakers would.
///
/// A machine that forgets a wake-up therefore shows: nobody runs the task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    /// A machine woke it, or its owner gave it something to do.
    pub(crate) woken: bool,
    /// It found nothing to read.
    pub(crate) reading: bool,
    /// It found no room to write.
    pub(crate) writing: bool,
}

impl Interest {
    /// A task that has never run.
    pub(crate) const FIRST: Self = Self {
        woken: true,
        reading: false,
        writing: false,
    };

    /// Forgets all wake-ups, since the task runs now.
    pub(crate) const fn clear(&mut self) {
        *self = Self {
            woken: false,
            reading: false,
            writing: false,
        };
    }
}
