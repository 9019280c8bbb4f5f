//! Where to change one byte in each part of an evidence bundle (the protocol document, section 14), and which part a verifier
//! has to name then.

use anyhow::{Context, Result, ensure};
use minicbor::Decoder;
use mufakat_record::Unverified;

/// One changed byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Break {
    /// The part in which it is.
    pub(crate) part: String,
    at: usize,
    byte: u8,
}

impl Break {
    /// The bundle with that byte changed.
    pub(crate) fn apply(&self, bundle: &[u8]) -> Vec<u8> {
        let mut bytes = bundle.to_vec();
        bytes[self.at] = self.byte;
        bytes
    }
}

/// One or more changes for each part of a bundle.
pub(crate) fn of(bundle: &[u8]) -> Result<Vec<Break>> {
    let mut walk = Walk { bundle, decoder: Decoder::new(bundle), breaks: Vec::new() };
    ensure!(walk.decoder.map()? == Some(9), "a bundle has nine entries");
    walk.entry(1)?;
    walk.text("format")?;
    walk.entry(2)?;
    for number in 1..=walk.list()? {
        ensure!(walk.list()? == 2, "a version goes with its approvals");
        walk.bytes(&format!("register[{number}]"))?;
        for _ in 0..walk.list()? {
            walk.decoder.bytes()?;
        }
        // The last of the approvals.
        walk.change_last(&format!("register[{number}]"));
    }
    walk.entry(3)?;
    for _ in 0..walk.list()? {
        walk.key_set()?;
    }
    walk.entry(4)?;
    walk.bytes("record")?;
    walk.entry(5)?;
    // Another agency's name would have to be the one of the checkpoint's ledger.
    walk.text("checkpoint")?;
    walk.entry(6)?;
    walk.note()?;
    walk.entry(7)?;
    for number in 0..walk.list()? {
        walk.leaf(&format!("leaf[{number}]"))?;
    }
    for (key, name) in [(8, "receipt"), (9, "related")] {
        walk.entry(key)?;
        for number in 0..walk.list()? {
            walk.bytes(&format!("{name}[{number}]"))?;
        }
    }
    Ok(walk.breaks)
}

struct Walk<'a> {
    bundle: &'a [u8],
    decoder: Decoder<'a>,
    breaks: Vec<Break>,
}

impl<'a> Walk<'a> {
    fn entry(&mut self, key: u8) -> Result<()> {
        ensure!(self.decoder.u8()? == key, "entry {key} is not where it should be");
        Ok(())
    }

    fn list(&mut self) -> Result<u64> {
        self.decoder.array()?.context("a list of indefinite length")
    }

    /// Changes the last byte of what was read just now. It keeps its form: of a record it is part of the signature.
    fn change_last(&mut self, part: &str) {
        self.change(part, self.decoder.position() - 1);
    }

    fn change(&mut self, part: &str, at: usize) {
        self.breaks.push(Break { part: part.to_owned(), at, byte: self.bundle[at] ^ 1 });
    }

    fn bytes(&mut self, part: &str) -> Result<()> {
        self.decoder.bytes()?;
        self.change_last(part);
        Ok(())
    }

    fn text(&mut self, part: &str) -> Result<()> {
        self.decoder.str()?;
        self.change_last(part);
        Ok(())
    }

    fn key_set(&mut self) -> Result<()> {
        let record = self.decoder.bytes()?;
        let record = Unverified::parse(record.to_vec()).ok().context("a key set that cannot be read")?;
        self.change_last(&format!("key-set[{}]", record.header().author));
        Ok(())
    }

    /// In the checkpoint's root, in its ledger's signature, and in each cosignature.
    fn note(&mut self) -> Result<()> {
        let note = self.decoder.str()?;
        let begin = self.decoder.position() - note.len();
        let (text, signatures) = note.split_once("\n\n").context("a note without signatures")?;
        let mut lines = text.split_inclusive('\n');
        let origin = lines.next().context("a checkpoint without origin")?;
        let size = lines.next().context("a checkpoint without size")?;
        self.change_base64("checkpoint", begin + origin.len() + size.len());
        let mut at = begin + text.len() + 2;
        for line in signatures.split_inclusive('\n') {
            let own = line.strip_prefix("— ").is_some_and(|line| line.starts_with(&format!("{} ", origin.trim_end())));
            // Within the signature, after the four bytes of the key's id.
            let middle = line.rfind(' ').context("a signature without a name")? + 20;
            self.change_base64(if own { "checkpoint" } else { "cosignatures" }, at + middle);
            at += line.len();
        }
        Ok(())
    }

    fn change_base64(&mut self, part: &str, at: usize) {
        let byte = if self.bundle[at] == b'A' { b'B' } else { b'A' };
        self.breaks.push(Break { part: part.to_owned(), at, byte });
    }

    /// In the proof where there is one, and otherwise in the salt.
    fn leaf(&mut self, part: &str) -> Result<()> {
        ensure!(self.list()? == 7, "a leaf has seven entries");
        self.decoder.u64()?;
        let salt_end = self.decoder.bytes().map(|_| self.decoder.position())?;
        self.decoder.u8()?;
        self.decoder.u64()?;
        // Subject and detail.
        self.decoder.bytes()?;
        self.decoder.bytes()?;
        let hashes = self.list()?;
        for _ in 0..hashes {
            self.decoder.bytes()?;
        }
        self.change(part, if hashes > 0 { self.decoder.position() - 1 } else { salt_end - 1 });
        Ok(())
    }
}
