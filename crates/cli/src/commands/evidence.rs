//! `evidence`, which writes a bundle, and `verify`, which believes one or names the part that does not hold.

use std::path::Path;

use mufakat_formats::{EVIDENCE_BYTES_MAX, Statement};
use mufakat_record::Digest;
use serde_json::json;

use crate::args::VerifyArgs;
use crate::client::{Client, save};
use crate::failure::{Failure, refused, usage};
use crate::output::{Output, Table, bytes_shown, facts};
use crate::when::{show_ms, show_s};

/// How many words a fingerprint has.
const WORDS: usize = 12;

/// Writes the evidence for a record to a file.
pub(super) async fn write(
    client: &Client,
    record: &str,
    file: &Path,
    force: bool,
    output: Output,
) -> anyhow::Result<()> {
    let id = client.record_id(record).await?;
    let response = client.download(&format!("/api/v1/records/{id}/evidence")).await?;
    let bytes = save(response, file, force, |_| ()).await?;
    if file == Path::new("-") {
        return Ok(());
    }
    let answer = json!({ "id": id, "file": file.display().to_string(), "bytes": bytes });
    output.show(&answer, || {
        let shown = file.display();
        format!("{shown}: evidence for {id}, {}\ncheck it anywhere with: mufakat verify {shown}", bytes_shown(bytes))
    })?;
    Ok(())
}

/// What the verifier trusts beforehand.
#[derive(Debug, PartialEq, Eq)]
enum Root {
    Hash(Digest),
    Words(String),
}

fn parse_root(text: &str) -> anyhow::Result<Root> {
    if let Ok(hash) = text.trim().parse() {
        return Ok(Root::Hash(hash));
    }
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    if words.len() != WORDS {
        return Err(usage(format!("--root takes {WORDS} words or 64 hexadecimal digits")));
    }
    Ok(Root::Words(words.join(" ")))
}

/// Checks an evidence file. Nothing but the file is needed.
pub(super) fn verify(args: &VerifyArgs, output: Output) -> anyhow::Result<()> {
    let root = args.root.as_deref().map(parse_root).transpose()?;
    let bytes = super::input_bytes(&args.file, EVIDENCE_BYTES_MAX as u64)?;
    let statement = check(&bytes, root.as_ref()).map_err(|(part, why)| {
        if part == "format" && !looks_like_evidence(&bytes) {
            let shown = args.file.display();
            let detail = format!("{shown} is not an evidence file; `mufakat evidence ID --out FILE` writes one");
            return refused("not-evidence", detail);
        }
        Failure::Problem(json!({
            "type": "about:blank", "title": "the evidence does not hold", "reason": "evidence-refused",
            "detail": format!("the evidence does not hold: {part}: {why}"), "part": part, "why": why,
        }))
        .into()
    })?;
    output.show(&serde_json::to_value(&statement)?, || words(&statement))?;
    Ok(())
}

/// Whether a word of the format's name stands at the beginning, as in evidence that was damaged later.
fn looks_like_evidence(bytes: &[u8]) -> bool {
    let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]);
    beginning.contains("mufakat") || beginning.contains("evidence")
}

/// What the bundle proves, or which part does not hold and why.
fn check(bytes: &[u8], root: Option<&Root>) -> Result<Statement, (String, String)> {
    let hash = match root {
        Some(Root::Hash(hash)) => Some(*hash),
        _ => None,
    };
    let mut statement = mufakat_formats::verify(bytes, hash).map_err(|fault| (fault.part, fault.why))?;
    if let Some(Root::Words(words)) = root {
        if *words != statement.fingerprint {
            let why = "this is the register of another community than the one expected";
            return Err(("register[1]".to_owned(), why.to_owned()));
        }
        statement.root_expected = true;
    }
    Ok(statement)
}

fn words(statement: &Statement) -> String {
    let names = |list: &[mufakat_record::AgencyId]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let leaf = &statement.leaf;
    let revoked =
        statement.key_revoked.map(|at| format!("its key was revoked from {}; the record was there before", show_s(at)));
    let ledger = format!("{}, leaf {} of {}", statement.checkpoint.origin, leaf.index, statement.checkpoint.size);
    let quorum = &statement.quorum;
    let enough = if quorum.met { "as many as the rules ask" } else { "FEWER than the rules ask" };
    let mut text = String::from("The evidence holds.\n\n");
    text.push_str(&facts(&[
        ("record", statement.record.to_string()),
        (
            "kind",
            if statement.understood {
                statement.kind.clone()
            } else {
                format!("{} (not understood here)", statement.kind)
            },
        ),
        (
            "signed by",
            format!("{} of {}, {} by its own clock", statement.author, statement.party, show_s(statement.signed_at)),
        ),
        ("note", revoked.unwrap_or_default()),
        ("handling", super::records::handling_words(&serde_json::to_value(&statement.handling).unwrap_or_default())),
        ("expires", statement.expires.map(show_s).unwrap_or_default()),
        ("audience", names(&statement.audience)),
        ("in the ledger", format!("{ledger}: {} {}", leaf.outcome, show_ms(leaf.at_ms))),
        ("witnesses", format!("{} of {} needed, {enough}", statement.witnesses.len(), quorum.needed)),
    ]));
    if !statement.witnesses.is_empty() {
        let mut table = Table::new(&["witness", "cosigned"]);
        for witness in &statement.witnesses {
            table.row([witness.agency.to_string(), show_s(witness.cosigned_at)]);
        }
        text.push_str(&format!("\n{}", table.text("")));
    }
    let mut table = Table::new(&["recipient", "said", "when", "leaf"]);
    for receipt in &statement.receipts {
        let said = receipt.rejected.as_ref().map_or("accepted".to_owned(), |reason| format!("rejected: {reason}"));
        table.row([receipt.agency.to_string(), said, show_ms(receipt.at_ms), receipt.index.to_string()]);
    }
    text.push_str(&format!("\n{}", table.text("No recipient's receipt is in the evidence.")));
    if !statement.related.is_empty() {
        let mut table = Table::new(&["later", "by", "when", "record"]);
        for related in &statement.related {
            table.row([
                related.kind.clone(),
                related.author.to_string(),
                show_ms(related.at_ms),
                related.record.to_string(),
            ]);
        }
        text.push_str(&format!("\n{}", table.text("")));
    }
    let trusted = if statement.root_expected {
        "It rests on the register of the community that you named".to_owned()
    } else {
        "COMPARE: it rests on the register of a community with these words".to_owned()
    };
    let community = crate::output::clean(&statement.community);
    text.push_str(&format!("\n{trusted}, {community}:\n  {}\n  {}\n", statement.fingerprint, statement.root));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_words_or_a_hash() {
        let hash = "ab".repeat(32);
        assert_eq!(parse_root(&hash).unwrap(), Root::Hash(Digest([0xab; 32])));
        let words = "Abandon  abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon\nabout";
        let Root::Words(words) = parse_root(words).unwrap() else { panic!("words were given") };
        assert_eq!(words.split(' ').count(), WORDS);
        assert!(words.starts_with("abandon abandon"));
        for bad in ["", "abandon", &hash[1..]] {
            assert!(parse_root(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_evidence_is_refused_by_its_part() {
        assert_eq!(check(b"nonsense", None).unwrap_err().0, "format");
    }
}
