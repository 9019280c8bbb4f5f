//! Joining: an invitation travels from person to person; the invited node knocks; once the register names it, it is let in.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minicbor::{Decode, Encode};
use mufakat_record::{AgencyId, Digest, Fingerprint, Reason, cbor};

use crate::clock;
use crate::net::Caller;
use crate::node::Node;
use crate::wire::{Card, INVITATION_PREFIX, Invitation, Join, Welcome, chain_parts, to_text};
use crate::writer::{Fault, entropy};

/// How many invitations may be open at once.
const OPEN_MAX: usize = 64;
/// The file in the node's folder that keeps invitations over a restart.
const FILE: &str = "invitations.cbor";

/// An invitation that this node gave, as it remembers it.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
struct Open {
    /// SHA-256 of the token, so that the file does not let anyone in.
    #[n(1)]
    token: Digest,
    #[n(2)]
    agency: AgencyId,
    #[n(3)]
    party: AgencyId,
    #[n(4)]
    expires: u64,
    /// Who knocked with it.
    #[n(5)]
    card: Option<Card>,
}

/// An invitation, as text for the invited and as words to compare.
#[derive(Debug, Clone)]
pub(crate) struct Invited {
    /// The text to hand over.
    pub(crate) text: String,
    /// The fingerprint of the community's founding version, to be read out.
    pub(crate) words: String,
}

/// Invites an agency.
pub(crate) fn invite(node: &Node, agency: AgencyId, party: AgencyId, valid_s: u64) -> Result<Invited, Fault> {
    let directory = node.directory();
    let token = Digest(entropy());
    let expires = clock::now_s().saturating_add(valid_s);
    let invitation = Invitation {
        inviter: node.me.clone(),
        endpoint: node.config.agency.endpoint.clone(),
        identity: Digest(*node.keyring.load().identity().public().as_bytes()),
        root: directory.chain().root(),
        agency: agency.clone(),
        party: party.clone(),
        token,
        expires,
    };
    let mut open = load(&node.dir)?;
    open.retain(|one| one.expires > clock::now_s() && one.agency != agency);
    if open.len() >= OPEN_MAX {
        return Err(Fault::Overloaded);
    }
    open.push(Open { token: Digest::of(token.as_bytes()), agency, party, expires, card: None });
    save(&node.dir, &open)?;
    let words = directory.chain().fingerprint().to_string();
    Ok(Invited { text: to_text(INVITATION_PREFIX, &invitation), words })
}

/// Those who knocked and are not in the register yet, and how many invitations are open.
pub(crate) fn pending(node: &Node) -> Result<(Vec<Card>, usize), Fault> {
    let open = load(&node.dir)?;
    let directory = node.directory();
    let waiting = |card: &Card| directory.chain().current().agency(&card.agency).is_none();
    let count = open.iter().filter(|one| one.expires > clock::now_s()).count();
    Ok((open.into_iter().filter_map(|one| one.card).filter(waiting).collect(), count))
}

/// The pending cards by agency.
pub(crate) fn pending_cards(node: &Node) -> Result<BTreeMap<AgencyId, Card>, Fault> {
    Ok(pending(node)?.0.into_iter().map(|card| (card.agency.clone(), card)).collect())
}

/// The fingerprint by which people tell an agency's identity key.
pub(crate) fn words_of(identity: &Digest) -> String {
    Fingerprint::of(identity.as_bytes()).to_string()
}

/// Answers one who knocks: nothing yet, or the register once it names them.
pub(crate) async fn answer_knock(
    node: &Arc<Node>,
    caller: &Caller,
    body: &[u8],
) -> Result<Option<Welcome>, Result<Reason, Fault>> {
    let join: Join = cbor::decode(body).map_err(Ok)?;
    let mut open = load(&node.dir).map_err(Err)?;
    let token = Digest::of(join.token.as_bytes());
    // One answer for a token that never was, one that has expired, and one that was given to somebody else.
    let known = open.iter_mut().find(|one| one.token == token && one.expires > clock::now_s());
    let known = known
        .filter(|one| one.agency == join.card.agency && one.party == join.card.party)
        .ok_or(Ok(Reason::NotFound))?;
    let proven = match caller {
        Caller::Agency(name) => name == join.card.agency.as_str(),
        Caller::Stranger { agency, key } => agency == join.card.agency.as_str() && key == join.card.identity.as_bytes(),
    };
    if !proven {
        return Err(Ok(Reason::WrongSignature));
    }
    let directory = node.directory();
    if let Some(agency) = directory.chain().current().agency(&join.card.agency) {
        if agency.removed.is_some() || agency.identity != join.card.identity {
            return Err(Ok(Reason::NotFound));
        }
        let key_sets = directory.chain().current().members();
        let key_sets = key_sets.filter_map(|a| directory.key_set_record(&a.id).map(|r| r.to_vec().into())).collect();
        return Ok(Some(Welcome { chain: chain_parts(directory.chain()), key_sets }));
    }
    if known.card.as_ref() != Some(&join.card) {
        // The first to knock is the one whose fingerprint people compare; nobody else takes its place.
        if known.card.is_some() {
            return Err(Ok(Reason::NotFound));
        }
        tracing::info!(agency = %join.card.agency, "an invited agency has come");
        known.card = Some(join.card);
        save(&node.dir, &open).map_err(Err)?;
    }
    Ok(None)
}

fn load(dir: &Path) -> Result<Vec<Open>, Fault> {
    match std::fs::read(path(dir)) {
        Ok(bytes) => cbor::decode(&bytes).map_err(|reason| Fault::Store(format!("{FILE} cannot be read: {reason}"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Fault::Store(format!("{FILE} cannot be read: {e}"))),
    }
}

fn save(dir: &Path, open: &Vec<Open>) -> Result<(), Fault> {
    let write = || -> std::io::Result<()> {
        let next = dir.join("invitations.next");
        let mut file = std::fs::File::create(&next)?;
        file.write_all(&cbor::encode(open))?;
        file.sync_all()?;
        std::fs::rename(&next, path(dir))
    };
    write().map_err(|e| Fault::Store(format!("{FILE} cannot be written: {e}")))
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}
