//! Checkpoints (C2SP tlog-checkpoint): a log's size and root under its name, and the signed note that carries them.

use crate::hash::{Hash, empty_root};
use crate::note::{self, Algorithm, Note, Signer, VerifierKey};
use crate::text;

/// Bytes of an origin, which is also the name of the log's key.
pub const ORIGIN_BYTES_MAX: usize = note::NAME_BYTES_MAX;
/// Extension lines in a checkpoint.
pub const EXTENSIONS_MAX: usize = 16;
/// Bytes of one extension line.
pub const EXTENSION_BYTES_MAX: usize = 1024;

/// Why something is not a checkpoint, or not one of this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The origin is empty, too long or has control characters.
    #[error("the checkpoint's origin is malformed")]
    Origin,
    /// The size is not a canonical decimal of at most 64 bits.
    #[error("the checkpoint's size is malformed")]
    Size,
    /// The root is not the base64 of 32 bytes, or not the empty root at size 0.
    #[error("the checkpoint's root is malformed")]
    Root,
    /// Extension lines are empty, too long or too many, or the last line does not end.
    #[error("the checkpoint's extension lines are malformed")]
    Extension,
    /// The checkpoint is not of the log whose key was given.
    #[error("the checkpoint is of {found}, not of {expected}")]
    OtherLog {
        /// Origin in the checkpoint.
        found: String,
        /// Name of the log's key.
        expected: String,
    },
    /// The note around it is malformed, not signed by the log, or wrongly signed.
    #[error(transparent)]
    Note(#[from] note::Error),
}

/// The state of a log at one moment. On its own it is only a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's unique name, the same as the name of its key.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// Further lines that the log signed, usually none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn encode(&self) -> Result<String, Error> {
        self.check()?;
        let extensions: String = self.extensions.iter().map(|line| format!("{line}\n")).collect();
        Ok(format!("{}\n{}\n{}\n{extensions}", self.origin, self.size, self.root))
    }

    /// Reads the text of a note as a checkpoint; only what [`Checkpoint::encode`] can give is accepted.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (origin, rest) = text::take_line(text).ok_or(Error::Origin)?;
        let (size, rest) = text::take_line(rest).ok_or(Error::Size)?;
        let (root, mut rest) = text::take_line(rest).ok_or(Error::Root)?;
        let mut extensions = Vec::new();
        while !rest.is_empty() {
            let (line, behind) = text::take_line(rest).ok_or(Error::Extension)?;
            if extensions.len() == EXTENSIONS_MAX {
                return Err(Error::Extension);
            }
            extensions.push(line.to_owned());
            rest = behind;
        }
        let size = text::decimal(size).ok_or(Error::Size)?;
        let root = Hash::from_base64(root).ok_or(Error::Root)?;
        let checkpoint = Self { origin: origin.to_owned(), size, root, extensions };
        checkpoint.check()?;
        Ok(checkpoint)
    }

    fn check(&self) -> Result<(), Error> {
        if !text::is_plain_line(&self.origin) || self.origin.len() > ORIGIN_BYTES_MAX {
            return Err(Error::Origin);
        }
        if self.size == 0 && self.root != empty_root() {
            return Err(Error::Root);
        }
        let good = |line: &String| text::is_plain_line(line) && line.len() <= EXTENSION_BYTES_MAX;
        if self.extensions.len() > EXTENSIONS_MAX || !self.extensions.iter().all(good) {
            return Err(Error::Extension);
        }
        Ok(())
    }
}

/// A checkpoint that its log signed, with whatever cosignatures came along. A value of this type has been verified against the log's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: Note,
    checkpoint: Checkpoint,
}

impl SignedCheckpoint {
    /// Signs a checkpoint with the key of its log.
    pub fn sign(checkpoint: Checkpoint, log: &Signer) -> Result<Self, Error> {
        check_log(&checkpoint, log.verifier())?;
        let text = checkpoint.encode()?;
        let signatures = vec![log.sign(&text)?];
        Ok(Self { note: Note { text, signatures }, checkpoint })
    }

    /// Reads a signed checkpoint and verifies that this log signed it. Cosignatures are kept, and verified by [`SignedCheckpoint::cosigners`].
    pub fn open(bytes: impl AsRef<[u8]>, log: &VerifierKey) -> Result<Self, Error> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        Self::verify(note, checkpoint, log)
    }

    /// Verifies what was parsed before the log's key was known. The checkpoint is the one parsed from the note's text.
    pub(crate) fn verify(note: Note, checkpoint: Checkpoint, log: &VerifierKey) -> Result<Self, Error> {
        check_log(&checkpoint, log)?;
        note.verify_one(log)?;
        Ok(Self { note, checkpoint })
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note that carries it.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The note as it is sent and stored.
    pub fn encode(&self) -> String {
        self.note.encode()
    }

    /// Adds the signature lines that a witness answered with, after verifying them; lines by unknown keys are left out, and an older cosignature by
    /// the same key is replaced. Gives each witness's position among the keys and the time it stated.
    pub fn add(&mut self, lines: &str, witnesses: &[VerifierKey]) -> Result<Vec<(usize, u64)>, Error> {
        let mut added = Vec::new();
        let mut note = self.note.clone();
        for signature in note::parse_lines(lines)? {
            let Some(index) = witnesses.iter().position(|key| key.made(&signature)) else { continue };
            let time_s = crate::cosign::verify(&witnesses[index], &note.text, &signature)?;
            note.signatures.retain(|old| !witnesses[index].made(old));
            if note.signatures.len() == note::SIGNATURES_MAX {
                return Err(note::Error::TooManySignatures.into());
            }
            note.signatures.push(signature);
            added.push((index, time_s));
        }
        self.note = note;
        Ok(added)
    }

    /// Which of these witnesses cosigned, each once, with the latest time it stated (seconds since 1970). A wrong signature beside a known key
    /// is an error.
    pub fn cosigners(&self, witnesses: &[VerifierKey]) -> Result<Vec<(usize, u64)>, Error> {
        let mut found: Vec<(usize, u64)> = Vec::new();
        for verified in self.note.verify(witnesses)? {
            let Some(time_s) = verified.timestamp else { continue };
            match found.iter_mut().find(|(key, _)| *key == verified.key) {
                Some((_, latest)) => *latest = time_s.max(*latest),
                None => found.push((verified.key, time_s)),
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The same checkpoint with only the signatures by this key, so that a stranger's lines are not kept.
    pub(crate) fn only(&self, key: &VerifierKey) -> Note {
        let signatures = self.note.signatures.iter().filter(|signature| key.made(signature)).cloned().collect();
        Note { text: self.note.text.clone(), signatures }
    }
}

/// A log signs under one name only: without this a valid signature over another log's checkpoint would pass.
fn check_log(checkpoint: &Checkpoint, log: &VerifierKey) -> Result<(), Error> {
    if log.algorithm() != Algorithm::Ed25519 {
        return Err(note::Error::WrongAlgorithm(log.name().to_owned()).into());
    }
    if checkpoint.origin != log.name() {
        return Err(Error::OtherLog { found: checkpoint.origin.clone(), expected: log.name().to_owned() });
    }
    Ok(())
}
