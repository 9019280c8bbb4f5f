//! The agency's officers as the desk needs them at each request: read from the view `officers` and from the records of
//! credentials, kept in memory, and read again for an officer when something about the officer is put on record.

use std::collections::HashMap;
use std::sync::Arc;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::credential::{Credential, Means};
use mufakat_record::{AgencyId, Digest, OfficerId, RecordId, Role, Tlp, Verified, sha256};
use mufakat_store::{Error, Page, Queries, Reader};
use mufakat_views::{Row, Rows, officers};
use serde_json::Value;
use webauthn_rs::prelude::{Passkey, Uuid};

/// How many rows are read at a time.
const PAGE: usize = 500;

/// An officer.
#[derive(Debug)]
pub(crate) struct Officer {
    /// The pseudonym.
    pub(crate) id: OfficerId,
    /// The grant that counts.
    pub(crate) grant: RecordId,
    /// The name for people at home.
    pub(crate) name: String,
    /// What the officer may act as.
    pub(crate) roles: Vec<Role>,
    /// The narrowest label that the officer is cleared for.
    pub(crate) clearance: Tlp,
    /// The purposes that the officer may act for; for any, when none is named.
    pub(crate) purposes: Vec<String>,
    /// Whether the officer can sign in now.
    pub(crate) active: bool,
    /// By what the officer is known.
    pub(crate) credentials: Vec<Held>,
}

/// A credential.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Its record.
    pub(crate) id: RecordId,
    /// What it is.
    pub(crate) means: Means,
    /// The passkey, if it is one.
    pub(crate) passkey: Option<Passkey>,
    /// How often it said that it was used, when it was used last.
    pub(crate) counter: u32,
}

impl Officer {
    /// A credential of the officer.
    pub(crate) fn credential(&self, id: &RecordId) -> Option<&Held> {
        self.credentials.iter().find(|held| held.id == *id)
    }

    /// The credential ids of the officer's passkeys.
    pub(crate) fn passkeys(&self) -> impl Iterator<Item = &Passkey> {
        self.credentials.iter().filter_map(|held| held.passkey.as_ref())
    }
}

/// The number by which authenticators know an officer. It says nothing of the pseudonym.
pub(crate) fn user_handle(agency: &AgencyId, officer: &OfficerId) -> Uuid {
    let hash = sha256(format!("mufakat/officer/{agency}/{officer}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(bytes)
}

/// What a credential is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// The hash of the secret of an invitation or a token.
    Secret(Digest),
    /// The credential id of a passkey.
    Passkey(Vec<u8>),
    /// The account at an identity provider: issuer and subject.
    Account(String, String),
}

impl Held {
    fn key(&self) -> Option<Key> {
        match (&self.means, &self.passkey) {
            (Means::Invitation { secret, .. } | Means::Token { secret, .. }, _) => Some(Key::Secret(*secret)),
            (Means::Oidc { issuer, subject, .. }, _) => Some(Key::Account(issuer.clone(), subject.clone())),
            (Means::Passkey { .. }, Some(passkey)) => Some(Key::Passkey(passkey.cred_id().as_slice().to_vec())),
            (Means::Passkey { .. }, None) => None,
        }
    }
}

/// All officers.
#[derive(Debug, Default)]
pub(crate) struct Officers {
    known: HashMap<OfficerId, Arc<Officer>>,
    by_key: HashMap<Key, (OfficerId, RecordId)>,
}

impl Officers {
    /// An officer by the pseudonym.
    pub(crate) fn find(&self, id: &OfficerId) -> Option<Arc<Officer>> {
        self.known.get(id).cloned()
    }

    /// The officer to whom a credential belongs, with the credential; nothing when it is not known or the officer is not
    /// active.
    pub(crate) fn by_key(&self, key: &Key) -> Option<(Arc<Officer>, Held)> {
        let (officer, credential) = self.by_key.get(key)?;
        let officer = self.find(officer).filter(|officer| officer.active)?;
        let held = officer.credential(credential)?.clone();
        Some((officer, held))
    }

    /// The active officer who has this credential.
    pub(crate) fn holder(&self, credential: &RecordId) -> Option<Arc<Officer>> {
        let (officer, _) = self.by_key.values().find(|(_, id)| id == credential)?;
        self.find(officer).filter(|officer| officer.active)
    }

    /// Whether a credential is known, whosever it is.
    pub(crate) fn knows(&self, key: &Key) -> bool {
        self.by_key.contains_key(key)
    }

    /// Every officer, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Officer> {
        self.known.values().map(Arc::as_ref)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Puts an officer in the place of what was known of the officer before.
    pub(crate) fn put(&mut self, officer: Officer) {
        self.by_key.retain(|_, (owner, _)| *owner != officer.id);
        for held in &officer.credentials {
            if let Some(key) = held.key() {
                // The first who had it keeps it; the node takes no credential twice.
                self.by_key.entry(key).or_insert_with(|| (officer.id.clone(), held.id));
            }
        }
        self.known.insert(officer.id.clone(), Arc::new(officer));
    }
}

/// Reads one officer.
pub(crate) fn read(reader: &Reader, id: &OfficerId) -> Result<Option<Officer>, Error> {
    let row = reader.row(officers::NAME, id.as_str().as_bytes()).map_err(|e| Error::Unavailable(e.0))?;
    row.map(|row| of_row(reader, &row)).transpose().map(Option::flatten)
}

/// Reads all of them.
pub(crate) fn read_all(reader: &Reader) -> Result<Officers, Error> {
    let mut all = Officers::default();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = Page {
            view: officers::NAME,
            after: after.as_deref(),
            limit: PAGE,
            facets: &[],
            classes: None,
            newest_first: false,
        };
        let rows = reader.view_page(&page)?;
        for row in &rows {
            if let Some(officer) = of_row(reader, row)? {
                all.put(officer);
            }
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(all),
        }
    }
}

fn of_row(reader: &Reader, row: &Row) -> Result<Option<Officer>, Error> {
    let body = &row.body;
    let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
    let roles = list("roles").iter().filter_map(Value::as_str).filter_map(|role| role.parse().ok()).collect();
    let purposes = list("purposes").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let (Some(id), Some(clearance)) = (parsed(&body["officer"]), parsed(&body["clearance"])) else { return Ok(None) };
    let mut credentials = Vec::new();
    for shown in list("credentials") {
        let Some(credential) = parsed::<RecordId>(&shown["id"]) else { continue };
        let counter = shown["counter"].as_u64().and_then(|counter| counter.try_into().ok()).unwrap_or(0);
        credentials.extend(held(reader, credential, counter)?);
    }
    Ok(Some(Officer {
        id,
        grant: row.record,
        name: body["name"].as_str().unwrap_or_default().to_owned(),
        roles,
        clearance,
        purposes,
        active: body["state"] == "active",
        credentials,
    }))
}

fn held(reader: &Reader, id: RecordId, counter: u32) -> Result<Option<Held>, Error> {
    let record = reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok());
    let credential = record.and_then(|record| Credential::from_body(record.header(), record.body()).ok());
    let Some(Credential { means, .. }) = credential else { return Ok(None) };
    let passkey = match &means {
        Means::Passkey { passkey, .. } => match serde_json::from_slice(passkey) {
            Ok(passkey) => Some(passkey),
            Err(error) => {
                tracing::warn!(%id, %error, "a passkey on record cannot be read; nobody can sign in with it");
                return Ok(None);
            }
        },
        _ => None,
    };
    Ok(Some(Held { id, means, passkey, counter }))
}

fn parsed<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}
