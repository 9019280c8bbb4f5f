//! Wallets: addresses at Bitcoin, Ethereum and Tron.

use bech32::segwit;
use sha3::{Digest, Keccak256};

use super::Fault;

/// The first byte of what a base58check address says: pay to a key's hash or a script's hash at Bitcoin and at its test
/// network (Bitcoin's `chainparams.cpp`, BIP 13), and Tron's (TRON protocol, "Account address").
const VERSIONS: [u8; 5] = [0x00, 0x05, 0x6f, 0xc4, 0x41];
/// The version and the hash of 160 bits behind it.
const BASE58_BYTES: usize = 21;
/// The most characters that these take in base 58, with a checksum of four bytes.
const BASE58_CHARS_MAX: usize = 36;

/// An address as its ledger writes it.
pub(super) fn wallet(value: &str) -> Result<String, Fault> {
    if !value.is_ascii() {
        return Err(Fault::WalletForm);
    }
    let lower = value.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return ethereum(&value[2..], digits);
    }
    if lower.starts_with("bc1") || lower.starts_with("tb1") {
        return segregated_witness(value);
    }
    base58(value)
}

/// Base58check, which tells capitals from small letters: the last four bytes are the first of two rounds of SHA-256.
fn base58(value: &str) -> Result<String, Fault> {
    if value.len() > BASE58_CHARS_MAX {
        return Err(Fault::WalletForm);
    }
    let decoded = bs58::decode(value).with_check(None).into_vec().map_err(|error| match error {
        bs58::decode::Error::InvalidChecksum { .. } => Fault::WalletChecksum,
        _ => Fault::WalletForm,
    })?;
    let known = decoded.len() == BASE58_BYTES && VERSIONS.contains(&decoded[0]);
    if known { Ok(value.to_owned()) } else { Err(Fault::WalletForm) }
}

/// A segregated witness address in small letters: version 0 in bech32 (BIP 173), later ones in bech32m (BIP 350).
fn segregated_witness(value: &str) -> Result<String, Fault> {
    // All in capitals or all in small letters is checked there (BIP 173, "Decoders").
    segwit::decode(value).map(|_| value.to_ascii_lowercase()).map_err(|_| Fault::WalletChecksum)
}

/// `0x` and forty hexadecimal digits, of which the letters are capitals where the hash of the small ones says so (EIP-55). What
/// was written without this checksum, in one case, gets it; what was written with it must fit.
fn ethereum(given: &str, lower: &str) -> Result<String, Fault> {
    if lower.len() != 40 || !lower.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Fault::WalletForm);
    }
    let hash = Keccak256::digest(lower.as_bytes());
    let nibble = |at: usize| if at.is_multiple_of(2) { hash[at / 2] >> 4 } else { hash[at / 2] & 15 };
    let written = |(at, c): (usize, char)| if nibble(at) >= 8 { c.to_ascii_uppercase() } else { c };
    let checked: String = lower.chars().enumerate().map(written).collect();
    let unchecked = given == lower || given == lower.to_ascii_uppercase();
    if unchecked || given == checked { Ok(format!("0x{checked}")) } else { Err(Fault::WalletChecksum) }
}
