//! Logs, on standard error: readable lines in development, one JSON object a line in production.
//!
//! A JSON line has `timestamp` (RFC 3339, UTC, milliseconds), `level`, `message` and `service`, then the event's fields and those of the spans
//! around it, flat; the innermost wins where two have one name. In either form an event is one line, whatever is in its values.

mod readable;

use std::fmt;
use std::io::{IsTerminal, Write};

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::settings::Environment;
use super::{Program, clock};

/// The names that every line has; a field of the same name is left out.
const RESERVED: [&str; 4] = ["timestamp", "level", "message", "service"];

/// Makes this process write its logs. `directive` says what is written, as in `info,shop_core::bus=debug`.
///
/// Does nothing where logs are written already. A panic is logged like an error, since it must be seen where logs are read.
pub fn install(program: Program, environment: Environment, directive: &str) {
    let filter = EnvFilter::builder().parse_lossy(directive);
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match environment {
        Environment::Production => registry
            .with(JsonLines::new(program.as_str(), std::io::stderr))
            .try_init(),
        Environment::Development => {
            let layer = readable::layer(std::io::stderr);
            if std::io::stderr().is_terminal() {
                registry.with(layer).try_init()
            } else {
                registry.with(layer.with_ansi(false)).try_init()
            }
        }
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic
                .location()
                .map(ToString::to_string)
                .unwrap_or_default();
            tracing::error!(panic.location = place, "{}", panic_message(panic));
        }));
    }
}

fn panic_message(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("of unknown kind");
    let thread = std::thread::current();
    format!(
        "panic in thread {}: {message}",
        thread.name().unwrap_or("without name")
    )
}

/// Writes events as JSON, one object a line.
struct JsonLines<W> {
    service: &'static str,
    writer: W,
}

/// A span's fields, kept with the span.
struct SpanFields(Map<String, Value>);

impl<W> JsonLines<W> {
    const fn new(service: &'static str, writer: W) -> Self {
        Self { service, writer }
    }

    fn line<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> Map<String, Value>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields
            .message
            .unwrap_or_else(|| event.metadata().name().to_owned());
        let now = clock::now()
            .to_datetime()
            .format(&Rfc3339)
            .unwrap_or_default();

        let mut line = Map::new();
        line.insert("timestamp".to_owned(), now.into());
        line.insert(
            "level".to_owned(),
            event.metadata().level().as_str().to_lowercase().into(),
        );
        line.insert("message".to_owned(), message.into());
        line.insert("service".to_owned(), self.service.into());
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(outer)) = span.extensions().get() {
                for (name, value) in outer {
                    fields
                        .others
                        .entry(name.clone())
                        .or_insert_with(|| value.clone());
                }
            }
        }
        line.extend(fields.others);
        line
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields.others));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        let Some(span) = context.span(id) else { return };
        if let Some(SpanFields(stored)) = span.extensions_mut().get_mut() {
            stored.extend(fields.others);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = serde_json::to_vec(&self.line(event, &context)).unwrap_or_default();
        line.push(b'\n');
        // Nothing is left to tell it to when the log itself can not be written.
        let _ = self
            .writer
            .make_writer_for(event.metadata())
            .write_all(&line);
    }
}

/// Collects fields as JSON values.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    others: Map<String, Value>,
}

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if name == "message" {
            self.message = Some(
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            );
        } else if !RESERVED.contains(&name) && !name.starts_with("log.") {
            self.others.insert(name.to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let chain: Vec<String> = std::iter::successors(Some(value), |error| error.source())
            .map(ToString::to_string)
            .collect();
        self.insert(field, chain.join(": ").into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing::{Level, error, info, info_span};

    use super::*;

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    pub(super) struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Memory {
        pub(super) fn text(&self) -> String {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(bytes.clone()).expect("logs are UTF-8")
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that a piece of code logs.
    fn logged(code: impl FnOnce()) -> Vec<Map<String, Value>> {
        let memory = Memory::default();
        let writer = memory.clone();
        let lines = JsonLines::new("projector", move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), code);
        let text = memory.text();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line is one object"))
            .collect()
    }

    fn names(line: &Map<String, Value>) -> Vec<&str> {
        let mut names: Vec<_> = line.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_line_has_exactly_the_four_names() {
        let lines = logged(|| info!("{} is ready", "projector"));
        assert_eq!(lines.len(), 1);
        assert_eq!(
            names(&lines[0]),
            ["level", "message", "service", "timestamp"]
        );
        assert_eq!(lines[0]["level"], "info");
        assert_eq!(lines[0]["message"], "projector is ready");
        assert_eq!(lines[0]["service"], "projector");
        let at = lines[0]["timestamp"].as_str().expect("a text");
        assert!(
            at.ends_with('Z') && time::OffsetDateTime::parse(at, &Rfc3339).is_ok(),
            "{at}"
        );
    }

    #[test]
    fn fields_of_the_event_and_its_spans_are_flat_and_the_innermost_wins() {
        let lines = logged(|| {
            let outer = info_span!(
                "outer",
                order.id = "order_1",
                tries = 1,
                late = tracing::field::Empty
            );
            let _outer = outer.enter();
            outer.record("late", true);
            let _inner = info_span!("inner", tries = 2, share = 0.5).entered();
            info!(event.id = 7_u64, tries = 3, "applied");
        });
        assert_eq!(
            names(&lines[0]),
            [
                "event.id",
                "late",
                "level",
                "message",
                "order.id",
                "service",
                "share",
                "timestamp",
                "tries"
            ]
        );
        assert_eq!(lines[0]["order.id"], "order_1");
        assert_eq!(lines[0]["event.id"], 7);
        assert_eq!(lines[0]["tries"], 3);
        assert_eq!(lines[0]["late"], true);
        assert_eq!(lines[0]["share"], 0.5);
    }

    #[test]
    fn a_field_never_stands_in_for_one_of_the_four() {
        let lines = logged(|| {
            let _span = info_span!("span", message = "not this", service = "nor this").entered();
            info!(level = "loud", timestamp = 0, "this \"one\"\nhere");
        });
        assert_eq!(
            names(&lines[0]),
            ["level", "message", "service", "timestamp"]
        );
        assert_eq!(lines[0]["message"], "this \"one\"\nhere");
        assert_eq!(lines[0]["service"], "projector");
        assert_eq!(lines[0]["level"], "info");
    }

    #[test]
    fn a_value_with_line_breaks_is_no_line_of_its_own() {
        let forged = "Ada\r\n{\"level\":\"error\",\"message\":\"the shop is on fire\"}\r\n";
        let lines = logged(|| {
            let _span = info_span!("request", agent = forged).entered();
            info!(name = forged, shown = %forged, "created {forged}");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["level"], "info");
        for name in ["agent", "name", "shown"] {
            assert_eq!(lines[0][name], forged);
        }
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the view was not written")]
        struct NotWritten(#[source] io::Error);

        let cause = NotWritten(io::Error::other("the server is away"));
        let lines = logged(|| error!(cause = &cause as &dyn std::error::Error, "no view"));
        assert_eq!(
            lines[0]["cause"],
            "the view was not written: the server is away"
        );
        assert_eq!(lines[0]["level"], Level::ERROR.as_str().to_lowercase());
    }
}
