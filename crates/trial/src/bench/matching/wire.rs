//! How many bytes of a parcel an identifier takes, each way.

use anyhow::{Result, anyhow};
use mufakat_matching::question::{self, Secret};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_question::{COUNT_MAX, MatchQuestion};
use mufakat_record::kinds::request::By;
use mufakat_record::{
    AgencyId, Digest, Draft, Handling, Header, RecordId, Reference, Relation, SealingKey, SigningKey, Tlp, parcel,
};

use super::{QUERY, inputs, key};
use crate::bench::{Figures, crypto};

/// Measures a question and its answer, each as the one record of its parcel.
pub(super) fn measure(figures: &Figures) -> Result<()> {
    if !figures.wants(&["matching.wire"]) {
        return Ok(());
    }
    let full = format!(
        "a question about {COUNT_MAX}, which is full, or its answer, whichever is longer, as the one record of a parcel, \
         without HTTP and TLS"
    );
    figures.put_noted("matching.wire_bytes_per_id", each(bytes(COUNT_MAX)?.sealed, COUNT_MAX), "bytes", &full);
    let query = bytes(QUERY)?;
    let padded = format!("a question about {QUERY}, padded to {COUNT_MAX}");
    figures.put_noted("matching.wire_bytes_per_id_of_1000", each(query.sealed, QUERY), "bytes", &padded);
    let signed = each(query.signed, QUERY);
    figures.put_noted(
        "matching.wire_record_bytes_per_id",
        signed,
        "bytes",
        "the same, the signed record without its parcel",
    );
    Ok(())
}

fn each(bytes: usize, count: usize) -> f64 {
    bytes as f64 / count as f64
}

/// How long something is, in bytes.
struct Bytes {
    signed: usize,
    sealed: usize,
}

/// How long a question about so many identifiers or its answer is, whichever is longer.
fn bytes(count: usize) -> Result<Bytes> {
    let question = question::ask(&Secret::from_bytes([8; 32]), &inputs(0..count))?;
    let answer = question::answer(&key()?, &question, &[9; 64])?;
    let asked = MatchQuestion {
        by: By::default(),
        case: Digest([1; 32]),
        basis: "EXERCISE: article 4 of the agreement".to_owned(),
        count: question.count,
        commitment: Digest(question.commitment),
        elements: question.elements.concat(),
    };
    let evaluated = Outcome::Evaluated { elements: answer.evaluated.concat(), proof: answer.proof };
    let there = sealed(asked, Relation::About, Some("EXERCISE: trafficking"))?;
    let back = sealed(MatchAnswer { outcome: evaluated }, Relation::Answers, None)?;
    Ok(Bytes { signed: there.signed.max(back.signed), sealed: there.sealed.max(back.sealed) })
}

/// How long a record of this body and a parcel with it are.
fn sealed<B: Body>(body: B, relation: Relation, purpose: Option<&str>) -> Result<Bytes> {
    let failed = |reason| anyhow!("no parcel: {reason}");
    let (signer, sealing) = (SigningKey::from_seed(&[1; 32]), SealingKey::from_seed(&[2; 32]));
    let name: AgencyId = "vn-police".parse()?;
    let header = Header {
        kind: B::KIND.to_owned(),
        handling: Handling { purposes: purpose.map(|purpose| vec![purpose.to_owned()]), ..Handling::with(Tlp::Amber) },
        references: vec![Reference { relation, record: RecordId([6; 32]) }],
        ..crypto::header(&name)
    };
    let record = Draft { header, body: body.to_body() }.sign(&signer).map_err(failed)?;
    let parts = [(record.id(), record.bytes())];
    let parcel = parcel::seal(crypto::outer(&name), &parts, sealing.public(), &signer, [3; 32]).map_err(failed)?;
    Ok(Bytes { signed: record.bytes().len(), sealed: parcel.to_bytes().len() })
}
