//! What programs write to their logs, taken down in the event log.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::event_log::Event;
use crate::simulation::Shared;

/// To be made the thread's default while the simulation runs. DEBUG and TRACE are left out.
pub(crate) fn listen(shared: &Arc<Shared>) -> Dispatch {
    let listener = Listener(Arc::clone(shared));
    Dispatch::new(tracing_subscriber::registry().with(listener))
}

struct Listener(Arc<Shared>);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::INFO || !event.metadata().target().starts_with("dialback") {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.world().log(Event::Said(level, text.0));
    }
}

/// The message, then each field as `name=value`.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}
