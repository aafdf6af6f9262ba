//! What the log is told, test by test.
//!
//! One subscriber serves the whole process, and each thread has its own page: subscribers that come and go with tests
//! in parallel would take events from each other.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry, registry::LookupSpan};

thread_local! {
    static PAGE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The page of this thread.
pub struct Log;

impl Log {
    /// Takes the lines written since the last time, as `LEVEL target name=value ..` and `span name=value`.
    pub fn lines(&self) -> Vec<String> {
        PAGE.take()
    }
}

/// Starts a page for this thread.
pub fn logged() -> Log {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| tracing::subscriber::set_global_default(Registry::default().with(Writer)).unwrap());
    PAGE.take();
    Log
}

struct Writer;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

fn write(start: String, record: impl FnOnce(&mut Line)) {
    let mut line = Line(start);
    record(&mut line);
    PAGE.with_borrow_mut(|page| page.push(line.0));
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Writer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == "tower_keep" {
            write(format!("{} {}", metadata.level(), metadata.target()), |line| event.record(line));
        }
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        write("span".to_owned(), |line| values.record(line));
    }
}
