//! What records and parcels must hold against, as an attacker would try it: published vectors, every codec's round trip, each
//! bad input with its reason, and another CBOR library's opinion of the strict form.

mod canonical;
mod codecs;
mod forged_parcels;
mod forged_records;
mod samples;
mod unsound_bodies;
mod unsound_matching;
mod vectors;
mod vectors_sealing;
mod vectors_signing;
