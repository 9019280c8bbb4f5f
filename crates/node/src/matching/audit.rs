//! Audit: what was asked can be shown to have been asked. The asker discloses the secret of one question and its identifiers to an
//! inspector; whoever has the question recomputes every element and the commitment from these.

use std::sync::Arc;

use mufakat_matching::question::{self, Question as Asked, Secret};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_ask::Item;
use mufakat_record::kinds::match_key::ELEMENT_BYTES;
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::{RecordId, ThreadId, Verified};
use mufakat_store::Queries;
use mufakat_views::matching::Question;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ask::{inputs, part, read_ask, secret_of};
use super::{blocking, find_row};
use crate::node::Node;
use crate::share::NotShared;
use crate::writer::Fault;

/// The longest input of the function, in bytes.
const INPUT_BYTES_MAX: usize = 600;

/// What an inspector needs to recompute one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MatchDisclosure)]
pub(crate) struct Disclosure {
    /// The question.
    pub(crate) question: RecordId,
    /// Its secret, in hexadecimal. With it and a list of candidates anybody finds out what was asked: keep it as the identifiers.
    #[schema(min_length = 64, max_length = 64)]
    pub(crate) secret: String,
    /// What was put into the function, in hexadecimal and in order: the subject's name, a byte 1f, and the canonical form.
    #[schema(max_items = 1024)]
    pub(crate) inputs: Vec<String>,
}

/// What an audit came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MatchAudit)]
pub(crate) struct Audit {
    /// Whether every element and the commitment are what the secret and the identifiers make.
    pub(crate) holds: bool,
    /// Which part is not, by name: `other-identifiers`, `other-element`, `wrong-count`, …
    pub(crate) fault: Option<&'static str>,
    /// How many identifiers there are.
    pub(crate) count: usize,
    /// What they are, as text, where they are text.
    pub(crate) identifiers: Vec<String>,
}

/// What this agency discloses of a question of its own; nothing of one that it did not ask, or whose ask was deleted.
pub(crate) async fn disclose(node: &Arc<Node>, id: RecordId) -> Result<Option<(RecordId, Disclosure)>, Fault> {
    let read = node.read(move |reader| {
        let row = find_row(reader, &[("question", &id.to_string())], Question::of)?;
        Ok((row, reader.record_bytes(&id)?.and_then(|bytes| Verified::from_own_store(bytes).ok())))
    });
    let (Some((_, row)), Some(sent)) = read.await? else { return Ok(None) };
    let Some(asked) = read_ask(node, row.ask).await? else { return Ok(None) };
    Ok(disclosed(&row, &sent.header().thread, &asked.items, &asked.secret).map(|disclosure| (row.ask, disclosure)))
}

fn disclosed(row: &Question, thread: &ThreadId, items: &[Item], secret: &[u8; 32]) -> Option<Disclosure> {
    let subjects = inputs(items).ok()?;
    let inputs = part(&subjects.get(&row.subject)?.bytes, row.part).iter().map(hex::encode).collect();
    let secret = secret_of(secret, &row.partner, &row.key, row.part, thread);
    Some(Disclosure { question: row.question, secret: hex::encode(secret.as_bytes()), inputs })
}

/// Recomputes a question that is held here, this agency's or a partner's, from what was disclosed.
pub(crate) async fn audit(node: &Arc<Node>, disclosure: Disclosure) -> Result<Result<Audit, NotShared>, Fault> {
    let id = disclosure.question;
    let bytes = node.read(move |reader| reader.record_bytes(&id)).await?;
    let record = bytes.and_then(|bytes| Verified::from_own_store(bytes).ok());
    let body = record.and_then(|record| MatchQuestion::from_body(record.header(), record.body()).ok());
    let Some(body) = body else { return Ok(Err(NotShared::new("not-found", "there is no such thing here"))) };
    blocking(move || recompute(&body, &disclosure)).await
}

fn recompute(body: &MatchQuestion, disclosure: &Disclosure) -> Result<Audit, NotShared> {
    let malformed = |field: &str| NotShared::new("malformed", format!("`{field}` is not in hexadecimal, or too long"));
    let mut secret = [0; 32];
    hex::decode_to_slice(&disclosure.secret, &mut secret).map_err(|_| malformed("secret"))?;
    let input = |text: &String| match hex::decode(text) {
        Ok(bytes) if bytes.len() <= INPUT_BYTES_MAX => Ok(bytes),
        _ => Err(malformed("inputs")),
    };
    let inputs = disclosure.inputs.iter().map(input).collect::<Result<Vec<_>, _>>()?;
    let asked = Asked {
        elements: body.elements.as_chunks::<ELEMENT_BYTES>().0.to_vec(),
        count: body.count,
        commitment: body.commitment.0,
    };
    let fault = question::audit(&Secret::from_bytes(secret), &inputs, &asked).err().map(|fault| fault.reason());
    let identifiers = inputs.iter().filter_map(|input| String::from_utf8(input.clone()).ok());
    let identifiers = identifiers.map(|text| text.replace('\u{1f}', " ")).collect();
    Ok(Audit { holds: fault.is_none(), fault, count: inputs.len(), identifiers })
}
