//! Seeds that once failed. A change to what the simulator draws gives a seed another run; then a seed that shows the same thing
//! takes its place, or the line goes.

use mufakat_sim::{Options, run};

/// Seeds that were kept before anybody was at a desk, each with what it showed.
const KEPT: [(u64, &str); 13] = [
    (2, "a retraction in the same parcel as its report was answered with not-held, and the report stayed"),
    (3, "a clock that was set back left a sender waiting for days"),
    (5, "a partner that sent somebody else's record was told by its receipt that the record is held"),
    (11, "a restored node to which, as far as it knew, nothing had ever come was not sent again what it had lost"),
    (30, "the quorum of witnesses was counted without an agency that was admitted later"),
    (39, "a cosignature came from an agency that had just been admitted, before its key set"),
    (122, "two proposals with one version number were both approved, and the register forked for good"),
    (123, "a proposal that was committed and not answered counted as a second one when it was submitted again"),
    (248, "two agencies have only a relay between them, one was restored, and no greeting could tell the other"),
    (345, "the simulator held an unknown key for a wrong answer, where the author's key was new to the recipient"),
    (
        380,
        "a restored node refused what was passed on to it before, because it did not know the originator's key any more",
    ),
    (401, "a proposal that its proposer lost with the disk was waited for, though it had reached too few"),
    (454, "a record that expires was accepted, lost with the disk, and rejected as expired when it came again"),
];

/// Seeds that were kept before anybody matched, each with what it showed.
const KEPT_AT_DESKS: [(u64, &str); 2] = [
    (2, "the simulator did not expect that a restored node refuses a step in a request that it has lost"),
    (50, "a node that tried several times to publish new keys dropped the key to which its partners still sealed"),
];

#[test]
fn seeds_that_once_failed_hold() {
    let before = Options { without_desks: true, ..Options::default() };
    let since = Options { without_matching: true, ..Options::default() };
    let kept = KEPT.into_iter().map(|kept| (kept, before)).chain(KEPT_AT_DESKS.into_iter().map(|kept| (kept, since)));
    for ((seed, showed), options) in kept {
        if let Err(failure) = run(seed, &options) {
            panic!("{failure}\n  it once showed: {showed}");
        }
    }
}
