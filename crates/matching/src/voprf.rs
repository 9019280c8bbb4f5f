//! The verifiable oblivious pseudorandom function: RFC 9497, mode VOPRF (0x01), suite ristretto255-SHA512, in batches.
//!
//! Whoever has the key computes the function of its own inputs; anybody else has to ask, shows nothing by asking, and learns
//! from the proof that all answers are of the one published key. `docs/matching-voprf.md` goes through the RFC line by line.
//!
//! All that touches a key, a blind or an input is constant time, but for the lengths and the number of inputs. What is
//! computed in variable time has only values in it that both sides see; it says so where it stands.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
pub use mufakat_record::kinds::match_answer::PROOF_BYTES;
pub use mufakat_record::kinds::match_key::ELEMENT_BYTES;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The length of an output in bytes (`Nh` of the RFC).
pub const OUTPUT_BYTES: usize = 64;
/// The most elements of one proof: the RFC counts them in two bytes.
pub const BATCH_MAX: usize = 1 << 16;
/// The longest input in bytes: section 5.1 wants it below 2^16 - 1.
pub const INPUT_BYTES_MAX: usize = (1 << 16) - 2;

/// `contextString` of RFC 9497, section 3.1: the mode and the suite.
const CONTEXT: &[u8] = b"OPRFV1-\x01-ristretto255-SHA512";
/// `I2OSP(Ne, 2)`, which stands before each element in a transcript.
const ELEMENT_PREFIX: [u8; 2] = (ELEMENT_BYTES as u16).to_be_bytes();

/// Why a value was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Bytes that are no group element, or another spelling of one.
    #[error("element {0} is not canonical")]
    NotCanonical(usize),
    /// The identity, which would give the same output under every key.
    #[error("element {0} is the identity")]
    Identity(usize),
    /// The proof does not show that these are the answers, under this key, to what was asked.
    #[error("the proof is wrong")]
    Proof,
    /// Fewer or more elements than belong together.
    #[error("{given} elements where {wanted} belong")]
    Count {
        /// How many belong.
        wanted: usize,
        /// How many were given.
        given: usize,
    },
    /// An input that is longer than the RFC allows.
    #[error("input {0} is too long")]
    Input(usize),
    /// Random bytes that give the scalar zero: no such bytes come from a random source.
    #[error("the random bytes are not random")]
    Random,
    /// No key follows from the seed (`DeriveKeyPairError` of the RFC).
    #[error("no key follows from the seed")]
    Seed,
}

impl Fault {
    /// The fault's name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotCanonical(_) => "not-canonical",
            Self::Identity(_) => "identity",
            Self::Proof => "wrong-proof",
            Self::Count { .. } => "wrong-count",
            Self::Input(_) => "input-too-long",
            Self::Random => "not-random",
            Self::Seed => "no-key",
        }
    }
}

/// The key that computes the function.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretKey {
    scalar: Scalar,
    #[zeroize(skip)]
    public: PublicKey,
}

impl SecretKey {
    /// `DeriveKeyPair` (section 3.2.1).
    pub fn derive(seed: &[u8; 32], info: &[u8]) -> Result<Self, Fault> {
        let info_bytes = u16::try_from(info.len()).map_err(|_| Fault::Seed)?.to_be_bytes();
        for counter in 0..=u8::MAX {
            let scalar = hash_to_scalar(&[seed, &info_bytes, info, &[counter]], b"DeriveKeyPair");
            // That the scalar is zero never happens; whether it does says nothing about any other.
            if scalar != Scalar::ZERO {
                let point = RistrettoPoint::mul_base(&scalar);
                return Ok(Self { scalar, public: PublicKey { point, bytes: point.compress().to_bytes() } });
            }
        }
        Err(Fault::Seed)
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey")
    }
}

/// The key against which answers are proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    point: RistrettoPoint,
    bytes: [u8; ELEMENT_BYTES],
}

impl PublicKey {
    /// The key with this encoding.
    pub fn from_bytes(bytes: &[u8; ELEMENT_BYTES]) -> Result<Self, Fault> {
        Ok(Self { point: decode(0, bytes)?, bytes: *bytes })
    }

    /// Its encoding.
    pub fn as_bytes(&self) -> &[u8; ELEMENT_BYTES] {
        &self.bytes
    }
}

/// What hides one input: a scalar that is not zero.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Blind(Scalar);

impl Blind {
    /// `RandomScalar` (section 2.1) by wide reduction of 64 random bytes.
    pub fn from_random(random: &[u8; 64]) -> Result<Self, Fault> {
        random_scalar(random).map(Self)
    }
}

/// Group elements of a stranger that were found sound, with their encodings.
#[derive(Debug, Clone)]
pub struct Elements {
    points: Vec<RistrettoPoint>,
    bytes: Vec<[u8; ELEMENT_BYTES]>,
}

impl Elements {
    /// `DeserializeElement` (section 2.1) of each: refuses other spellings and the identity, 1 to [`BATCH_MAX`] elements.
    pub fn decode(bytes: &[[u8; ELEMENT_BYTES]]) -> Result<Self, Fault> {
        let given = bytes.len();
        if given == 0 || given > BATCH_MAX {
            return Err(Fault::Count { wanted: given.clamp(1, BATCH_MAX), given });
        }
        let points = bytes.iter().enumerate().map(|(place, bytes)| decode(place, bytes)).collect::<Result<_, _>>()?;
        Ok(Self { points, bytes: bytes.to_vec() })
    }

    /// The encodings.
    pub fn as_bytes(&self) -> &[[u8; ELEMENT_BYTES]] {
        &self.bytes
    }
}

/// What the owner of the key gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The evaluated elements, in the order of the blinded ones.
    pub evaluated: Vec<[u8; ELEMENT_BYTES]>,
    /// One proof over all of them.
    pub proof: [u8; PROOF_BYTES],
}

/// Evaluated elements whose proof was right.
pub struct Verified(Vec<RistrettoPoint>);

impl Verified {
    /// Those at `places`, in that order.
    pub(crate) fn pick(&self, places: &[usize]) -> Self {
        Self(places.iter().map(|&place| self.0[place]).collect())
    }
}

/// `Blind` (section 3.3.1) of each input with its blind.
pub fn blind<I: AsRef<[u8]>>(inputs: &[I], blinds: &[Blind]) -> Result<Vec<[u8; ELEMENT_BYTES]>, Fault> {
    same_count(inputs.len(), blinds.len())?;
    let hidden =
        |(place, (input, blind)): (usize, (&I, &Blind))| Ok(hash_to_group(place, input.as_ref())? * blind.0.div_by_2());
    let points = inputs.iter().zip(blinds).enumerate().map(hidden).collect::<Result<Vec<_>, _>>()?;
    Ok(encode_doubled(&points).to_vec())
}

/// `BlindEvaluate` (section 3.3.2) of a batch with its proof (`GenerateProof`, section 2.2.1). The proof's random scalar comes
/// from `random`: 64 bytes that are never used twice, since two proofs with the same ones tell the key.
pub fn evaluate(key: &SecretKey, blinded: &Elements, random: &[u8; 64]) -> Result<Answer, Fault> {
    let evaluated = encode_doubled(&times_half(&blinded.points, &key.scalar)).to_vec();
    // ComputeCompositesFast: only here does the multiplication by the key enter, and it is constant time. All that goes into
    // the sum is seen by both sides, so the sum need not be.
    let weights = weights(&key.public, &blinded.bytes, &evaluated);
    let m = RistrettoPoint::vartime_multiscalar_mul(&weights, &blinded.points);
    let z = m * key.scalar;
    let r = Zeroizing::new(random_scalar(random)?);
    let c = challenge(&key.public, [&m, &z, &RistrettoPoint::mul_base(&r), &(m * *r)]);
    let s = *r - c * key.scalar;
    let mut proof = [0; PROOF_BYTES];
    proof[..32].copy_from_slice(c.as_bytes());
    proof[32..].copy_from_slice(s.as_bytes());
    Ok(Answer { evaluated, proof })
}

/// `VerifyProof` (section 2.2.2): whether `evaluated` are the answers under `public` to `blinded`, all of them in their order.
pub fn verify(
    public: &PublicKey,
    blinded: &Elements,
    evaluated: Elements,
    proof: &[u8; PROOF_BYTES],
) -> Result<Verified, Fault> {
    same_count(blinded.points.len(), evaluated.points.len())?;
    let scalar = |half: usize| {
        let bytes = proof.as_chunks::<32>().0[half];
        Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes)).ok_or(Fault::Proof)
    };
    let (c, s) = (scalar(0)?, scalar(1)?);
    // ComputeComposites and all that follows is variable time: a proof and what it is about are seen by both sides.
    let weights = weights(public, &blinded.bytes, &evaluated.bytes);
    let m = RistrettoPoint::vartime_multiscalar_mul(&weights, &blinded.points);
    let z = RistrettoPoint::vartime_multiscalar_mul(&weights, &evaluated.points);
    let t2 = RistrettoPoint::vartime_double_scalar_mul_basepoint(&c, &public.point, &s);
    let t3 = RistrettoPoint::vartime_multiscalar_mul([&s, &c], [&m, &z]);
    if challenge(public, [&m, &z, &t2, &t3]) == c { Ok(Verified(evaluated.points)) } else { Err(Fault::Proof) }
}

/// `Finalize` (section 3.3.2) of each input after [`verify`]: takes the blinds off and hashes.
pub fn finalize<I: AsRef<[u8]>>(
    inputs: &[I],
    blinds: &[Blind],
    verified: &Verified,
) -> Result<Zeroizing<Vec<[u8; OUTPUT_BYTES]>>, Fault> {
    same_count(inputs.len(), blinds.len())?;
    same_count(inputs.len(), verified.0.len())?;
    // No blind is zero, which the batched inversion asks for; it is constant time, as is the halving.
    let mut inverses = Zeroizing::new(blinds.iter().map(|blind| blind.0).collect::<Vec<_>>());
    Scalar::invert_batch_alloc(&mut inverses);
    let halves = verified.0.iter().zip(&*inverses).map(|(point, inverse)| point * inverse.div_by_2());
    hash_all(inputs, &Zeroizing::new(halves.collect::<Vec<_>>()))
}

/// `Evaluate` (section 3.3.1) of each input with the key: what [`finalize`] would give. Meant for some hundreds of inputs at a
/// time: the batch is in memory, and one inversion is shared by all of it.
pub fn outputs<I: AsRef<[u8]>>(key: &SecretKey, inputs: &[I]) -> Result<Zeroizing<Vec<[u8; OUTPUT_BYTES]>>, Fault> {
    let hash = |(place, input): (usize, &I)| hash_to_group(place, input.as_ref());
    let points = Zeroizing::new(inputs.iter().enumerate().map(hash).collect::<Result<Vec<_>, _>>()?);
    hash_all(inputs, &times_half(&points, &key.scalar))
}

/// Elements that look like blinded inputs and of which nobody knows an input: each from 64 random bytes.
pub(crate) fn random_elements(random: impl Iterator<Item = [u8; 64]>) -> Vec<[u8; ELEMENT_BYTES]> {
    let points: Vec<_> = random.map(|bytes| RistrettoPoint::from_uniform_bytes(&bytes)).collect();
    encode_doubled(&points).to_vec()
}

/// `expand_message_xmd` of RFC 9380, section 5.3.1, with SHA-512 for 64 bytes. It behaves as a random function of message and
/// `tag` (whose parts are at most 255 bytes together), and so whatever this crate derives from a secret comes from it too.
pub(crate) fn expand(message: &[&[u8]], tag: &[&[u8]]) -> [u8; 64] {
    let tag_bytes: usize = tag.iter().map(|part| part.len()).sum();
    debug_assert!(tag_bytes <= 255, "a longer tag would be hashed first");
    let end = |hash: Sha512| tag.iter().fold(hash, Sha512::chain_update).chain_update([tag_bytes as u8]);
    // Z_pad is one block of SHA-512; two bytes say how many are wanted.
    let padded = Sha512::new_with_prefix([0; 128]);
    let first = message.iter().fold(padded, Sha512::chain_update).chain_update([0, 64, 0]);
    let first = end(first).finalize();
    end(Sha512::new_with_prefix(first).chain_update([1])).finalize().into()
}

/// `HashToGroup` (section 4.1), and the refusal of an input that hashes to the identity.
fn hash_to_group(place: usize, input: &[u8]) -> Result<RistrettoPoint, Fault> {
    input_prefix(place, input)?;
    let uniform = Zeroizing::new(expand(&[input], &[b"HashToGroup-", CONTEXT]));
    let point = RistrettoPoint::from_uniform_bytes(&uniform);
    if point.is_identity() { Err(Fault::Identity(place)) } else { Ok(point) }
}

/// `I2OSP(len(input), 2)`, for an input that is not too long.
fn input_prefix(place: usize, input: &[u8]) -> Result<[u8; 2], Fault> {
    let length = u16::try_from(input.len()).ok().filter(|length| usize::from(*length) <= INPUT_BYTES_MAX);
    Ok(length.ok_or(Fault::Input(place))?.to_be_bytes())
}

/// `HashToScalar` (section 4.1): 64 bytes, little-endian, reduced.
fn hash_to_scalar(message: &[&[u8]], tag: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&expand(message, &[tag, CONTEXT]))
}

fn random_scalar(random: &[u8; 64]) -> Result<Scalar, Fault> {
    let scalar = Scalar::from_bytes_mod_order_wide(random);
    if scalar == Scalar::ZERO { Err(Fault::Random) } else { Ok(scalar) }
}

/// Each point times half the scalar: what [`encode_doubled`] makes whole.
fn times_half(points: &[RistrettoPoint], scalar: &Scalar) -> Zeroizing<Vec<RistrettoPoint>> {
    let half = Zeroizing::new(scalar.div_by_2());
    Zeroizing::new(points.iter().map(|point| point * *half).collect())
}

/// `SerializeElement` of the double of each point, with one inversion for all: a single encoding takes a square root.
fn encode_doubled(points: &[RistrettoPoint]) -> Zeroizing<Vec<[u8; ELEMENT_BYTES]>> {
    let encoded = Zeroizing::new(RistrettoPoint::double_and_compress_batch(points));
    Zeroizing::new(encoded.iter().map(CompressedRistretto::to_bytes).collect())
}

/// The last step of `Finalize` and `Evaluate` for each input, whose element is given as its half.
fn hash_all<I: AsRef<[u8]>>(
    inputs: &[I],
    halves: &[RistrettoPoint],
) -> Result<Zeroizing<Vec<[u8; OUTPUT_BYTES]>>, Fault> {
    let hash = |(place, (input, element)): (usize, (&I, &[u8; ELEMENT_BYTES]))| {
        let input = input.as_ref();
        let hash = Sha512::new_with_prefix(input_prefix(place, input)?).chain_update(input);
        Ok(hash.chain_update(ELEMENT_PREFIX).chain_update(element).chain_update(b"Finalize").finalize().into())
    };
    let elements = encode_doubled(halves);
    inputs.iter().zip(&*elements).enumerate().map(hash).collect::<Result<_, _>>().map(Zeroizing::new)
}

/// The `di` of `ComputeComposites` (section 2.2.1): a scalar for each pair, which follows from all of them.
fn weights(public: &PublicKey, blinded: &[[u8; ELEMENT_BYTES]], evaluated: &[[u8; ELEMENT_BYTES]]) -> Vec<Scalar> {
    let tag: [&[u8]; 2] = [b"Seed-", CONTEXT];
    let seed = Sha512::new_with_prefix(ELEMENT_PREFIX).chain_update(public.bytes);
    let seed = seed.chain_update(((tag[0].len() + tag[1].len()) as u16).to_be_bytes());
    let seed: [u8; 64] = tag.iter().fold(seed, Sha512::chain_update).finalize().into();
    let seed_prefix = (seed.len() as u16).to_be_bytes();
    let weight = |(place, (c, d)): (usize, (&[u8; ELEMENT_BYTES], &[u8; ELEMENT_BYTES]))| {
        // Elements::decode let no more pairs in than two bytes number.
        let place = (place as u16).to_be_bytes();
        let transcript: [&[u8]; 8] =
            [&seed_prefix, &seed, &place, &ELEMENT_PREFIX, c, &ELEMENT_PREFIX, d, b"Composite"];
        hash_to_scalar(&transcript, b"HashToScalar-")
    };
    blinded.iter().zip(evaluated).enumerate().map(weight).collect()
}

/// `c` of `GenerateProof` and `VerifyProof`, from M, Z, t2 and t3.
fn challenge(public: &PublicKey, points: [&RistrettoPoint; 4]) -> Scalar {
    let [m, z, t2, t3] = points.map(|point| point.compress().to_bytes());
    let mut transcript = [&[][..]; 11];
    for (place, element) in [&public.bytes, &m, &z, &t2, &t3].into_iter().enumerate() {
        transcript[2 * place] = &ELEMENT_PREFIX;
        transcript[2 * place + 1] = element;
    }
    transcript[10] = b"Challenge";
    hash_to_scalar(&transcript, b"HashToScalar-")
}

fn decode(place: usize, bytes: &[u8; ELEMENT_BYTES]) -> Result<RistrettoPoint, Fault> {
    // Variable time in whether it succeeds: an element that is sent is seen by both sides.
    let point = CompressedRistretto(*bytes).decompress().ok_or(Fault::NotCanonical(place))?;
    if point.is_identity() { Err(Fault::Identity(place)) } else { Ok(point) }
}

fn same_count(wanted: usize, given: usize) -> Result<(), Fault> {
    if wanted == given { Ok(()) } else { Err(Fault::Count { wanted, given }) }
}
