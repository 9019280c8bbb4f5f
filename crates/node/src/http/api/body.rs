//! Bodies of records as JSON, for those who may read them. What opens or proves something else stays out: the key of an
//! attachment's chunks, and the salts in receipts.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::answer::Answer;
use mufakat_record::kinds::approval::Approval;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::credential::Credential;
use mufakat_record::kinds::deletion_order::DeletionOrder;
use mufakat_record::kinds::deletion_receipt::DeletionReceipt;
use mufakat_record::kinds::draft::Draft;
use mufakat_record::kinds::draft_step::DraftStep;
use mufakat_record::kinds::escalation::Escalation;
use mufakat_record::kinds::hold::{Hold, HoldLifted};
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::officer::Officer;
use mufakat_record::kinds::onward::{Carried, Onward};
use mufakat_record::kinds::permission::Permission;
use mufakat_record::kinds::policy_set::PolicySet;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::kinds::report::Report;
use mufakat_record::kinds::request::Request;
use mufakat_record::kinds::request_step::RequestStep;
use mufakat_record::kinds::retraction::Retraction;
use mufakat_record::kinds::revocation::Revocation;
use mufakat_record::kinds::saved_search::SavedSearch;
use mufakat_record::kinds::use_summary::UseSummary;
use mufakat_record::kinds::witness_alarm::WitnessAlarm;
use mufakat_record::{Digest, Header, KeyId, Reason};
use serde_json::{Value, json};

use super::matching_bodies as matching;

/// How much of a body of an unknown kind is shown, in bytes.
pub(super) const UNKNOWN_BYTES_SHOWN: usize = 4096;

/// The body as JSON; nothing if its kind is not known here.
pub(super) fn as_json(header: &Header, body: &[u8]) -> Option<Result<Value, Reason>> {
    Some(match header.kind.as_str() {
        Report::KIND => Report::from_body(header, body).map(|report| json!(report)),
        Correction::KIND => Correction::from_body(header, body).map(|correction| json!(correction)),
        Request::KIND => Request::from_body(header, body).map(|request| json!(request)),
        RequestStep::KIND => RequestStep::from_body(header, body).map(|step| json!(step)),
        Escalation::KIND => Escalation::from_body(header, body).map(|escalation| json!(escalation)),
        Retraction::KIND => Retraction::from_body(header, body)
            .map(|retraction| json!({ "reason": retraction.reason, "by_originator": retraction.carries.is_some() })),
        Onward::KIND => Onward::from_body(header, body).and_then(|onward| of_onward(header, body, &onward)),
        Permission::KIND => Permission::from_body(header, body).map(|permission| json!(permission)),
        DeletionReceipt::KIND => DeletionReceipt::from_body(header, body).map(|receipt| json!(receipt)),
        DeletionOrder::KIND => DeletionOrder::from_body(header, body).map(|order| json!(order)),
        Hold::KIND => Hold::from_body(header, body).map(|hold| json!(hold)),
        HoldLifted::KIND => HoldLifted::from_body(header, body).map(|lifted| json!(lifted)),
        Answer::KIND => Answer::from_body(header, body).map(|answer| json!(answer)),
        Attachment::KIND => Attachment::from_body(header, body).map(|attachment| of_attachment(&attachment)),
        WitnessAlarm::KIND => WitnessAlarm::from_body(header, body).map(|alarm| json!(alarm)),
        RegisterVersion::KIND => RegisterVersion::from_body(header, body).map(|version| of_version(&version)),
        RegisterApproval::KIND => RegisterApproval::from_body(header, body)
            .map(|approval| json!({ "version": approval.version, "hash": approval.hash })),
        KeySet::KIND => KeySet::from_body(header, body).map(|set| of_key_set(&set)),
        Approval::KIND => Approval::from_body(header, body).map(|approval| json!(approval)),
        Credential::KIND => Credential::from_body(header, body).map(|credential| json!(credential)),
        Officer::KIND => Officer::from_body(header, body).map(|officer| json!(officer)),
        Revocation::KIND => Revocation::from_body(header, body).map(|revocation| json!(revocation)),
        Draft::KIND => Draft::from_body(header, body).map(|draft| of_draft(header, &draft)),
        SavedSearch::KIND => SavedSearch::from_body(header, body).map(|search| json!(search)),
        DraftStep::KIND => DraftStep::from_body(header, body).map(|step| json!(step)),
        UseSummary::KIND => UseSummary::from_body(header, body).map(|summary| json!(summary)),
        PolicySet::KIND => PolicySet::from_body(header, body).map(|set| json!(set)),
        Receipt::KIND => Receipt::from_body(header, body).map(|receipt| of_receipt(&receipt)),
        _ => return matching::as_json(header, body),
    })
}

/// What is passed on, as its originator wrote it, and by which way it came.
fn of_onward(header: &Header, body: &[u8], onward: &Onward) -> Result<Value, Reason> {
    let carried = Carried::read(header, body)?;
    let original = carried.original();
    let claims = original.header();
    let shown = as_json(claims, original.claimed_body()).transpose()?;
    let mut value = json!({
        "original": {
            "id": original.id(), "author": claims.author, "kind": claims.kind, "issued_at": claims.issued_at,
            "handling": claims.handling, "expires": claims.expires, "body": shown,
        },
        "through": carried.bearers(),
        "permission": carried.permission(),
    });
    if let Some(note) = &onward.note {
        value["note"] = note.as_str().into();
    }
    Ok(value)
}

fn of_attachment(attachment: &Attachment) -> Value {
    json!({
        "name": attachment.name,
        "media_type": attachment.media_type,
        "size": attachment.size,
        "digest": Digest(attachment.digest),
        "chunks": attachment.chunk_names().len(),
    })
}

fn of_draft(header: &Header, draft: &Draft) -> Value {
    json!({
        "by": draft.by,
        "kind": draft.kind,
        "to": draft.to,
        "handling": draft.handling,
        "thread": draft.thread,
        "expires": draft.expires,
        "hidden_audience": draft.hidden_audience,
        "attachments": draft.attachments.iter().flatten().map(of_attachment).collect::<Vec<_>>(),
        "about": draft.about,
        "target": draft.target,
        "body": draft.drafted(header),
    })
}

fn of_version(version: &RegisterVersion) -> Value {
    let mut value = json!(version);
    value["hash"] = json!(version.hash());
    value
}

fn of_key_set(set: &KeySet) -> Value {
    let signing = set
        .signing
        .iter()
        .map(|key| json!({ "id": KeyId::of(&key.key), "from": key.from, "until": key.until, "revoked": key.revoked }));
    let sealing = set
        .sealing
        .iter()
        .map(|key| json!({ "id": KeyId::of(&key.key), "suite": key.suite, "from": key.from, "until": key.until }));
    json!({
        "serial": set.serial,
        "signing": signing.collect::<Vec<_>>(),
        "sealing": sealing.collect::<Vec<_>>(),
        "ledger_origin": set.ledger_origin,
        "ledger": KeyId::of(&set.ledger_key),
        "witness": KeyId::of(&set.witness_key),
    })
}

fn of_receipt(receipt: &Receipt) -> Value {
    let entries = receipt.entries.iter().map(|entry| {
        json!({
            "position": entry.position, "record": entry.record, "rejected": entry.rejected,
            "at_ms": entry.at_ms, "index": entry.index,
        })
    });
    json!({ "epoch": receipt.epoch, "ledger": receipt.ledger, "entries": entries.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use mufakat_record::kinds::{self, receipt};
    use mufakat_record::{Handling, RecordId, ThreadId};

    use super::*;

    fn header(kind: &str) -> Header {
        Header {
            key: KeyId([0; 16]),
            author: "vn-police".parse().unwrap(),
            issued_at: 1,
            thread: ThreadId([0; 16]),
            kind: kind.to_owned(),
            audience: vec!["ru-police".parse().unwrap()],
            register: Digest([0; 32]),
            handling: Handling::community(),
            references: Vec::new(),
            expires: None,
        }
    }

    #[test]
    fn every_known_kind_can_be_shown() {
        for (kind, _) in kinds::KINDS {
            // No body is of its kind; the point is that the kind is known.
            assert_eq!(as_json(&header(kind), b""), Some(Err(Reason::BodyNotOfKind)), "{kind}");
        }
        assert_eq!(as_json(&header("not-a-kind"), b""), None);
    }

    #[test]
    fn the_key_of_an_attachment_stays_out() {
        let attachment = Attachment {
            name: "EXERCISE.pdf".into(),
            media_type: "application/pdf".into(),
            size: 7,
            digest: [1; 32],
            key: [0xab; 32],
            chunks: vec![2; 32],
        };
        let shown = as_json(&header(Attachment::KIND), &attachment.to_body()).unwrap().unwrap();
        assert_eq!((&shown["name"], &shown["size"], &shown["chunks"]), (&json!("EXERCISE.pdf"), &json!(7), &json!(1)));
        assert!(!shown.to_string().contains("abab"), "{shown}");
    }

    #[test]
    fn the_salts_of_a_receipt_stay_out() {
        let entry = receipt::Entry {
            position: 1,
            record: RecordId([3; 32]),
            rejected: None,
            at_ms: 4,
            index: 5,
            salt: [0xab; 16],
        };
        let receipt = Receipt { epoch: 1, ledger: "mufakat/vn-police/1".into(), entries: vec![entry] };
        let shown = as_json(&header(Receipt::KIND), &receipt.to_body()).unwrap().unwrap();
        assert_eq!((&shown["entries"][0]["index"], &shown["epoch"]), (&json!(5), &json!(1)));
        assert!(!shown.to_string().contains("abab"), "{shown}");
    }
}
