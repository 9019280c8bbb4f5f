//! A mark that stands in one report and its attachment and nowhere else, and the search for it.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::data_file;

/// Within the shared data.
const BUNDLE: &str = "stix/apt1.json";

/// Something that nobody could have written by chance.
pub(crate) struct Marker(String);

impl Marker {
    /// One for this run.
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let hash = mufakat_record::sha256(format!("{now} {}", std::process::id()).as_bytes());
        Self(hex::encode(&hash[..16]))
    }

    /// As it stands in texts.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// How often it stands in bytes, as it is or written in hexadecimal digits.
    pub(crate) fn count_in(&self, bytes: &[u8]) -> usize {
        [self.0.clone(), hex::encode(&self.0)].iter().map(|form| occurrences(bytes, form.as_bytes())).sum()
    }

    /// How often it stands in the files of a folder, and how many bytes these have.
    pub(crate) fn count_in_files(&self, path: &Path) -> Result<Found> {
        let mut found = Found::default();
        self.search(path, &mut found)?;
        Ok(found)
    }

    fn search(&self, path: &Path, found: &mut Found) -> Result<()> {
        let metadata = match fs::symlink_metadata(path) {
            // A node that works removes files at any moment.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.with_context(|| format!("cannot look at {}", path.display()))?,
        };
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                self.search(&entry?.path(), found)?;
            }
        } else if metadata.is_file() {
            let bytes = match fs::read(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                other => other.with_context(|| format!("cannot read {}", path.display()))?,
            };
            found.files += 1;
            found.bytes += bytes.len();
            found.times += self.count_in(&bytes);
        }
        Ok(())
    }

    /// A STIX bundle with the mark in one of its objects, and where it comes from.
    pub(crate) fn bundle(&self) -> Result<(Vec<u8>, String)> {
        let file = data_file(BUNDLE);
        let (bundle, told) = if file.is_file() {
            let bundle: Value = serde_json::from_slice(&fs::read(&file)?)?;
            (bundle, format!("{BUNDLE} (OASIS, BSD-3-Clause)"))
        } else {
            (invented(), format!("an INVENTED bundle, because {} is missing", file.display()))
        };
        Ok((self.marked(bundle)?, told))
    }

    /// The bundle with one object more.
    fn marked(&self, mut bundle: Value) -> Result<Vec<u8>> {
        let objects = bundle["objects"].as_array_mut().context("the bundle has no objects")?;
        let about = objects.first().map(|object| object["id"].clone()).context("the bundle is empty")?;
        let (own, rest) = (&self.0[..8], &self.0[20..]);
        let uuid = format!("{own}-{}-4{}-8{}-{rest}", &self.0[8..12], &self.0[13..16], &self.0[17..20]);
        objects.push(json!({
            "type": "note", "spec_version": "2.1", "id": format!("note--{uuid}"),
            "created": "2026-11-21T00:00:00.000Z", "modified": "2026-11-21T00:00:00.000Z",
            "content": format!("EXERCISE {}", self.0), "object_refs": [about],
        }));
        Ok(serde_json::to_vec_pretty(&bundle)?)
    }
}

/// What a search found.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Found {
    /// How often.
    pub(crate) times: usize,
    /// In how many files.
    pub(crate) files: usize,
    /// In how many bytes.
    pub(crate) bytes: usize,
}

fn occurrences(bytes: &[u8], form: &[u8]) -> usize {
    let Some(first) = form.first() else { return 0 };
    let (mut times, mut rest) = (0, bytes);
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        times += usize::from(rest[at..].starts_with(form));
        rest = &rest[at + 1..];
    }
    times
}

/// A bundle of the same shape in which everything is invented.
fn invented() -> Value {
    let object = |number: usize| {
        json!({
            "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{number:012}"),
            "created": "2026-11-21T00:00:00.000Z", "modified": "2026-11-21T00:00:00.000Z",
            "name": format!("EXERCISE indicator {number}"), "pattern_type": "stix", "valid_from": "2026-11-21T00:00:00Z",
            "pattern": format!("[domain-name:value = 'exercise-{number}.example']"),
        })
    };
    let objects: Vec<Value> = (0..80).map(object).collect();
    json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": objects })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_every_form() {
        let marker = Marker::new();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inner")).unwrap();
        fs::write(dir.path().join("inner/a"), format!("{0}{0} {1}", marker.text(), hex::encode(marker.text())))
            .unwrap();
        fs::write(dir.path().join("b"), &marker.text()[1..]).unwrap();
        let found = marker.count_in_files(dir.path()).unwrap();
        assert_eq!((found.times, found.files), (3, 2));
        assert_eq!(marker.count_in_files(&dir.path().join("b")).unwrap().times, 0);
    }

    #[test]
    fn the_bundle_holds_the_mark_once() {
        let marker = Marker::new();
        for bundle in [marker.marked(invented()).unwrap(), marker.bundle().unwrap().0] {
            assert_eq!(marker.count_in(&bundle), 1);
            let bundle: Value = serde_json::from_slice(&bundle).unwrap();
            let note = bundle["objects"].as_array().unwrap().last().unwrap();
            assert_eq!(note["id"].as_str().unwrap().len(), "note--".len() + 36);
        }
    }
}
