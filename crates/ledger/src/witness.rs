//! The decisions of a witness (C2SP tlog-witness, `add-checkpoint`), and the comparison of checkpoints between witnesses.
//!
//! The caller keeps one [`Seen`] for each origin. It must read it, call [`decide`], and write what that gives durably, all in one transaction,
//! before it answers: a witness that answers first and forgets can be made to cosign two histories.

use crate::checkpoint::{self, Checkpoint, SignedCheckpoint};
use crate::cosign;
use crate::hash::{Hash, empty_root};
use crate::note::{self, Note, Signer, VerifierKey};
use crate::proof::{self, verify_consistency};
use crate::text;

/// Hashes in the consistency proof of a request (C2SP tlog-witness).
pub const REQUEST_HASHES_MAX: usize = 63;
/// Bytes of a request: the old size, the proof and a note.
pub const REQUEST_BYTES_MAX: usize = note::NOTE_BYTES_MAX + 64 * 48;

/// Content type of the answer that states the size a witness has seen (C2SP tlog-witness).
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// Why bytes are not an `add-checkpoint` request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`REQUEST_BYTES_MAX`].
    #[error("the request has {bytes} bytes, more than {REQUEST_BYTES_MAX}")]
    TooLong {
        /// Bytes that came.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the request is not UTF-8 text")]
    NotText,
    /// The first line is not `old` with a size.
    #[error("the request does not begin with the old size")]
    OldSize,
    /// A proof line is not a hash, there are too many, or no empty line follows.
    #[error("the consistency proof of the request is malformed")]
    Proof,
    /// What follows is not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
}

/// A request to cosign a checkpoint, as it was read; nothing about it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    old: u64,
    proof: Vec<Hash>,
    note: Note,
    checkpoint: Checkpoint,
}

/// The latest checkpoint that a witness cosigned for one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Size of the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// The signed note with the log's signature and the witness's own; it becomes evidence when the log forks.
    pub note_text: String,
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is not one.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// The old size is larger than the checkpoint's.
    #[error("the old size {old} is larger than the checkpoint's {size}")]
    OldSize {
        /// Old size that the request states.
        old: u64,
        /// Size of the checkpoint.
        size: u64,
    },
    /// The log did not sign the checkpoint.
    #[error("the checkpoint is not signed by its log: {0}")]
    NotSigned(checkpoint::Error),
    /// The origin is not one that this witness watches.
    #[error("this witness does not watch {0:?}")]
    UnknownLog(String),
    /// The witness has seen another size than the request builds on.
    #[error("this witness has seen size {size}")]
    Conflict {
        /// Size that the witness has seen.
        size: u64,
    },
    /// The consistency proof does not prove.
    #[error("the checkpoint is not shown to be consistent: {0}")]
    Inconsistent(proof::Invalid),
    /// The log signed two roots for one size. The caller keeps the evidence and raises the alarm.
    #[error("{} signed two different trees of the same size", .0.origin)]
    Split(SplitView),
    /// The witness's own key or time is unfit; this is our fault and not the log's.
    #[error("this witness cannot cosign: {0}")]
    OwnFault(note::Error),
}

impl Refusal {
    /// The HTTP status that the specification gives this refusal.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::OldSize { .. } => 400,
            Self::NotSigned(_) => 403,
            Self::UnknownLog(_) => 404,
            Self::Conflict { .. } | Self::Split(_) => 409,
            Self::Inconsistent(_) => 422,
            Self::OwnFault(_) => 500,
        }
    }

    /// The body for a [`Refusal::Conflict`], with content type [`SIZE_CONTENT_TYPE`]: the size seen and a newline. `None` for the others.
    pub fn size_body(&self) -> Option<String> {
        match self {
            Self::Conflict { size } => Some(format!("{size}\n")),
            _ => None,
        }
    }
}

impl Request {
    /// A request to cosign `checkpoint`, with the proof that it extends the tree of `old` leaves.
    pub fn new(old: u64, proof: Vec<Hash>, checkpoint: &SignedCheckpoint) -> Self {
        Self { old, proof, note: checkpoint.note().clone(), checkpoint: checkpoint.checkpoint().clone() }
    }

    /// Reads a request from a stranger's bytes.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, ParseError> {
        let bytes = bytes.as_ref();
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(ParseError::TooLong { bytes: bytes.len() });
        }
        let request = std::str::from_utf8(bytes).map_err(|_| ParseError::NotText)?;
        let (old, rest) = text::take_line(request).ok_or(ParseError::OldSize)?;
        let old = old.strip_prefix("old ").and_then(text::decimal).ok_or(ParseError::OldSize)?;
        let (proof, rest) = text::take_hashes(rest, REQUEST_HASHES_MAX).ok_or(ParseError::Proof)?;
        let note = Note::parse(rest).map_err(checkpoint::Error::Note)?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        Ok(Self { old, proof, note, checkpoint })
    }

    /// The body of the request.
    pub fn encode(&self) -> String {
        format!("old {}\n{}\n{}", self.old, text::hash_lines(&self.proof), self.note.encode())
    }

    /// The origin that the request names, by which the caller finds the log's key and what it has seen.
    pub fn origin(&self) -> &str {
        &self.checkpoint.origin
    }
}

/// Decides one `add-checkpoint` request. `log` is the key of the log with the request's origin, or `None` when that origin is not watched;
/// `seen` is what was seen of that origin; `now_s` is the time in seconds since 1970.
///
/// On success the caller writes the new [`Seen`] durably and only then answers with the cosignature line.
pub fn decide(
    seen: Option<&Seen>,
    request: Request,
    log: Option<&VerifierKey>,
    signer: &Signer,
    now_s: u64,
) -> Result<(Seen, String), Refusal> {
    let Request { old, proof, note, checkpoint } = request;
    let log = log.ok_or_else(|| Refusal::UnknownLog(checkpoint.origin.clone()))?;
    let signed = SignedCheckpoint::verify(note, checkpoint, log).map_err(Refusal::NotSigned)?;
    let Checkpoint { size, root, .. } = *signed.checkpoint();
    if old > size {
        return Err(Refusal::OldSize { old, size });
    }
    let mut kept = signed.only(log);
    if let Some(seen) = seen.filter(|seen| seen.size == size && seen.root != root) {
        // A fork is worth more than the answer that the old size is wrong, so it is looked for first.
        let origin = signed.checkpoint().origin.clone();
        return Err(Refusal::Split(SplitView { origin, first: seen.note_text.clone(), second: kept.encode() }));
    }
    let (seen_size, seen_root) = seen.map_or_else(|| (0, empty_root()), |seen| (seen.size, seen.root));
    if old != seen_size {
        return Err(Refusal::Conflict { size: seen_size });
    }
    verify_consistency(seen_size, &seen_root, size, &root, &proof).map_err(Refusal::Inconsistent)?;
    let cosignature = cosign::sign(signer, &kept.text, now_s).map_err(Refusal::OwnFault)?;
    let line = cosignature.line();
    kept.signatures.push(cosignature);
    Ok((Seen { size, root, note_text: kept.encode() }, line))
}

/// Proof that a log signed two different trees of the same size. Anyone who has the log's key can check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitView {
    /// The log.
    pub origin: String,
    /// One signed checkpoint.
    pub first: String,
    /// The other signed checkpoint.
    pub second: String,
}

/// Why two notes do not prove a split view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSplit {
    /// One of them is not a checkpoint that the log signed.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// It is not about the log whose key was given.
    #[error("the evidence names {0:?}, which is not the log with this key")]
    Origin(String),
    /// The sizes differ, which two honest checkpoints may.
    #[error("the two checkpoints have different sizes")]
    Sizes,
    /// The roots are the same.
    #[error("the two checkpoints have the same root")]
    Roots,
}

impl SplitView {
    /// Checks that the log with this key signed both checkpoints, and that they have the same size and different roots.
    pub fn verify(&self, log: &VerifierKey) -> Result<(), NoSplit> {
        if self.origin != log.name() {
            return Err(NoSplit::Origin(self.origin.clone()));
        }
        let first = SignedCheckpoint::open(&self.first, log)?;
        let second = SignedCheckpoint::open(&self.second, log)?;
        if first.checkpoint().size != second.checkpoint().size {
            return Err(NoSplit::Sizes);
        }
        if first.checkpoint().root == second.checkpoint().root { Err(NoSplit::Roots) } else { Ok(()) }
    }
}

/// How two verified checkpoints stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They are of different logs.
    OtherLog,
    /// Same size and same root.
    Same,
    /// The larger one begins with the smaller one.
    Extends,
    /// The sizes differ; a consistency proof between them is to be asked of the log.
    NeedProof {
        /// The smaller size.
        from: u64,
        /// The larger size.
        to: u64,
    },
    /// The proof that was given does not prove. That is suspicious, but a wrong proof can come from anyone and so proves nothing.
    BadProof(proof::Invalid),
    /// The log signed two roots for one size.
    Split(SplitView),
}

/// Compares two checkpoints that witnesses told each other of, with the log's consistency proof between their sizes where there is one.
pub fn compare(a: &SignedCheckpoint, b: &SignedCheckpoint, consistency: Option<&[Hash]>) -> Comparison {
    let (from, to) = if a.checkpoint().size <= b.checkpoint().size { (a, b) } else { (b, a) };
    let (older, newer) = (from.checkpoint(), to.checkpoint());
    if older.origin != newer.origin {
        return Comparison::OtherLog;
    }
    if older.size == newer.size {
        if older.root == newer.root {
            return Comparison::Same;
        }
        return Comparison::Split(SplitView {
            origin: older.origin.clone(),
            first: from.encode(),
            second: to.encode(),
        });
    }
    let proof = match consistency {
        Some(proof) => proof,
        // Everything begins with the empty tree.
        None if older.size == 0 => &[],
        None => return Comparison::NeedProof { from: older.size, to: newer.size },
    };
    match verify_consistency(older.size, &older.root, newer.size, &newer.root, proof) {
        Ok(()) => Comparison::Extends,
        Err(invalid) => Comparison::BadProof(invalid),
    }
}
