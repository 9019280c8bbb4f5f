//! `get` and `draft get`: the content of an attachment.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::share::bytes_bar;
use crate::client::{Client, save};
use crate::failure::refused;
use crate::output::{Output, bytes_shown};

/// Writes the content of an attachment to a file.
pub(super) async fn run(
    client: &Client,
    record: &str,
    file: Option<PathBuf>,
    force: bool,
    output: Output,
) -> anyhow::Result<()> {
    let id = client.record_id(record).await?;
    let mut attachment = client.get(&format!("/api/v1/records/{id}")).await?;
    if attachment["kind"] != "attachment" {
        let id = the_attachment(&attachment)?;
        attachment = client.get(&format!("/api/v1/records/{id}")).await?;
    }
    let id = attachment["id"].as_str().unwrap_or_default().to_owned();
    let path = format!("/api/v1/records/{id}/content");
    fetch(client, &path, (&id, &attachment["body"]), file, force, output).await
}

/// Writes what a path gives to a file; it is the content of an attachment with this description, of this record.
pub(super) async fn fetch(
    client: &Client,
    path: &str,
    (id, described): (&str, &Value),
    file: Option<PathBuf>,
    force: bool,
    output: Output,
) -> anyhow::Result<()> {
    let file = match file {
        Some(file) => file,
        None => PathBuf::from(plain_name(described["name"].as_str().unwrap_or_default())?),
    };
    let name = crate::output::clean(&file.display().to_string());
    let bar = described["size"].as_u64().map_or_else(ProgressBar::hidden, |size| bytes_bar(size, &name));
    let response = client.download(path).await?;
    let bytes = save(response, &file, force, |bytes| bar.set_position(bytes)).await?;
    bar.finish_and_clear();
    if file == Path::new("-") {
        return Ok(());
    }
    let answer = json!({ "id": id, "file": file.display().to_string(), "bytes": bytes });
    output.show(&answer, || format!("{name}: {}", bytes_shown(bytes)))?;
    Ok(())
}

/// The one attachment that a record carries.
fn the_attachment(record: &Value) -> anyhow::Result<String> {
    let references = record["references"].as_array().into_iter().flatten();
    let attached: Vec<&str> = references
        .filter(|reference| reference["relation"] == "attaches")
        .filter_map(|r| r["record"].as_str())
        .collect();
    match attached.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(refused("not-found", "the record is no attachment and carries none")),
        several => Err(refused(
            "ambiguous",
            format!("the record carries several attachments; name one: {}", several.join(", ")),
        )),
    }
}

/// A partner's name for a file, if it can be one in the current folder. Names that hide or lead elsewhere are the partner's
/// word against the user's interest.
fn plain_name(name: &str) -> anyhow::Result<&str> {
    let harmful = name.is_empty()
        || name.starts_with(['.', '-'])
        || name.contains(['/', '\\'])
        || crate::output::clean(name) != name;
    if harmful {
        return Err(refused("name-refused", format!("`{name}` is no name for a file here; give one with -o")));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for good in ["bundle.json", "báo cáo.pdf"] {
            assert_eq!(plain_name(good).unwrap(), good);
        }
        for bad in ["", ".", "..", ".bashrc", "a/b", "a\\b", "-o", "a\u{1b}[2J", "a\u{202e}gpj.exe"] {
            assert!(plain_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_attachment_must_be_the_only_one() {
        let with = |list: &[(&str, &str)]| {
            let references: Vec<Value> = list.iter().map(|(r, id)| json!({"relation": r, "record": id})).collect();
            the_attachment(&json!({ "references": references }))
        };
        assert_eq!(with(&[("about", "a"), ("attaches", "b")]).unwrap(), "b");
        assert!(with(&[("about", "a")]).is_err());
        assert!(with(&[("attaches", "a"), ("attaches", "b")]).is_err());
    }
}
