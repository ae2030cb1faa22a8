//! The form for people: a line for each event, whatever is in its values.

use std::fmt;
use std::io::{self, Write};

use tracing_subscriber::fmt::format::{Compact, DefaultFields, Format, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{Layer, MakeWriter};

use crate::runtime::clock;

/// Writes events as lines that people read.
pub(super) fn layer<S, M>(
    writer: M,
) -> Layer<S, DefaultFields, Format<Compact, TimeOfDay>, OneLine<M>>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    M: for<'writer> MakeWriter<'writer> + 'static,
{
    tracing_subscriber::fmt::layer()
        .compact()
        .with_target(false)
        .with_timer(TimeOfDay)
        .with_writer(OneLine(writer))
}

/// `04:12:33.123`, UTC: short enough to leave room for the message.
pub(super) struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let (hour, minute, second, milli) = clock::now().to_datetime().time().as_hms_milli();
        write!(w, "{hour:02}:{minute:02}:{second:02}.{milli:03}")
    }
}

/// Keeps an event on one line: what somebody sent can not look like an event of its own.
pub(super) struct OneLine<M>(M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = Escaping<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaping(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        Escaping(self.0.make_writer_for(meta))
    }
}

/// Writes what is one line, with escapes for whatever would break it.
pub(super) struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    /// In: a whole event, which is how it is written.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(&escaped(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Control characters but the last line feed and tabs; of sequences that begin with ESC only those that paint are left, as the
/// library's own are.
fn escaped(event: &[u8]) -> Vec<u8> {
    let (text, end) = match event.split_last() {
        Some((b'\n', text)) => (text, &b"\n"[..]),
        _ => (event, &b""[..]),
    };
    let mut line = Vec::with_capacity(event.len());
    for (at, byte) in text.iter().copied().enumerate() {
        if byte == b'\t' || !byte.is_ascii_control() || is_paint(&text[at..]) {
            line.push(byte);
        } else {
            line.extend(byte.escape_ascii());
        }
    }
    line.extend(end);
    line
}

/// Whether a text begins with ESC, `[`, digits and semicolons, `m`: "select graphic rendition" (ECMA-48, section 8.3.117).
fn is_paint(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"\x1b[") else {
        return false;
    };
    let mut after = rest
        .iter()
        .skip_while(|byte| byte.is_ascii_digit() || **byte == b';');
    after.next() == Some(&b'm')
}

#[cfg(test)]
mod tests {
    use tracing::{error, info_span};
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::tests::Memory;
    use super::*;

    /// The text that a piece of code logs.
    fn logged(code: impl FnOnce()) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = layer(move || writer.clone()).with_ansi(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), code);
        memory.text()
    }

    #[test]
    fn a_value_with_line_breaks_is_no_line_of_its_own() {
        let forged = "Ada\r\n04:12:33.123 ERROR the shop is on fire\x07\x1b[2K";
        let text = logged(|| {
            let _span = info_span!("request", agent = forged, by = %forged).entered();
            error!(name = forged, shown = %forged, "failed for {forged}");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.ends_with('\n') && text.contains("Ada\\r\\n04:12:33.123 ERROR"));
        let control = |char: &char| char.is_control() && *char != '\n';
        assert_eq!(text.chars().find(control), None, "{text:?}");
    }

    #[test]
    fn what_is_harmless_stays_as_it_is() {
        let text = logged(|| error!("größe\t10 € – ok"));
        assert!(text.ends_with(" größe\t10 € – ok\n"), "{text:?}");
    }
}
