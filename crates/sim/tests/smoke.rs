//! Some seeds, quickly.

use mufakat_sim::{Options, run};

#[test]
fn twenty_seeds_hold() {
    for seed in 1000..1020 {
        if let Err(failure) = run(seed, &Options::default()) {
            panic!("{failure}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let once = run(7, &Options::default());
    assert_eq!(once, run(7, &Options::default()));
}
