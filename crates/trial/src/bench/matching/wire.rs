//! How many bytes of a parcel an identifier takes, each way.

use anyhow::{Result, anyhow};
use mufakat_matching::question::{self, Secret};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_question::MatchQuestion;
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
    let key = key()?;
    let question = question::ask(&Secret::from_bytes([8; 32]), &inputs(0..QUERY))?;
    let answer = question::answer(&key, &question, &[9; 64])?;
    let to_holder = MatchQuestion {
        by: By::default(),
        case: Digest([1; 32]),
        basis: "EXERCISE: article 4 of the agreement".to_owned(),
        count: question.count,
        commitment: Digest(question.commitment),
        elements: question.elements.concat(),
    };
    let evaluated = Outcome::Evaluated { elements: answer.evaluated.concat(), proof: answer.proof };
    let there = bytes(to_holder, Relation::About, Some("EXERCISE: trafficking"))?;
    let back = bytes(MatchAnswer { outcome: evaluated }, Relation::Answers, None)?;
    let each = |bytes: usize| bytes as f64 / QUERY as f64;
    let note = format!(
        "there {:.2}, back {:.2}; sealed in a parcel of its own, without HTTP and TLS",
        each(there),
        each(back)
    );
    figures.put_noted("matching.wire_bytes_per_id", each(there.max(back)), "bytes", &note);
    Ok(())
}

/// How long the parcel is with one record of this body.
fn bytes<B: Body>(body: B, relation: Relation, purpose: Option<&str>) -> Result<usize> {
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
    Ok(parcel.to_bytes().len())
}
