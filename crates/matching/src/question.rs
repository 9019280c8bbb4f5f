//! A question: what an asker sends to learn which of its identifiers a holder lists, and what an inspector can recompute.
//!
//! Everything in it follows from the identifiers and one secret of 32 bytes: the blind of each, the elements that pad it, the
//! order in which they stand and the salt of the commitment. A question is not bound to a key, so that one can go to many
//! partners; and because padding comes from the secret as well, nobody can hide an identifier in it from an audit.
//!
//! Sorting and finding repeats take a time that depends on the asker's own values; they run on the asker's own machine, before
//! anything is sent and after everything has come. What is computed of a blind or an identifier is constant time.

use std::collections::BTreeSet;

use mufakat_record::kinds::match_question::{COUNT_MAX, MatchQuestion};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::tag::Tag;
use crate::voprf::{self, Answer, Blind, ELEMENT_BYTES, Elements, PROOF_BYTES, PublicKey, SecretKey, expand};

/// Separates what is derived here from every other derivation.
const DOMAIN: &[u8] = b"mufakat matching question 1 ";

/// Why a question or its answer was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No identifiers, or more than a question holds.
    #[error("a question has 1 to {COUNT_MAX} identifiers, not {0}")]
    Count(usize),
    /// Not the number of elements to which that many identifiers are padded.
    #[error("{elements} elements are not what {count} identifiers are padded to")]
    Padding {
        /// How many identifiers it says there are.
        count: u32,
        /// How many elements there are.
        elements: usize,
    },
    /// The same identifier or the same element twice.
    #[error("one of them, at {0}, stands there twice")]
    Repeated(usize),
    /// Other identifiers, or another secret, than the question was made from.
    #[error("the commitment is to other identifiers")]
    Commitment,
    /// An element that does not follow from the identifiers and the secret.
    #[error("element {0} is another")]
    Element(usize),
    /// An answer to a part of the question, or to more than it.
    #[error("{answered} of {asked} elements were answered")]
    NotAllAnswered {
        /// How many there are.
        asked: usize,
        /// How many the answer has.
        answered: usize,
    },
    /// What is wrong with an element or with the proof.
    #[error(transparent)]
    Voprf(#[from] voprf::Fault),
}

impl Fault {
    /// The fault's name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Count(_) => "wrong-count",
            Self::Padding { .. } => "wrong-padding",
            Self::Repeated(_) => "repeated",
            Self::Commitment => "other-identifiers",
            Self::Element(_) => "other-element",
            Self::NotAllAnswered { .. } => "not-all-answered",
            Self::Voprf(fault) => fault.reason(),
        }
    }
}

/// What a question is made from beside its identifiers: 32 random bytes, for one question only. With it and a list of
/// candidates anybody finds out what was asked, so it is kept as the identifiers are.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret that is these bytes, random or kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be kept.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 bytes for one use.
    fn derive(&self, what: &[u8], number: usize) -> Zeroizing<[u8; 64]> {
        // No number here is more than a thousand or so.
        Zeroizing::new(expand(&[&self.0, &(number as u32).to_be_bytes()], &[DOMAIN, what]))
    }

    fn blinds(&self, count: usize) -> Result<Vec<Blind>, voprf::Fault> {
        (0..count).map(|number| Blind::from_random(&self.derive(b"blind", number))).collect()
    }

    /// Where each of `size` elements stands; the identifiers come first, in their order, then the padding.
    fn places(&self, size: usize) -> Vec<usize> {
        // Eight numbers from each derivation. Two of 64 bits are never the same but by a chance of one in 2^45, and a stable
        // sort gives an order even then.
        let numbers: Vec<_> = (0..size.div_ceil(8)).map(|number| self.derive(b"order", number)).collect();
        let mut places: Vec<_> = (0..size).collect();
        places.sort_by_key(|&place| numbers[place / 8].as_chunks::<8>().0[place % 8]);
        places
    }

    fn commitment<I: AsRef<[u8]>>(&self, inputs: &[I]) -> [u8; 32] {
        // The salt is a value of its own, so that it can be shown with the identifiers and no blind with them.
        let salt = self.derive(b"salt", 0);
        let mut message = Zeroizing::new((inputs.len() as u32).to_be_bytes().to_vec());
        for input in inputs {
            message.extend((input.as_ref().len() as u64).to_be_bytes());
            message.extend(input.as_ref());
        }
        let wide = expand(&[&salt[..32], &message], &[DOMAIN, b"commitment"]);
        std::array::from_fn(|n| wide[n])
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What the holder gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Blinded identifiers and padding, which look alike, in an order that says nothing.
    pub elements: Vec<[u8; ELEMENT_BYTES]>,
    /// How many identifiers are asked about.
    pub count: u32,
    /// The salted commitment to them.
    pub commitment: [u8; 32],
}

impl Question {
    /// Whether the question can be answered: as many elements as its count is padded to, none twice, each of them sound.
    pub fn check(&self) -> Result<Elements, Fault> {
        let count = self.count as usize;
        if self.elements.len() != size_for(count)? {
            return Err(Fault::Padding { count: self.count, elements: self.elements.len() });
        }
        no_repeats(&self.elements)?;
        Ok(Elements::decode(&self.elements)?)
    }
}

/// Makes the question about these inputs of the VOPRF.
pub fn ask<I: AsRef<[u8]>>(secret: &Secret, inputs: &[I]) -> Result<Question, Fault> {
    let size = size_for(inputs.len())?;
    no_repeats(inputs)?;
    let blinded = voprf::blind(inputs, &secret.blinds(inputs.len())?)?;
    let padding = voprf::random_elements((inputs.len()..size).map(|number| *secret.derive(b"padding", number)));
    let mut elements = vec![[0; ELEMENT_BYTES]; size];
    for (place, element) in secret.places(size).into_iter().zip(blinded.into_iter().chain(padding)) {
        elements[place] = element;
    }
    Ok(Question { elements, count: inputs.len() as u32, commitment: secret.commitment(inputs) })
}

/// The holder's answer to a sound question; `random` as in [`voprf::evaluate`].
pub fn answer(key: &SecretKey, question: &Question, random: &[u8; 64]) -> Result<Answer, Fault> {
    Ok(voprf::evaluate(key, &question.check()?, random)?)
}

/// The tags of the inputs, in their order, from the answer of the owner of `public` to the question that [`ask`] made of them.
pub fn take<I: AsRef<[u8]>>(
    secret: &Secret,
    inputs: &[I],
    question: &Question,
    public: &PublicKey,
    evaluated: &[[u8; ELEMENT_BYTES]],
    proof: &[u8; PROOF_BYTES],
) -> Result<Vec<Tag>, Fault> {
    same_identifiers(secret, inputs, question)?;
    let (asked, answered) = (question.elements.len(), evaluated.len());
    if asked != answered {
        return Err(Fault::NotAllAnswered { asked, answered });
    }
    let verified = voprf::verify(public, &question.check()?, Elements::decode(evaluated)?, proof)?;
    let verified = verified.pick(&secret.places(asked)[..inputs.len()]);
    let outputs = voprf::finalize(inputs, &secret.blinds(inputs.len())?, &verified)?;
    Ok(outputs.iter().map(Tag::of).collect())
}

/// Whether the question is the one that follows from the secret and the inputs, for an inspector who was given both.
pub fn audit<I: AsRef<[u8]>>(secret: &Secret, inputs: &[I], question: &Question) -> Result<(), Fault> {
    same_identifiers(secret, inputs, question)?;
    let again = ask(secret, inputs)?;
    if again.elements.len() != question.elements.len() {
        return Err(Fault::Padding { count: question.count, elements: question.elements.len() });
    }
    let other = again.elements.iter().zip(&question.elements).position(|(one, other)| one != other);
    other.map_or(Ok(()), |place| Err(Fault::Element(place)))
}

/// Whether count and commitment are those of the inputs. Both are sent, so comparing them may take any time.
pub fn same_identifiers<I: AsRef<[u8]>>(secret: &Secret, inputs: &[I], question: &Question) -> Result<(), Fault> {
    if inputs.len() != question.count as usize {
        return Err(Fault::Count(inputs.len()));
    }
    if secret.commitment(inputs) == question.commitment { Ok(()) } else { Err(Fault::Commitment) }
}

fn size_for(count: usize) -> Result<usize, Fault> {
    MatchQuestion::size_for(count).ok_or(Fault::Count(count))
}

fn no_repeats<I: AsRef<[u8]>>(all: &[I]) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    let twice = all.iter().position(|one| !seen.insert(one.as_ref()));
    twice.map_or(Ok(()), |place| Err(Fault::Repeated(place)))
}
