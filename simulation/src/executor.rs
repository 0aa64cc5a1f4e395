//! Polls the tasks of all hosts, one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use dialback_runtime::Task;

use crate::event_log::Event;
use crate::network::HostId;
use crate::simulation::Shared;

/// Names a task, in the order in which they were spawned; 0 is the scenario itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(u64);

impl TaskId {
    pub(crate) const SCENARIO: Self = Self(0);
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task:{}", self.0)
    }
}

type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All tasks, and which of them are to be polled.
#[derive(Debug, Default)]
pub(crate) struct Executor {
    ready: Arc<Ready>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    spawned: u64,
    slots: BTreeMap<TaskId, Slot>,
}

struct Slot {
    host: HostId,
    /// `None` while it is polled.
    future: Option<TaskFuture>,
    waker: Waker,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Tasks that were woken. A set: in which order they were woken is forgotten, since some of the queues that tasks
/// wait in (tokio's `watch`) draw lots that no seed decides.
#[derive(Debug, Default)]
struct Ready(Mutex<BTreeSet<TaskId>>);

struct TaskWaker {
    task: TaskId,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        lock(&self.ready.0).insert(self.task);
    }
}

impl Executor {
    pub(crate) fn waker(&self, task: TaskId) -> Waker {
        let ready = Arc::clone(&self.ready);
        Waker::from(Arc::new(TaskWaker { task, ready }))
    }

    /// Who was woken since the last call, in order of age.
    pub(crate) fn take_ready(&self) -> Vec<TaskId> {
        std::mem::take(&mut *lock(&self.ready.0))
            .into_iter()
            .collect()
    }

    pub(crate) fn spawn(&self, host: HostId, future: TaskFuture) -> TaskId {
        let mut tasks = lock(&self.tasks);
        tasks.spawned += 1;
        let task = TaskId(tasks.spawned);
        let waker = self.waker(task);
        waker.wake_by_ref();
        let slot = Slot {
            host,
            future: Some(future),
            waker,
        };
        tasks.slots.insert(task, slot);
        task
    }

    /// Polls a task, if it still exists; `true` when that was its end.
    pub(crate) fn poll(&self, task: TaskId) -> bool {
        let taken = lock(&self.tasks).slots.get_mut(&task).and_then(|slot| {
            let future = slot.future.take()?;
            Some((future, slot.waker.clone()))
        });
        let Some((mut future, waker)) = taken else {
            return false;
        };
        let ended = match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => {
                lock(&self.tasks).slots.remove(&task);
                true
            }
            Poll::Pending => false,
        };
        if !ended && let Some(slot) = lock(&self.tasks).slots.get_mut(&task) {
            slot.future = Some(future);
        }
        ended
    }

    /// Drops a task; `false` when it had ended.
    pub(crate) fn abort(&self, task: TaskId) -> bool {
        let slot = lock(&self.tasks).slots.remove(&task);
        slot.is_some()
    }

    /// Tasks of a host, the oldest first.
    pub(crate) fn tasks_of(&self, host: HostId) -> Vec<TaskId> {
        let tasks = lock(&self.tasks);
        let of_host = tasks.slots.iter().filter(|(_, slot)| slot.host == host);
        of_host.map(|(task, _)| *task).collect()
    }

    /// Drops every task, and those that are spawned by that.
    pub(crate) fn clear(&self) {
        loop {
            let first = lock(&self.tasks).slots.pop_first();
            if first.is_none() {
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A task of a simulated host.
pub struct SimulatedTask {
    shared: Arc<Shared>,
    task: TaskId,
}

impl SimulatedTask {
    pub(crate) fn new(shared: &Arc<Shared>, task: TaskId) -> Self {
        Self {
            shared: Arc::clone(shared),
            task,
        }
    }
}

impl fmt::Debug for SimulatedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.task)
    }
}

impl Task for SimulatedTask {
    fn abort(self) {
        if self.shared.executor.abort(self.task) {
            self.shared.world().log(Event::Aborted(self.task));
        }
    }
}
