//! What goes to standard output: JSON for programs, or aligned lines for people.

use std::io::{self, Write};

use serde_json::Value;

/// How many characters of an id are shown where the whole is not needed.
const SHORT_ID_CHARS: usize = 12;
/// The widest cell of a table, in characters.
const CELL_CHARS_MAX: usize = 64;

/// Where answers go, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether the caller is a program.
    pub(crate) json: bool,
}

impl Output {
    /// Output for programs or for people.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Shows an answer: as it is to programs, in words to people.
    pub(crate) fn show(self, answer: &Value, words: impl FnOnce() -> String) -> io::Result<()> {
        if self.json { self.line(&answer.to_string()) } else { self.line(words().trim_end()) }
    }

    /// Writes a line. A reader that has gone away is no error: it has seen what it wanted.
    pub(crate) fn line(self, line: &str) -> io::Result<()> {
        self.bytes(format!("{line}\n").as_bytes())
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(self, bytes: &[u8]) -> io::Result<()> {
        if cfg!(test) {
            // The test harness keeps back what is printed, and only that.
            print!("{}", String::from_utf8_lossy(bytes));
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// Text from a record or a partner, made safe for a terminal: what would move the cursor, change the colours or turn the
/// writing direction is replaced. Line ends and tabs stay.
pub(crate) fn clean(text: &str) -> String {
    let harmful = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// The same on one line.
fn clean_line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// The beginning of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT_ID_CHARS).unwrap_or(id)
}

/// Names joined for a cell.
pub(crate) fn join(list: &Value) -> String {
    let texts = list.as_array().into_iter().flatten().map(text_of);
    texts.collect::<Vec<_>>().join(", ")
}

/// A JSON value as people read it: text without quotes, nothing for null.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Bytes in the unit that suits them.
pub(crate) fn bytes_shown(bytes: u64) -> String {
    let mut scaled = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{scaled:.1} {unit}") };
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.1} TiB")
}

/// Rows of cells under headings, each column as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Cells are cut to one line of a sensible width; ids are never longer than that.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.headings.len(), "one cell for each heading");
        self.rows.push(cells.iter().map(|cell| cut(&clean_line(cell))).collect());
    }

    /// The table as text, or `otherwise` when it has no rows.
    pub(crate) fn text(&self, otherwise: &str) -> String {
        if self.rows.is_empty() {
            return format!("{otherwise}\n");
        }
        let width_of = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.headings[column].chars().count()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width_of).collect();
        let headings: Vec<String> = self.headings.iter().map(|heading| heading.to_uppercase()).collect();
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

fn cut(cell: &str) -> String {
    if cell.chars().count() <= CELL_CHARS_MAX {
        return cell.to_owned();
    }
    let kept: String = cell.chars().take(CELL_CHARS_MAX - 1).collect();
    format!("{}…", kept.trim_end())
}

/// Names and values below one another, the values aligned. Values without text are left out.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let shown = || facts.iter().filter(|(_, value)| !value.is_empty());
    let width = shown().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    shown().map(|(name, value)| format!("{name:<width$}  {}\n", clean_line(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(&["agency", "state"]);
        table.row(["ru-police".into(), "accepted".into()]);
        table.row(["id-coastguard".into(), String::new()]);
        assert_eq!(table.text("none"), "AGENCY         STATE\nru-police      accepted\nid-coastguard\n");
        assert_eq!(Table::new(&["agency"]).text("none"), "none\n");
    }

    #[test]
    fn cells_stay_on_their_line() {
        let mut table = Table::new(&["title"]);
        table.row(["two\nlines \u{1b}[31m\u{202e}".into()]);
        table.row(["x".repeat(CELL_CHARS_MAX)]);
        table.row(["ă".repeat(CELL_CHARS_MAX + 1)]);
        let text = table.text("");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "two lines \u{fffd}[31m\u{fffd}");
        assert_eq!(lines[2], "x".repeat(CELL_CHARS_MAX));
        assert_eq!(lines[3], format!("{}…", "ă".repeat(CELL_CHARS_MAX - 1)));
    }

    #[test]
    fn facts_are_aligned_and_empty_ones_left_out() {
        let list = [("agency", "ru-police".to_owned()), ("expires", String::new()), ("id", "00".to_owned())];
        assert_eq!(facts(&list), "agency  ru-police\nid      00\n");
    }

    #[test]
    fn sizes_have_their_unit() {
        for (bytes, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (2 << 30, "2.0 GiB"), (3 << 40, "3.0 TiB")]
        {
            assert_eq!(bytes_shown(bytes), shown);
        }
    }
}
