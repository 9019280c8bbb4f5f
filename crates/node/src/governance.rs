//! Changing the register: founding it, proposing a version, approving one, and saying in plain lines what a version changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use mufakat_exchange::{Chain, check_approval};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{Agency, Forum, Party, RegisterVersion, Rules};
use mufakat_record::{AgencyId, Digest, Draft, Handling, Header, KeyId, Reason, SigningKey, cbor};
use serde::Deserialize;

use crate::node::Node;
use crate::share::{NotShared, new_thread, say};
use crate::wire::{CARD_PREFIX, Card, ChainParts, from_text};
use crate::writer::Fault;
use crate::{clock, join};

/// How long a register version is valid when nothing is said, in days.
const VALID_DAYS: u64 = 365;
/// How long a version may be valid, in days: a century.
const VALID_DAYS_MAX: u64 = 36_525;

/// What founds a community.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Founding {
    /// The community's name.
    pub(crate) community: String,
    /// The cards of the other founders.
    pub(crate) cards: Vec<String>,
    /// How many parties must approve later versions.
    pub(crate) threshold: u64,
    /// The agencies that relay for others, besides those whose card offers it.
    #[serde(default)]
    pub(crate) relays: Vec<AgencyId>,
    /// Forums.
    #[serde(default)]
    pub(crate) forums: Vec<ForumRequest>,
    /// How long the version is valid.
    #[schema(maximum = 36_525)]
    pub(crate) valid_days: Option<u64>,
    /// Rules that differ from the defaults.
    pub(crate) rules: Option<Rules>,
}

/// A forum to be set up or replaced.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForumRequest {
    id: AgencyId,
    name: String,
    members: Vec<AgencyId>,
    #[serde(default = "ForumRequest::yearly")]
    chair_rule: String,
}

impl ForumRequest {
    fn yearly() -> String {
        "yearly, English alphabetical order".to_owned()
    }

    fn into_forum(mut self) -> Forum {
        self.members.sort();
        self.members.dedup();
        Forum { id: self.id, name: self.name, members: self.members, chair_rule: self.chair_rule }
    }
}

/// What a proposal changes.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProposalRequest {
    /// Agencies that knocked and are to be admitted.
    #[serde(default)]
    pub(crate) admit: Vec<AgencyId>,
    /// Agencies to be removed.
    #[serde(default)]
    pub(crate) remove: Vec<AgencyId>,
    /// Another threshold.
    pub(crate) threshold: Option<u64>,
    /// Who relays.
    #[serde(default)]
    pub(crate) relay: BTreeMap<AgencyId, bool>,
    /// Other endpoints.
    #[serde(default)]
    pub(crate) endpoint: BTreeMap<AgencyId, String>,
    /// Forums to set up or replace.
    #[serde(default)]
    pub(crate) forums: Vec<ForumRequest>,
    /// Other rules.
    pub(crate) rules: Option<Rules>,
    /// How long the version is valid.
    #[schema(maximum = 36_525)]
    pub(crate) valid_days: Option<u64>,
}

/// What has become of a version.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Standing {
    /// Its hash.
    pub(crate) hash: Digest,
    /// Its number.
    pub(crate) version: u64,
    /// The parties that have approved it.
    pub(crate) approvals: Vec<AgencyId>,
    /// How many it takes.
    pub(crate) needs: u64,
    /// Whether it is in force.
    pub(crate) enacted: bool,
    /// What it changes.
    pub(crate) summary: Vec<String>,
}

/// The rules of a community that says nothing else.
pub(crate) fn default_rules() -> Rules {
    Rules { witness_quorum: 1, witness_interval_s: 10, relay_max_s: 7 * 86_400 }
}

/// Draws up a founding version from this agency's card and those of the other founders.
pub(crate) fn draw_up(own: Card, founding: Founding) -> Result<RegisterVersion, NotShared> {
    let no = |reason, detail: &str| NotShared { reason, detail: detail.to_owned() };
    let mut cards = vec![own];
    for text in &founding.cards {
        cards.push(from_text(CARD_PREFIX, text).ok_or_else(|| no("malformed", "one of the cards cannot be read"))?);
    }
    let issued_at = clock::now_s();
    let mut version = RegisterVersion {
        community: founding.community,
        version: 1,
        previous: None,
        issued_at,
        expires: expires(issued_at, founding.valid_days)?,
        threshold: founding.threshold,
        parties: Vec::new(),
        agencies: Vec::new(),
        forums: founding.forums.into_iter().map(ForumRequest::into_forum).collect(),
        rules: founding.rules.unwrap_or_else(default_rules),
    };
    for card in cards {
        admit(&mut version, card);
    }
    for agency in &mut version.agencies {
        agency.relay |= founding.relays.contains(&agency.id);
    }
    tidy(&mut version);
    if version.is_consistent() {
        Ok(version)
    } else {
        Err(no(
            Reason::BadRegister.name(),
            "two agencies of one name or key, a threshold above the number of parties, or a forum of unknown parties",
        ))
    }
}

fn admit(version: &mut RegisterVersion, card: Card) {
    if !version.parties.iter().any(|p| p.id == card.party) {
        version.parties.push(Party { id: card.party.clone(), name: card.party_name, speaker: card.agency.clone() });
    }
    version.agencies.push(Agency {
        id: card.agency,
        party: card.party,
        name: card.name,
        identity: card.identity,
        endpoint: card.endpoint,
        relay: card.relay,
        removed: None,
    });
}

fn tidy(version: &mut RegisterVersion) {
    version.parties.sort_by(|a, b| a.id.cmp(&b.id));
    version.agencies.sort_by(|a, b| a.id.cmp(&b.id));
    version.forums.sort_by(|a, b| a.id.cmp(&b.id));
}

/// Signs an approval with an identity key. `under` is the hash of the version in force; a founding version stands for itself.
pub(crate) fn approval(
    me: &AgencyId,
    identity: &SigningKey,
    version: &RegisterVersion,
    under: Digest,
) -> Result<Vec<u8>, Reason> {
    let hash = version.hash();
    let header = Header {
        key: KeyId([0; 16]),
        author: me.clone(),
        issued_at: clock::now_s(),
        thread: new_thread(),
        kind: RegisterApproval::KIND.to_owned(),
        audience: version.members().map(|a| a.id.clone()).collect(),
        register: under,
        handling: Handling::community(),
        references: Vec::new(),
        expires: None,
    };
    let body = RegisterApproval { version: version.version, hash }.to_body();
    Ok(Draft { header, body }.sign(identity)?.into_bytes())
}

/// Adds this agency's approval to a founding file; the chain comes with it once every founder has approved.
pub(crate) fn approve_founding(
    me: &AgencyId,
    identity: &SigningKey,
    file: &[u8],
) -> Result<(Vec<u8>, Standing, Option<Chain>), Reason> {
    let parts: ChainParts = cbor::decode(file)?;
    let [(body, approvals)] = <[_; 1]>::try_from(parts).map_err(|_| Reason::BadRegister)?;
    let version: RegisterVersion = cbor::decode(&body)?;
    let hash = version.hash();
    let own = version.agency(me).ok_or(Reason::AuthorNotInRegister)?;
    if own.identity.as_bytes() != identity.public().as_bytes() || !version.is_consistent() {
        return Err(Reason::BadRegister);
    }
    let mut by_party = BTreeMap::new();
    for record in approvals {
        let party = check_approval(&version, 1, hash, &record)?.id.clone();
        by_party.insert(party, Vec::from(record));
    }
    if let Some(party) = version.parties.iter().find(|p| p.speaker == *me) {
        by_party.entry(party.id.clone()).or_insert(approval(me, identity, &version, hash)?);
    }
    let standing = Standing {
        hash,
        version: 1,
        approvals: by_party.keys().cloned().collect(),
        needs: version.parties.len() as u64,
        enacted: by_party.len() == version.parties.len(),
        summary: summary(None, &version),
    };
    let approvals: Vec<Vec<u8>> = by_party.into_values().collect();
    let chain = if standing.enacted { Some(Chain::found(version, approvals.clone())?) } else { None };
    let parts: ChainParts = vec![(body, approvals.into_iter().map(Into::into).collect())];
    Ok((cbor::encode(&parts), standing, chain))
}

/// Proposes the next version, and approves it for this agency's party if it speaks for one.
pub(crate) async fn propose(node: &Arc<Node>, request: ProposalRequest) -> Result<Result<Standing, NotShared>, Fault> {
    let directory = node.directory();
    let next = match next_version(node, directory.chain(), request)? {
        Ok(next) => next,
        Err(no) => return Ok(Err(no)),
    };
    let hash = next.hash();
    if let Err(no) = say(node, next, false).await? {
        return Ok(Err(no));
    }
    approve(node, hash).await
}

/// Approves an open proposal.
pub(crate) async fn approve(node: &Arc<Node>, hash: Digest) -> Result<Result<Standing, NotShared>, Fault> {
    let version = match standing(node, hash).await? {
        Some(standing) if standing.enacted => return Ok(Ok(standing)),
        Some(standing) => standing.version,
        None => {
            let detail = "there is no open proposal with this hash".to_owned();
            return Ok(Err(NotShared { reason: Reason::NotFound.name(), detail }));
        }
    };
    let directory = node.directory();
    let party = directory.chain().current().parties.iter().find(|p| p.speaker == node.me).map(|p| p.id.clone());
    // Two versions of one number, both approved by enough, would part the community for good.
    let other = open(node).await?.into_iter().find(|o| {
        o.version == version && o.hash != hash && party.as_ref().is_some_and(|party| o.approvals.contains(party))
    });
    if let Some(other) = other {
        let detail = format!("this party has approved another version {version}, {}", other.hash);
        return Ok(Err(NotShared { reason: Reason::BadRegister.name(), detail }));
    }
    if party.is_some()
        && let Err(no) = say(node, RegisterApproval { version, hash }, true).await?
    {
        return Ok(Err(no));
    }
    let standing = standing(node, hash).await?;
    Ok(standing.ok_or_else(|| NotShared { reason: Reason::BadRegister.name(), detail: "overtaken".to_owned() }))
}

/// The open proposals.
pub(crate) async fn open(node: &Arc<Node>) -> Result<Vec<Standing>, Fault> {
    let open = node.writer.call(|core| {
        let chain = core.exchange.directory().chain().clone();
        let describe = |(hash, version, approvals): (&Digest, &RegisterVersion, Vec<&AgencyId>)| Standing {
            hash: *hash,
            version: version.version,
            approvals: approvals.into_iter().cloned().collect(),
            needs: chain.current().threshold,
            enacted: false,
            summary: summary(Some(chain.current()), version),
        };
        Ok(core.exchange.governance().open().map(describe).collect())
    });
    open.await
}

async fn standing(node: &Arc<Node>, hash: Digest) -> Result<Option<Standing>, Fault> {
    if let Some(open) = open(node).await?.into_iter().find(|s| s.hash == hash) {
        return Ok(Some(open));
    }
    Ok(log(node.directory().chain()).into_iter().find(|s| s.hash == hash))
}

/// Every version that has come into force, the founding one first.
pub(crate) fn log(chain: &Chain) -> Vec<Standing> {
    let mut before: Option<&RegisterVersion> = None;
    let mut log = Vec::new();
    for enacted in chain.versions() {
        let voters = before.unwrap_or(&enacted.version);
        let party = |r: &Vec<u8>| check_approval(voters, enacted.version.version, enacted.hash, r).ok();
        log.push(Standing {
            hash: enacted.hash,
            version: enacted.version.version,
            approvals: enacted.approvals.iter().filter_map(party).map(|p| p.id.clone()).collect(),
            needs: before.map_or(enacted.version.parties.len() as u64, |b| b.threshold),
            enacted: true,
            summary: summary(before, &enacted.version),
        });
        before = Some(&enacted.version);
    }
    log
}

/// When a version ends that is issued now and valid for so many days.
fn expires(issued_at: u64, valid_days: Option<u64>) -> Result<u64, NotShared> {
    let days = valid_days.unwrap_or(VALID_DAYS);
    if days > VALID_DAYS_MAX {
        return Err(NotShared::new("malformed", format!("`valid_days` is at most {VALID_DAYS_MAX}")));
    }
    Ok(issued_at + days * 86_400)
}

fn next_version(
    node: &Node,
    chain: &Chain,
    request: ProposalRequest,
) -> Result<Result<RegisterVersion, NotShared>, Fault> {
    let no = |reason: &'static str, detail: String| Ok(Err(NotShared { reason, detail }));
    let now = clock::now_s();
    let mut next = chain.current().clone();
    next.version += 1;
    next.previous = Some(chain.hash());
    next.issued_at = now.max(next.issued_at);
    next.expires = match expires(next.issued_at, request.valid_days) {
        Ok(expires) => expires,
        Err(no) => return Ok(Err(no)),
    };
    let mut cards = join::pending_cards(node)?;
    for agency in request.admit {
        match cards.remove(&agency) {
            Some(card) => admit(&mut next, card),
            None => return no("not-found", format!("{agency} has not come with an invitation of this node")),
        }
    }
    for agency in &request.remove {
        match next.agencies.iter_mut().find(|a| a.id == *agency && a.removed.is_none()) {
            Some(found) => found.removed = Some(now),
            None => return no("not-found", format!("{agency} is not a member")),
        }
    }
    for (agency, relay) in request.relay {
        match next.agencies.iter_mut().find(|a| a.id == agency) {
            Some(found) => found.relay = relay,
            None => return no("not-found", format!("{agency} is not in the register")),
        }
    }
    for (agency, endpoint) in request.endpoint {
        match next.agencies.iter_mut().find(|a| a.id == agency) {
            Some(found) => found.endpoint = endpoint,
            None => return no("not-found", format!("{agency} is not in the register")),
        }
    }
    for forum in request.forums {
        next.forums.retain(|f| f.id != forum.id);
        next.forums.push(forum.into_forum());
    }
    next.rules = request.rules.unwrap_or(next.rules);
    next.threshold = request.threshold.unwrap_or(next.threshold);
    drop_silenced_parties(&mut next);
    tidy(&mut next);
    match chain.may_follow(&next) {
        Ok(()) => Ok(Ok(next)),
        Err(reason) => {
            no(reason.name(), "the version would not be consistent: look at names, threshold and forums".into())
        }
    }
}

/// A party whose last agency is gone has no voice; one whose speaker is gone speaks through another of its agencies.
fn drop_silenced_parties(version: &mut RegisterVersion) {
    let members: Vec<(AgencyId, AgencyId)> = version.members().map(|a| (a.party.clone(), a.id.clone())).collect();
    version.parties.retain_mut(|party| {
        if members.iter().any(|(_, agency)| *agency == party.speaker) {
            return true;
        }
        let another = members.iter().find(|(of, _)| *of == party.id);
        another.is_some_and(|(_, agency)| {
            party.speaker = agency.clone();
            true
        })
    });
    let parties: Vec<_> = version.parties.iter().map(|p| p.id.clone()).collect();
    for forum in &mut version.forums {
        forum.members.retain(|m| parties.contains(m));
    }
    version.threshold = version.threshold.min(parties.len() as u64);
}

/// What a version changes, in plain lines.
pub(crate) fn summary(before: Option<&RegisterVersion>, version: &RegisterVersion) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(before) = before else {
        lines.push(format!("founds {} with {} parties", version.community, version.parties.len()));
        lines.extend(version.agencies.iter().map(|a| format!("{} ({}) at {}", a.id, a.name, a.endpoint)));
        lines.push(format!("later versions need {} of {} parties", version.threshold, version.parties.len()));
        return lines;
    };
    for agency in &version.agencies {
        match before.agency(&agency.id) {
            None => lines.push(format!("admits {} ({}) for {}", agency.id, agency.name, agency.party)),
            Some(was) if was.removed.is_none() && agency.removed.is_some() => {
                lines.push(format!("removes {}", agency.id));
            }
            Some(was) => {
                if was.identity != agency.identity {
                    lines.push(format!("gives {} a new identity key", agency.id));
                }
                if was.endpoint != agency.endpoint {
                    lines.push(format!("moves {} to {}", agency.id, agency.endpoint));
                }
                if was.relay != agency.relay {
                    lines.push(format!("{} {}", agency.id, if agency.relay { "relays" } else { "no longer relays" }));
                }
            }
        }
    }
    if before.threshold != version.threshold {
        lines.push(format!("later versions need {} of {} parties", version.threshold, version.parties.len()));
    }
    for forum in version.forums.iter().filter(|f| !before.forums.contains(f)) {
        lines.push(format!("sets forum {} with {} members", forum.id, forum.members.len()));
    }
    if before.rules != version.rules {
        lines.push("changes the rules".to_owned());
    }
    if lines.is_empty() {
        lines.push("renews the register".to_owned());
    }
    lines
}
