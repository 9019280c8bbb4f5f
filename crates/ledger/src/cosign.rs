//! Timestamped cosignatures, version 1 (C2SP tlog-cosignature, signature type 0x04): a witness's word that it saw a checkpoint and that it is
//! consistent with everything it saw before.

use crate::note::{Algorithm, Error, Signature, Signer, VerifierKey};

/// Bytes of a cosignature: a big-endian time and an Ed25519 signature.
pub const COSIGNATURE_BYTES: usize = 8 + 64;
/// Latest time that a cosignature may state (C2SP tlog-cosignature).
pub const TIME_S_MAX: u64 = i64::MAX as u64;

/// Cosigns the text of a checkpoint at `time_s`, seconds since 1970.
pub fn sign(signer: &Signer, text: &str, time_s: u64) -> Result<Signature, Error> {
    signer.expect(Algorithm::Cosignature)?;
    if time_s > TIME_S_MAX {
        return Err(Error::Time(time_s));
    }
    let mut bytes = time_s.to_be_bytes().to_vec();
    bytes.extend(signer.sign_bytes(message(text, time_s).as_bytes()));
    Ok(signer.signature(bytes))
}

/// Verifies a cosignature over the text of a checkpoint and gives the time that it states, in seconds since 1970.
pub fn verify(key: &VerifierKey, text: &str, signature: &Signature) -> Result<u64, Error> {
    if key.algorithm() != Algorithm::Cosignature {
        return Err(Error::WrongAlgorithm(key.name().to_owned()));
    }
    let bad = || Error::BadSignature { name: key.name().to_owned() };
    if !key.made(signature) || signature.bytes.len() != COSIGNATURE_BYTES {
        return Err(bad());
    }
    let (time, bytes) = signature.bytes.split_first_chunk::<8>().ok_or_else(bad)?;
    let time_s = u64::from_be_bytes(*time);
    if time_s > TIME_S_MAX {
        return Err(bad());
    }
    key.verify_bytes(message(text, time_s).as_bytes(), bytes)?;
    Ok(time_s)
}

/// What is signed: two header lines, then the whole text of the checkpoint.
fn message(text: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}
