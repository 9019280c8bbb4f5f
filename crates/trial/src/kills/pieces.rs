//! The records whose deletion is tried: each with words of its own and an attachment, and each with a fate. Two records share
//! one attached file, so that the file goes with the last of them and not before.

use std::collections::HashMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use axum::body::Body;
use http::Method;
use mufakat_record::kinds::onward::attachment_of;
use mufakat_record::{Digest, RecordId, Verified, sha256};
use serde_json::{Value, json};

use super::{ask, get};

/// What stands in each word of a record and in nothing else: the letters before it come from another part of the alphabet.
const SIGN: &[u8] = b"qzx";
/// The letters of words.
const LETTERS: RangeInclusive<u8> = b'a'..=b'p';
/// By how many letters after the sign a word is known. What stands before may be left out where words are kept in order.
const TAIL: usize = 10;
/// How many letters after the sign make it one of a word: the sign alone stands by chance in every few million bytes that are
/// sealed or hashed, and a run reads more of those.
const SURE: usize = 4;
/// After how many seconds those expire that are to expire: long enough to arrive although nodes are killed.
const EXPIRY_S: u64 = 8;
/// How long one step of a record's life may take, kills included.
const STEP_MAX: Duration = Duration::from_secs(120);
/// How long to rest between two attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(25);

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// Nothing.
    Stays,
    /// Its author takes it back; its holder deletes it.
    TakenBack,
    /// Its holder deletes it after its expiry.
    Expires,
    /// Its holder deletes it by order.
    OrderedThere,
    /// Its author deletes it by order; its holder keeps it.
    OrderedHome,
    /// It reached its holder after its expiry and was refused.
    Refused,
}

/// What a node has of a record in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// All of it.
    Whole,
    /// That it was there.
    Gone,
    /// Nothing at all.
    Never,
}

impl Fate {
    /// At its author and at its holder.
    pub(super) fn presence(self) -> [Presence; 2] {
        use Presence::{Gone, Never, Whole};
        match self {
            Fate::Stays => [Whole, Whole],
            Fate::TakenBack | Fate::Expires | Fate::OrderedThere => [Whole, Gone],
            Fate::OrderedHome => [Gone, Whole],
            Fate::Refused => [Whole, Never],
        }
    }
}

/// The fates of two records that share a file, in turn. Never are both deleted where they were written: a node holds what was
/// uploaded to it for a day, so that it can be shared once more.
const PAIRS: [[Fate; 2]; 5] = [
    [Fate::Stays, Fate::TakenBack],
    [Fate::OrderedThere, Fate::Expires],
    [Fate::TakenBack, Fate::OrderedThere],
    [Fate::Expires, Fate::OrderedHome],
    [Fate::OrderedHome, Fate::TakenBack],
];

/// One record and its attachment.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Which of the two agencies wrote it; the other one holds it.
    pub(super) author: usize,
    pub(super) fate: Fate,
    /// The word in its title and text.
    pub(super) word: String,
    /// The word in the file and its name, which another record has as well.
    pub(super) file_word: String,
    pub(super) record: RecordId,
    pub(super) attachment: RecordId,
    /// The names of the attachment's chunks.
    pub(super) chunks: Vec<Digest>,
    expires: Option<u64>,
}

impl Piece {
    /// What the attached file says.
    pub(super) fn file(&self) -> String {
        file(&self.file_word)
    }

    /// What a node has of it in the end.
    pub(super) fn presence_at(&self, node: usize) -> Presence {
        self.fate.presence()[usize::from(node != self.author)]
    }
}

fn file(word: &str) -> String {
    format!("EXERCISE file {word}\n").repeat(40)
}

/// A word that stands nowhere else.
fn word(seed: u64, name: &str) -> String {
    let hash = sha256(format!("{seed} {name}").as_bytes());
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut letters = nibbles.map(|nibble| char::from(LETTERS.start() + nibble));
    let head: String = letters.by_ref().take(8).collect();
    let tail: String = letters.take(TAIL).collect();
    format!("{head}{}{tail}", String::from_utf8_lossy(SIGN))
}

/// The part of a word by which it is known.
pub(super) fn tail(word: &str) -> &str {
    &word[word.len() - TAIL..]
}

/// The tails of all words that stand in a file, or in the files of a folder, each with one file in which it stands.
pub(super) fn tails_in(path: &Path, found: &mut HashMap<String, PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            tails_in(&entry?.path(), found)?;
        }
        return Ok(());
    }
    let bytes = match fs::read(path) {
        // A node that works removes files at any moment, and nobody reads from its socket.
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound) || !path.is_file() => return Ok(()),
        other => other.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == SIGN[0]) {
        from += at + 1;
        let Some(after) = bytes[from..].strip_prefix(&SIGN[1..]) else { continue };
        if after.len() >= SURE && after[..SURE].iter().all(|byte| LETTERS.contains(byte)) {
            let tail = after.iter().take(TAIL).map(|byte| char::from(*byte)).collect();
            found.entry(tail).or_insert_with(|| path.to_owned());
        }
    }
    Ok(())
}

/// Where records live and die.
pub(super) struct Stage {
    /// The sockets of the two nodes.
    pub(super) sockets: [PathBuf; 2],
    seed: u64,
    next: AtomicUsize,
    under_way: AtomicUsize,
    enough: AtomicBool,
}

/// A deletion that was asked for and is not seen to be done yet.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Stage {
    pub(super) fn new(sockets: [PathBuf; 2], seed: u64) -> Self {
        let (next, under_way, enough) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        Self { sockets, seed, next, under_way, enough }
    }

    /// How many deletions are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Lets no more records begin.
    pub(super) fn end(&self) {
        self.enough.store(true, Ordering::SeqCst);
    }

    /// Lives of records one after the other, two at a time, until it is enough.
    pub(super) fn work(&self) -> Result<Vec<Piece>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut pieces = Vec::new();
        while !self.enough.load(Ordering::SeqCst) {
            pieces.extend(runtime.block_on(self.live())?);
        }
        Ok(pieces)
    }

    async fn live(&self) -> Result<Vec<Piece>> {
        let pair = self.next.fetch_add(1, Ordering::SeqCst);
        // Most kills hit the second agency, so most records are there to be deleted.
        let author = usize::from(pair % 4 == 3);
        let upload = self.upload(author, &word(self.seed, &format!("file {pair}"))).await?;
        let mut pieces = Vec::new();
        for (number, fate) in PAIRS[pair % PAIRS.len()].into_iter().enumerate() {
            pieces.push(self.share(author, fate, (pair, number), &upload).await?);
        }
        for piece in &mut pieces {
            // Some are deleted before their file has come. What its author deletes nobody can fetch any more.
            let with_file = !pair.is_multiple_of(3) || piece.presence_at(1 - author) == Presence::Whole;
            self.arrive(piece, with_file).await?;
        }
        let (one, other) = tokio::join!(self.delete(&pieces[0]), self.delete(&pieces[1]));
        one.and(other)?;
        Ok(pieces)
    }

    async fn upload(&self, author: usize, word: &str) -> Result<String> {
        let path = format!("/api/v1/attachments?name=EXERCISE-{word}.txt&media_type=text/plain");
        let uploaded = persist("an upload", async || {
            let (status, bytes) = ask(&self.sockets[author], Method::POST, &path, file(word)).await?;
            ensure!(status.is_success(), "{status}");
            Ok(serde_json::from_slice::<Value>(&bytes)?)
        });
        Ok(uploaded.await?["upload"].as_str().context("no upload")?.to_owned())
    }

    async fn share(&self, author: usize, fate: Fate, (pair, number): (usize, usize), upload: &str) -> Result<Piece> {
        let own_word = word(self.seed, &format!("{pair} {number}"));
        let expires = if fate == Fate::Expires { Some(now_s()? + EXPIRY_S) } else { None };
        let to = [super::RU, super::VN][author];
        let envelope = json!({
            "to": [to], "tlp": "AMBER", "key": own_word, "attachments": [upload], "expires": expires,
            "body": { "title": format!("EXERCISE {own_word}"), "text": format!("EXERCISE text with {own_word} in it") },
        });
        let socket = &self.sockets[author];
        let shared = persist("a share", async || self.post(author, "/api/v1/records", &envelope).await).await?;
        let record = shared["records"][0]["id"].as_str().context("no record")?.parse()?;
        let path = format!("/api/v1/records/{record}");
        let shown = persist("the record", async || get(socket, &path).await).await?;
        let references = shown["references"].as_array().context("no references")?;
        let attached = references.iter().find(|reference| reference["relation"] == "attaches");
        let attachment = attached.and_then(|one| one["record"].as_str()).context("no attachment")?.parse()?;
        let path = format!("/api/v1/records/{attachment}/raw");
        let bytes = persist("the attachment", async || {
            let (status, bytes) = ask(socket, Method::GET, &path, Body::empty()).await?;
            ensure!(status.is_success(), "{status}");
            Ok(bytes)
        });
        let described = attachment_of(&Verified::from_own_store(bytes.await?)?).context("no attachment")?;
        let chunks = described.chunk_names().collect();
        let file_word = word(self.seed, &format!("file {pair}"));
        Ok(Piece { author, fate, word: own_word, file_word, record, attachment, chunks, expires })
    }

    /// Waits until the holder has it, or has refused it as too late.
    async fn arrive(&self, piece: &mut Piece, with_file: bool) -> Result<()> {
        let (author, holder) = (&self.sockets[piece.author], &self.sockets[1 - piece.author]);
        let (shown, track) =
            (format!("/api/v1/records/{}", piece.record), format!("/api/v1/records/{}/track", piece.record));
        let late = persist("a record's arrival", async || {
            if piece.expires.is_some() {
                let told = get(author, &track).await?;
                if told["recipients"][0]["reason"] == "expired" {
                    return Ok(true);
                }
            }
            get(holder, &shown).await.map(|_| false)
        });
        if late.await? {
            piece.fate = Fate::Refused;
        } else if with_file {
            let content = format!("/api/v1/records/{}/content", piece.attachment);
            persist("a file's arrival", async || {
                let (status, _) = ask(holder, Method::GET, &content, Body::empty()).await?;
                // One that expires may have done so meanwhile: the holder looks for that when it starts.
                ensure!(status.is_success() || status == 410, "{status}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Does to it what its fate is, and waits until that is done.
    async fn delete(&self, piece: &Piece) -> Result<()> {
        let (author, holder) = (piece.author, 1 - piece.author);
        match piece.fate {
            Fate::Stays | Fate::Refused => Ok(()),
            Fate::TakenBack => {
                let _under_way = UnderWay::begin(&self.under_way);
                let path = format!("/api/v1/records/{}/retract", piece.record);
                let reason = json!({ "reason": "EXERCISE" });
                persist("a retraction", async || match self.post(author, &path, &reason).await {
                    // The node was killed between doing it and saying so.
                    Err(error) if error.to_string().contains("already-retracted") => Ok(Value::Null),
                    other => other,
                })
                .await?;
                self.gone(piece, holder).await
            }
            Fate::OrderedThere => self.order(piece, holder).await,
            Fate::OrderedHome => self.order(piece, author).await,
            Fate::Expires => self.expire(piece, holder).await,
        }
    }

    async fn order(&self, piece: &Piece, node: usize) -> Result<()> {
        let _under_way = UnderWay::begin(&self.under_way);
        let path = format!("/api/v1/records/{}/delete", piece.record);
        let reason = json!({ "reason": "EXERCISE", "why": "order" });
        persist("an order to delete", async || match self.post(node, &path, &reason).await {
            Err(error) if error.to_string().contains("not-found") => Ok(Value::Null),
            other => other,
        })
        .await?;
        self.gone(piece, node).await
    }

    async fn expire(&self, piece: &Piece, node: usize) -> Result<()> {
        let expires = piece.expires.context("it does not expire")?;
        // It is past its expiry in the second after.
        tokio::time::sleep(Duration::from_secs((expires + 1).saturating_sub(now_s()?))).await;
        let _under_way = UnderWay::begin(&self.under_way);
        let shown = format!("/api/v1/records/{}", piece.record);
        persist("a run of retention", async || {
            self.post(node, "/api/v1/retention/run", &json!({})).await?;
            let shown = get(&self.sockets[node], &shown).await?;
            ensure!(shown["state"] == "deleted", "it is {}", shown["state"]);
            Ok(())
        })
        .await
    }

    async fn gone(&self, piece: &Piece, node: usize) -> Result<()> {
        let path = format!("/api/v1/records/{}", piece.record);
        persist("a deletion", async || {
            let shown = get(&self.sockets[node], &path).await?;
            ensure!(shown["state"] == "deleted", "it is {}", shown["state"]);
            Ok(())
        })
        .await
    }

    async fn post(&self, node: usize, path: &str, body: &Value) -> Result<Value> {
        let (status, bytes) = ask(&self.sockets[node], Method::POST, path, body.to_string()).await?;
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&bytes));
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// Tries until it succeeds: a node may be killed at any moment.
pub(super) async fn persist<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        match attempt().await {
            Err(error) if began.elapsed() > STEP_MAX => bail!("waited in vain for {what}: {error:#}"),
            Err(_) => tokio::time::sleep(ATTEMPT_PAUSE).await,
            done => return done,
        }
    }
}

fn now_s() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_what_holds_them() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| word(7, name));
        assert_ne!(one, two);
        fs::create_dir(dir.path().join("inner")).unwrap();
        // An index that keeps words in order leaves out what two of them have in common.
        fs::write(dir.path().join("inner/index"), [&b"\0\x01"[..], &one.as_bytes()[3..], b"\xff"].concat()).unwrap();
        // What was overwritten only in part is found; what has the sign by chance is not.
        fs::write(dir.path().join("torn"), [&two.as_bytes()[..two.len() - TAIL + SURE], &[0; TAIL]].concat()).unwrap();
        fs::write(dir.path().join("chance"), [SIGN, b"abc\xc9HH\x8b\xef\xc5\x08"].concat()).unwrap();
        fs::write(dir.path().join("end"), SIGN).unwrap();
        let mut found = HashMap::new();
        tails_in(dir.path(), &mut found).unwrap();
        let torn = format!("{}{}", &tail(&two)[..SURE], "\0".repeat(TAIL - SURE));
        let mut tails: Vec<&String> = found.keys().collect();
        tails.sort();
        let mut due = [tail(&one), &torn];
        due.sort_unstable();
        assert_eq!(tails, due);
    }
}
