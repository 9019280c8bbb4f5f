//! Files of identifiers and names, one entry a line: CSV whose first line names the columns, or NDJSON. What is wrong with a line
//! is told without its value.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use mufakat_record::Tlp;
use mufakat_record::matching::{Category, Subject};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::Format;
use crate::commands::bulk::skip_line;
use crate::failure::refused;
use crate::when::parse_until;

/// The longest line, in bytes. The longest value and note are far shorter.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// What stands before the text of a file that some programs write.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// What may stand between the cells of a CSV file; the first of these in its first line does. Programs that write decimal commas
/// use the second.
const DELIMITERS: [char; 3] = [',', ';', '\t'];
/// The columns without which a file says nothing.
const NEEDED: [&str; 2] = ["subject", "value"];

/// Why a line is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The name of the reason.
    pub(super) reason: &'static str,
    /// The same in words, without the value.
    pub(super) detail: String,
}

fn wrong(detail: impl Into<String>) -> Wrong {
    Wrong { reason: "malformed", detail: detail.into() }
}

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// What it says, or why nothing can be read from it.
    pub(super) fields: Result<Map<String, Value>, Wrong>,
}

/// The lines of a file.
pub(super) struct Lines {
    input: BufReader<Box<dyn Read>>,
    columns: &'static [&'static str],
    /// Of a CSV file: what stands between the cells, and the names of the columns.
    header: Option<(char, Vec<&'static str>)>,
    number: u64,
    /// How many bytes were read.
    pub(super) bytes: u64,
}

/// Opens a file, or standard input for `-`; gives its size if that is known. No other than these columns may be in it.
pub(super) fn open(
    path: &Path,
    format: Option<Format>,
    columns: &'static [&'static str],
) -> anyhow::Result<(Lines, Option<u64>)> {
    let cannot = || format!("cannot read {}", path.display());
    let (input, size): (Box<dyn Read>, _) = if path == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path).with_context(cannot)?;
        let metadata = file.metadata().with_context(cannot)?;
        (Box::new(file), metadata.is_file().then_some(metadata.len()))
    };
    let lines = Lines::new(input, format, columns).with_context(|| path.display().to_string())?;
    Ok((lines, size))
}

impl Lines {
    fn new(input: Box<dyn Read>, format: Option<Format>, columns: &'static [&'static str]) -> anyhow::Result<Self> {
        let input = BufReader::with_capacity(1 << 18, input);
        let mut lines = Self { input, columns, header: None, number: 0, bytes: 0 };
        let format = match format {
            Some(format) => format,
            None => lines.guess()?,
        };
        if format == Format::Csv {
            lines.header = Some(lines.read_header()?);
        }
        Ok(lines)
    }

    /// Only NDJSON begins with a brace.
    fn guess(&mut self) -> anyhow::Result<Format> {
        let begin = self.input.fill_buf().context("it cannot be read")?;
        let begin = begin.strip_prefix(BYTE_ORDER_MARK).unwrap_or(begin).trim_ascii_start();
        Ok(if begin.first() == Some(&b'{') { Format::Ndjson } else { Format::Csv })
    }

    fn read_header(&mut self) -> anyhow::Result<(char, Vec<&'static str>)> {
        let known = self.columns.join(", ");
        let no = |what: &str| refused("wrong-columns", format!("the first line {what}; the columns are {known}"));
        let line = self.read_line()?.ok_or_else(|| no("is missing"))?;
        let line = line.1.map_err(|wrong| no(&format!("cannot be read: {}", wrong.detail)))?;
        let delimiter = line.chars().find(|c| DELIMITERS.contains(c)).unwrap_or(DELIMITERS[0]);
        let cells = split(&line, delimiter).ok_or_else(|| no("has a quotation mark that is not closed"))?;
        let mut header = Vec::new();
        for cell in cells {
            let name = cell.trim().to_ascii_lowercase();
            let column = self.columns.iter().find(|column| **column == name);
            let column = column.ok_or_else(|| no("names a column that is not known"))?;
            if header.contains(column) {
                return Err(no(&format!("names {column} twice")));
            }
            header.push(*column);
        }
        match NEEDED.iter().find(|column| !header.contains(column)) {
            Some(column) => Err(no(&format!("does not name {column}"))),
            None => Ok((delimiter, header)),
        }
    }

    /// The next line that says anything; nothing at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Line>> {
        let Some((number, text)) = self.read_line()? else { return Ok(None) };
        let fields = text.and_then(|text| match &self.header {
            Some((delimiter, header)) => cells(&text, *delimiter, header),
            None => object(&text, self.columns),
        });
        Ok(Some(Line { number, fields }))
    }

    /// The next line that is not blank, with its number.
    fn read_line(&mut self) -> anyhow::Result<Option<(u64, Result<String, Wrong>)>> {
        let cannot = |number: u64| format!("line {number} cannot be read");
        let mut line = Vec::new();
        loop {
            line.clear();
            self.number += 1;
            let number = self.number;
            let read = self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let read = read.with_context(|| cannot(number))? as u64;
            self.bytes += read;
            if read == 0 {
                return Ok(None);
            }
            if read == LINE_BYTES_MAX && !line.ends_with(b"\n") {
                skip_line(&mut self.input).with_context(|| cannot(number))?;
                let detail = format!("the line is longer than {LINE_BYTES_MAX} bytes");
                return Ok(Some((number, Err(Wrong { reason: "oversize", detail }))));
            }
            let text = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| number == 1).unwrap_or(&line).trim_ascii();
            if !text.is_empty() {
                let text = String::from_utf8(text.to_vec());
                return Ok(Some((number, text.map_err(|_| wrong("the line is not text in UTF-8")))));
            }
        }
    }
}

/// The cells of a line (RFC 4180); nothing if a quotation mark is not closed, or stands within a cell. A cell ends with its line.
/// The `csv` crate reads a mark that is not closed on over the lines that follow and says nothing: entries would be lost silently.
fn split(line: &str, delimiter: char) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let mut cell = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let (before, after) = quoted.split_once('"')?;
                cell.push_str(before);
                quoted = after;
                // A quotation mark in a cell is written twice.
                match quoted.strip_prefix('"') {
                    Some(after) => {
                        cell.push('"');
                        quoted = after;
                    }
                    None => break,
                }
            }
            rest = quoted;
        } else {
            let end = rest.find(delimiter).unwrap_or(rest.len());
            cell.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        cells.push(cell);
        if rest.is_empty() {
            return Some(cells);
        }
        rest = rest.strip_prefix(delimiter)?;
    }
}

fn cells(line: &str, delimiter: char, header: &[&'static str]) -> Result<Map<String, Value>, Wrong> {
    let cells = split(line, delimiter)
        .ok_or_else(|| wrong("a quotation mark is not closed in its line, or stands within a cell"))?;
    if cells.len() > header.len() {
        return Err(wrong(format!("the line has {} cells, and there are {} columns", cells.len(), header.len())));
    }
    let named = header.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.trim().to_owned()));
    Ok(named.filter(|(_, cell)| !cell.is_empty()).map(|(name, cell)| (name, cell.into())).collect())
}

fn object(line: &str, columns: &[&str]) -> Result<Map<String, Value>, Wrong> {
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(line) else {
        return Err(wrong("the line is no JSON object"));
    };
    fields.retain(|_, value| !value.is_null());
    if fields.keys().any(|name| !columns.contains(&name.as_str())) {
        return Err(wrong(format!("a field has none of the names {}", columns.join(", "))));
    }
    Ok(fields)
}

/// An entry as a node takes it. What the identifier has to look like the node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    pub(super) subject: Subject,
    pub(super) value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) birth_year: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) category: Option<Category>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tlp: Option<Tlp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) remove: bool,
}

/// Reads an entry from the fields of a line. Those of a CSV file are all text.
pub(super) fn entry(fields: &Map<String, Value>) -> Result<Entry, Wrong> {
    let text = |name: &'static str| match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(wrong(format!("`{name}` is no text"))),
    };
    let needed = |name: &'static str| text(name)?.ok_or_else(|| wrong(format!("`{name}` is missing")));
    let no_year = |_| wrong("`birth_year` is no year");
    let no_expiry = || wrong("`expires` is neither a date, a time nor a number of seconds since 1970");
    let expires = match text("expires")? {
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => Some(text.parse().map_err(|_| no_expiry())?),
        Some(text) => Some(parse_until(&text).map_err(|_| no_expiry())?),
        None => None,
    };
    let remove = match fields.get("remove") {
        Some(Value::Bool(remove)) => *remove,
        _ => match text("remove")?.map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("no" | "false" | "0") => false,
            Some("yes" | "true" | "1") => true,
            Some(_) => return Err(wrong("`remove` is neither yes nor no")),
        },
    };
    let one_of = |name: &str| {
        let name = name.to_owned();
        move |names: String| wrong(format!("`{name}` is not {names}"))
    };
    Ok(Entry {
        subject: needed("subject")?.trim().parse().map_err(one_of("subject"))?,
        value: needed("value")?,
        birth_year: text("birth_year")?.map(|year| year.trim().parse()).transpose().map_err(no_year)?,
        category: text("category")?.map(|name| name.trim().parse()).transpose().map_err(one_of("category"))?,
        tlp: text("tlp")?.map(|name| name.parse()).transpose().map_err(one_of("tlp"))?,
        note: text("note")?,
        expires,
        remove,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [&str; 4] = ["subject", "value", "birth_year", "note"];

    fn lines(text: &str, format: Option<Format>) -> anyhow::Result<Vec<Line>> {
        let mut lines = Lines::new(Box::new(io::Cursor::new(text.to_owned().into_bytes())), format, &COLUMNS)?;
        let mut found = Vec::new();
        while let Some(line) = lines.next()? {
            found.push(line);
        }
        assert_eq!(lines.bytes, text.len() as u64);
        Ok(found)
    }

    #[test]
    fn cells_are_split() {
        for (line, expect) in [
            ("a,b", Some(vec!["a", "b"])),
            (",", Some(vec!["", ""])),
            ("\"a,b\",c", Some(vec!["a,b", "c"])),
            ("\"say \"\"a\"\"\",", Some(vec!["say \"a\"", ""])),
            ("a \"b\" c", Some(vec!["a \"b\" c"])),
            ("\"\"", Some(vec![""])),
            ("\"a", None),
            ("\"a\"b,c", None),
        ] {
            let expect = expect.map(|cells| cells.into_iter().map(str::to_owned).collect());
            assert_eq!(split(line, ','), expect, "{line}");
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        let text = "\u{feff}Value; subject\r\n\r\nVNM:C1;passport\r\n;\r\n\"open;passport\r\na;b;c\r\n9074729;imo";
        let found = lines(text, None).unwrap();
        let told: Vec<_> = found.iter().map(|line| (line.number, line.fields.is_ok())).collect();
        assert_eq!(told, [(3, true), (4, true), (5, false), (6, false), (7, true)]);
        assert_eq!(json!(found[0].fields.as_ref().unwrap()), json!({ "value": "VNM:C1", "subject": "passport" }));
        let text = "{\"subject\":\"imo\",\"value\":9074729,\"note\":null}\n\n[]\n{\"sub\":1}\n";
        let found = lines(text, None).unwrap();
        let told: Vec<_> = found.iter().map(|line| (line.number, line.fields.is_ok())).collect();
        assert_eq!(told, [(1, true), (3, false), (4, false)]);
        assert_eq!(json!(found[0].fields.as_ref().unwrap()), json!({ "subject": "imo", "value": 9074729 }));
    }

    #[test]
    fn a_line_that_is_too_long_keeps_no_other_back() {
        let long = "x".repeat(LINE_BYTES_MAX as usize + 9);
        let mut lines = Lines::new(
            Box::new(io::Cursor::new(format!("subject,value\n{long}\nimo,9074729\n").into_bytes())),
            None,
            &COLUMNS,
        )
        .unwrap();
        let first = lines.next().unwrap().unwrap();
        assert_eq!((first.number, first.fields.unwrap_err().reason), (2, "oversize"));
        assert!(lines.next().unwrap().unwrap().fields.is_ok());
    }

    #[test]
    fn columns_are_checked() {
        for (text, told) in [
            ("", "is missing"),
            ("subject,vlaue\n", "not known"),
            ("subject,value,value\n", "value twice"),
            ("subject,note\n", "does not name value"),
            ("\"subject,value\n", "not closed"),
        ] {
            let error = format!("{:#}", lines(text, Some(Format::Csv)).unwrap_err());
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn entries_are_read() {
        let read = |fields: Value| entry(fields.as_object().unwrap());
        let full = read(json!({ "subject": "name", "value": "EXERCISE An", "birth_year": "1980", "category": "wanted",
            "tlp": "tlp:amber+strict", "note": "EXERCISE", "expires": "1970-01-02", "remove": "Yes" }));
        assert_eq!(
            serde_json::to_value(full.unwrap()).unwrap(),
            json!({ "subject": "name", "value": "EXERCISE An", "birth_year": 1980, "category": "wanted",
                "tlp": "AMBER+STRICT", "note": "EXERCISE", "expires": 2 * 86_400 - 1, "remove": true })
        );
        let bare = read(json!({ "subject": "imo", "value": 9074729, "expires": 60, "remove": false })).unwrap();
        assert_eq!(serde_json::to_value(bare).unwrap(), json!({ "subject": "imo", "value": "9074729", "expires": 60 }));
        for (field, value, told) in [
            ("subject", json!("SECRET"), "`subject` is not one of"),
            ("subject", json!(null), "`subject` is no text"),
            ("value", json!(["SECRET"]), "`value` is no text"),
            ("birth_year", json!("SECRET"), "no year"),
            ("birth_year", json!(70_000), "no year"),
            ("category", json!("SECRET"), "`category` is not one of"),
            ("tlp", json!("SECRET"), "`tlp` is not one of"),
            ("expires", json!("SECRET"), "`expires` is neither"),
            ("expires", json!(-1), "`expires` is neither"),
            ("remove", json!("SECRET"), "`remove` is neither"),
        ] {
            let mut fields = json!({ "subject": "imo", "value": "9074729" });
            fields[field] = value;
            let wrong = read(fields).unwrap_err();
            assert!(wrong.detail.contains(told), "{wrong:?}");
            assert!(!wrong.detail.contains("SECRET"), "{wrong:?}");
        }
        assert_eq!(read(json!({ "subject": "imo" })).unwrap_err().detail, "`value` is missing");
    }
}
