//! Matching between running nodes.
