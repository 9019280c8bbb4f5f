//! Has the crate compiled again when the console's pages were built, or were removed. It builds none itself: see `cargo xtask web`.

fn main() {
    // The folder is always there, because git keeps a file in it: of a path that is missing cargo would say at each build that it changed.
    println!("cargo::rerun-if-changed=../../web/dist");
}
