//! The log: structured lines on standard error, for people or for programs.
//!
//! The rule for whoever writes a line: **never content.** A line may hold ids (of records, keys, threads, parcels), names of
//! agencies, parties and kinds, names of reasons, numbers and times. It may not hold what stands in a record's body, a
//! caveat, the name of an attachment, a person, a query, a key, or bytes that a peer sent. A value whose type could hold
//! such things is not logged, not even at level `trace`, and not within an error's text.
//!
//! Libraries below us do not know this rule: from them only warnings and errors pass, whatever level is set.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::config::{Log, LogFormat, LogLevel};

/// What the names of our own crates, and so their targets, begin with.
const OURS: &str = "mufakat";

/// The process already has a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log is already set up")]
pub struct AlreadySet;

/// Sets the log of this process up; once.
pub fn init(config: &Log) -> Result<(), AlreadySet> {
    let colours = std::io::stderr().is_terminal();
    subscriber::set_global_default(to_writer(config, colours, std::io::stderr)).map_err(|_| AlreadySet)
}

fn to_writer<W>(config: &Log, colours: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = match config.format {
        LogFormat::Human => fmt::layer().with_ansi(colours).with_writer(writer).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    };
    let level = LevelFilter::from(config.level);
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(OURS, level);
    registry().with(lines.with_filter(filter))
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of some events.
    fn written(format: LogFormat, level: LogLevel) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        subscriber::with_default(to_writer(&Log { format, level }, false, move || writer.clone()), || {
            tracing::info!(target: "mufakat_node::delivery", agency = "ru-police", records = 3, "sent");
            tracing::debug!(target: "mufakat_node::delivery", "a step of ours");
            tracing::warn!(target: "h2::codec", "their warning");
            tracing::info!(target: "h2::codec", bytes = "what crossed the wire", "their step");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_are_objects_with_the_fields() {
        let text = written(LogFormat::Json, LogLevel::Info);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((&lines[0]["agency"], &lines[0]["records"]), (&"ru-police".into(), &3.into()));
        assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&"INFO".into(), &"sent".into()));
        assert!(lines[0]["timestamp"].is_string() && lines[0]["target"] == "mufakat_node::delivery");
    }

    #[test]
    fn human_lines_have_no_colours_in_a_file() {
        let text = written(LogFormat::Human, LogLevel::Info);
        assert!(text.contains("sent agency=\"ru-police\" records=3"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn libraries_are_kept_to_warnings_at_every_level() {
        for (level, ours, theirs) in [
            (LogLevel::Error, 0, 0),
            (LogLevel::Warn, 0, 1),
            (LogLevel::Info, 1, 1),
            (LogLevel::Debug, 2, 1),
            (LogLevel::Trace, 2, 1),
        ] {
            let text = written(LogFormat::Human, level);
            assert_eq!(text.matches("mufakat_node").count(), ours, "{text}");
            assert_eq!(text.matches("h2::codec").count(), theirs, "{text}");
            assert!(!text.contains("what crossed the wire"));
        }
    }
}
