//! Our own ledger's side: a checkpoint is made of what is on the disk, verified, signed, kept, and only then shown to anyone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use mufakat_ledger::note::SIGNATURES_MAX;
use mufakat_ledger::witness::{Request, SIZE_CONTENT_TYPE};
use mufakat_ledger::{Checkpoint, Edge, Hash, SignedCheckpoint, Tile, TileSource, VerifierKey, node_hash, proof};
use mufakat_record::AgencyId;
use mufakat_store::{Queries, Store};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{CALL_LIMITS, bare, log_key, witness_key};
use crate::clock;
use crate::node::Node;
use crate::writer::Fault;

/// How often one witness is asked in one round: once, once more with the size that it names, and once if that moved meanwhile.
const ASKS_MAX: usize = 3;
/// How long somebody who needs a checkpoint at once waits for cosignatures.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bits of a leaf's index that one level of tiles takes (C2SP tlog-tiles).
const TILE_BITS: u32 = 8;
/// Levels of tiles that a ledger can have.
const TILE_LEVELS: u8 = 8;

/// Why there is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// What is stored is not what was written. Nothing is signed over it.
    #[error("the stored ledger is damaged: {0}")]
    Damaged(String),
    /// The agency's key cannot sign for its ledger.
    #[error("the ledger's key cannot sign: {0}")]
    Key(String),
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A checkpoint that is kept.
pub(super) struct Made {
    /// The checkpoint.
    pub(super) signed: SignedCheckpoint,
    /// The one before it. Those who cosigned that one have seen its size.
    pub(super) before: Option<SignedCheckpoint>,
    /// Whether the ledger has changed since the one before.
    pub(super) fresh: bool,
}

/// How far our ledger is witnessed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Standing {
    /// The size that the latest checkpoint covers.
    pub(crate) size: u64,
    /// The agencies that cosigned it.
    pub(crate) cosigned_by: Vec<AgencyId>,
    /// How long ago, in seconds, it had the cosignatures that the register's rules ask for; absent while it has not.
    pub(crate) witness_age_s: Option<u64>,
}

/// Makes a checkpoint of the ledger as it is now, or gives the latest one if nothing has changed since.
pub(super) async fn make(node: &Arc<Node>) -> Result<Made, Error> {
    let state = node.writer.call(|core| {
        let (size, root) = core.exchange.ledger();
        Ok((size, root, core.exchange.ledger_origin(), core.store.own_checkpoint()?))
    });
    let (size, root, origin, kept) = state.await?;
    let signer = node.keyring.load().ledger_signer(&origin).map_err(|e| Error::Key(e.to_string()))?;
    // A checkpoint of an earlier epoch is another ledger's, and says nothing about this one.
    let before = kept.and_then(|note| SignedCheckpoint::open(note, signer.verifier()).ok());
    if let Some(last) = &before
        && (last.checkpoint().size, last.checkpoint().root) == (size, root)
    {
        return Ok(Made { signed: last.clone(), before, fresh: false });
    }
    let mark = before.as_ref().map(|last| (last.checkpoint().size, last.checkpoint().root));
    let written = node.read(move |reader| Ok(check_written(reader, mark, size, root))).await?;
    if let Err(what) = written {
        super::alarm::ring(node);
        tracing::error!(%what, "the stored ledger is damaged; no checkpoint is signed. Run `mufakat fsck`");
        return Err(Error::Damaged(what));
    }
    let checkpoint = Checkpoint { origin, size, root, extensions: Vec::new() };
    let signed = SignedCheckpoint::sign(checkpoint, &signer).map_err(|e| Error::Key(e.to_string()))?;
    let log = signer.verifier().clone();
    let kept = node.writer.call(move |core| keep(&mut core.store, signed, &log));
    Ok(Made { signed: kept.await?, before, fresh: true })
}

/// Keeps a new checkpoint, unless somebody has made a later one meanwhile; gives the one that is kept.
pub(super) fn keep(
    store: &mut impl Store,
    signed: SignedCheckpoint,
    log: &VerifierKey,
) -> Result<SignedCheckpoint, Fault> {
    let kept = store.own_checkpoint()?.and_then(|note| SignedCheckpoint::open(note, log).ok());
    match kept.filter(|kept| kept.checkpoint().size >= signed.checkpoint().size) {
        Some(later) => Ok(later),
        None => store.set_own_checkpoint(&signed.encode()).map(|()| signed).map_err(Fault::from),
    }
}

/// Reads back what was written since the checkpoint before, and compares it with what is to be signed.
pub(super) fn check_written(
    tiles: &dyn TileSource,
    before: Option<(u64, Hash)>,
    size: u64,
    root: Hash,
) -> Result<(), String> {
    let (old_size, old_root) = before.unwrap_or_else(|| (0, mufakat_ledger::empty_root()));
    if old_size > size {
        return Err(format!("it has {size} leaves, and {old_size} were signed"));
    }
    let edge = Edge::load(size, tiles).map_err(|e| e.to_string())?;
    if edge.root() != root {
        return Err(format!("the tiles at the right edge give another root for {size} leaves"));
    }
    if proof::root(tiles, old_size).map_err(|e| e.to_string())? != old_root {
        return Err(format!("the tiles give another root for the {old_size} leaves that were signed"));
    }
    (0..TILE_LEVELS).try_for_each(|level| check_filled(tiles, level, old_size, size))
}

/// Compares each tile of a level that filled up between two sizes with what the level above says of it.
fn check_filled(tiles: &dyn TileSource, level: u8, old_size: u64, size: u64) -> Result<(), String> {
    let full = |size: u64| size.checked_shr(TILE_BITS * (u32::from(level) + 1)).unwrap_or(0);
    let mut above: Option<Tile> = None;
    for index in full(old_size)..full(size) {
        let tile = tile(tiles, level, index)?;
        let parent = index >> TILE_BITS;
        if above.as_ref().is_none_or(|above| above.index != parent) {
            above = Some(self::tile(tiles, level + 1, parent)?);
        }
        // The index within a tile is below 256, so the narrowing is exact.
        let position = (index & ((1 << TILE_BITS) - 1)) as usize;
        let says = above.as_ref().and_then(|above| above.hashes.get(position));
        if tile.hashes.len() != 1 << TILE_BITS || says != Some(&subtree(&tile.hashes)) {
            return Err(format!("{} is not what the tile above it says", tile.place()));
        }
    }
    Ok(())
}

fn tile(tiles: &dyn TileSource, level: u8, index: u64) -> Result<Tile, String> {
    let bytes = tiles.tile(level, index).map_err(|e| e.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("tile {index} of level {level} is missing"))?;
    Tile::from_bytes(level, index, &bytes).map_err(|e| format!("tile {index} of level {level}: {e}"))
}

/// The root over the hashes of a full tile.
fn subtree(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => mufakat_ledger::empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&subtree(left), &subtree(right))
        }
    }
}

/// A checkpoint that covers so many leaves, as a signed note: the latest one if it does, otherwise a new one. Waits a moment
/// for cosignatures that it still lacks; a node whose witnesses are away gets it without them.
pub(crate) async fn checkpoint_now(node: &Arc<Node>, leaves: u64) -> Result<String, Error> {
    let kept = kept(node).await?.filter(|kept| kept.checkpoint().size >= leaves);
    let made = match kept {
        Some(kept) => Made { before: Some(kept.clone()), signed: kept, fresh: false },
        None => make(node).await?,
    };
    let enough = quorum(node);
    if !node.config.witness.enabled || cosigners(node, &made.signed).len() >= enough {
        return Ok(made.signed.encode());
    }
    Ok(collect(node, made, false, Some(enough), PATIENCE).await?.encode())
}

/// Our latest checkpoint, if there is one of this epoch.
async fn kept(node: &Arc<Node>) -> Result<Option<SignedCheckpoint>, Fault> {
    let note = node.read(|reader| reader.own_checkpoint()).await?;
    let log = log_key(&node.directory(), &node.me);
    Ok(note.zip(log).and_then(|(note, log)| SignedCheckpoint::open(note, &log).ok()))
}

/// How far our ledger is witnessed; nothing before the first checkpoint.
pub(crate) async fn standing(node: &Arc<Node>) -> Result<Option<Standing>, Fault> {
    let Some(signed) = kept(node).await? else { return Ok(None) };
    let cosigners = cosigners(node, &signed);
    let since_s = witnessed_since(cosigners.iter().map(|(_, time_s)| *time_s).collect(), quorum(node));
    Ok(Some(Standing {
        size: signed.checkpoint().size,
        cosigned_by: cosigners.into_iter().map(|(agency, _)| agency).collect(),
        witness_age_s: since_s.map(|since_s| clock::now_s().saturating_sub(since_s)),
    }))
}

/// The time at which the newest cosignatures were enough: that of the last one needed.
pub(super) fn witnessed_since(mut times_s: Vec<u64>, enough: usize) -> Option<u64> {
    times_s.sort_unstable_by(|a, b| b.cmp(a));
    match enough {
        0 => times_s.first().copied(),
        enough => times_s.get(enough - 1).copied(),
    }
}

/// How many cosignatures are enough. There cannot be more of them than there are partners.
pub(super) fn quorum(node: &Node) -> usize {
    let directory = node.directory();
    let wanted = usize::try_from(directory.chain().current().rules.witness_quorum).unwrap_or(usize::MAX);
    wanted.min(directory.partners(&node.me).count())
}

/// The partners that cosigned, ascending, with the times that they stated, in seconds since 1970.
pub(super) fn cosigners(node: &Node, signed: &SignedCheckpoint) -> Vec<(AgencyId, u64)> {
    let (agencies, keys) = witnesses(node);
    // What is kept was verified when it came; a key that changed since then no longer counts.
    let found = signed.cosigners(&keys).unwrap_or_default();
    found.into_iter().map(|(index, time_s)| (agencies[index].clone(), time_s)).collect()
}

/// The partners whose witness keys are known.
fn witnesses(node: &Node) -> (Vec<AgencyId>, Vec<VerifierKey>) {
    let directory = node.directory();
    let partners = directory.partners(&node.me);
    partners.filter_map(|agency| Some((agency.clone(), witness_key(&directory, agency)?))).unzip()
}

/// Asks the partners for cosignatures and keeps what they give. Asks those only that have not cosigned, unless `renew`; stops
/// when there are `enough`, when all have answered, or when the time is up.
pub(super) async fn collect(
    node: &Arc<Node>,
    made: Made,
    renew: bool,
    enough: Option<usize>,
    patience: Duration,
) -> Result<SignedCheckpoint, Fault> {
    let Made { mut signed, before, .. } = made;
    let Ok(signer) = node.keyring.load().ledger_signer(&signed.checkpoint().origin) else { return Ok(signed) };
    let log = signer.verifier().clone();
    let Some(plain) = bare(&signed, &log) else { return Ok(signed) };
    let (agencies, keys) = witnesses(node);
    let have = cosigners(node, &signed);
    let seen_before = before.as_ref().map(|before| (before.checkpoint().size, cosigners(node, before)));
    let mut asks = JoinSet::new();
    // A note holds so many signatures, and the ledger's own is one of them. A register that asks for more is beyond the format.
    for witness in agencies.into_iter().take(SIGNATURES_MAX - 1) {
        if !renew && have.iter().any(|(agency, _)| *agency == witness) {
            continue;
        }
        let cosigned = |cosigners: &[(AgencyId, u64)]| cosigners.iter().any(|(agency, _)| *agency == witness);
        let old = seen_before.as_ref().filter(|(_, by)| cosigned(by)).map_or(0, |(size, _)| *size);
        asks.spawn(ask(Arc::clone(node), witness, plain.clone(), old));
    }
    let until = Instant::now() + patience;
    let mut lines = String::new();
    while enough.is_none_or(|enough| cosigners(node, &signed).len() < enough)
        && let Ok(Some(answer)) = timeout_at(until, asks.join_next()).await
    {
        let Ok(Some((witness, line))) = answer else { continue };
        match signed.add(&line, &keys) {
            Ok(added) if !added.is_empty() => {
                node.metrics.cosignatures.inc();
                lines.push_str(&line);
            }
            Ok(_) => tracing::warn!(%witness, "a cosignature by a key that is not the witness's"),
            Err(error) => tracing::warn!(%witness, %error, "a cosignature that does not hold"),
        }
    }
    if !lines.is_empty() {
        node.writer.call(move |core| add(&mut core.store, &log, &plain, &lines, &keys)).await?;
    }
    Ok(signed)
}

/// Adds signature lines to the checkpoint that is kept, if it is still the one that they belong to.
pub(super) fn add(
    store: &mut impl Store,
    log: &VerifierKey,
    cosigned: &SignedCheckpoint,
    lines: &str,
    keys: &[VerifierKey],
) -> Result<(), Fault> {
    let kept = store.own_checkpoint()?.and_then(|note| SignedCheckpoint::open(note, log).ok());
    let Some(mut kept) = kept.filter(|kept| kept.note().text == cosigned.note().text) else { return Ok(()) };
    // The same lines held a moment ago; only another key set could change that, and then they do not count.
    if kept.add(lines, keys).is_ok() {
        store.set_own_checkpoint(&kept.encode())?;
    }
    Ok(())
}

/// Asks one witness for its cosignature. Whatever stands in the way, the next round tries again.
async fn ask(node: Arc<Node>, witness: AgencyId, signed: SignedCheckpoint, old: u64) -> Option<(AgencyId, String)> {
    let peer = node.peer(&witness)?;
    let size = signed.checkpoint().size;
    let mut old = old;
    for _ in 0..ASKS_MAX {
        let from = old;
        let proof = node.read(move |reader| Ok(proof::consistency(reader, from, size))).await.ok()?;
        let body = Bytes::from(Request::new(old, proof.ok()?, &signed).encode());
        let path = "/peer/v1/witness/add-checkpoint";
        let answer = match node.client.request(&peer, Method::POST, path, body, &CALL_LIMITS).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%witness, %error, "a witness is away");
                return None;
            }
        };
        node.heard_of(&witness);
        match answer.status {
            StatusCode::OK => return String::from_utf8(answer.body.to_vec()).ok().map(|line| (witness, line)),
            StatusCode::CONFLICT => match seen_size(&answer) {
                Some(seen) if seen <= size && seen != old => old = seen,
                // Another checkpoint of ours may have come between; that one is cosigned then.
                Some(seen) if seen <= *node.ledger_size.borrow() => return None,
                Some(seen) => {
                    tracing::error!(%witness, seen, size, "a witness says that it has seen more of our ledger than there is");
                    return None;
                }
                None => {
                    tracing::error!(%witness, "a witness says that our ledger has shown it another history");
                    return None;
                }
            },
            status => {
                tracing::debug!(%witness, %status, "a witness does not cosign");
                return None;
            }
        }
    }
    None
}

/// The size that a witness says it has seen, when it answers with one.
fn seen_size(answer: &crate::net::peer_client::Response) -> Option<u64> {
    let content_type = answer.headers.get(header::CONTENT_TYPE)?;
    if content_type.as_bytes() != SIZE_CONTENT_TYPE.as_bytes() {
        return None;
    }
    std::str::from_utf8(&answer.body).ok()?.strip_suffix('\n')?.parse().ok()
}
