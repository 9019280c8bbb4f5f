//! What the machine can do at best: bare multiplications on the curve, and reads of memory from anywhere.

use std::hint::black_box;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;

use super::timed;

/// How many multiplications one measurement makes.
const MULTIPLICATIONS: usize = 4_000;
/// How many reads one measurement makes.
const READS: usize = 8_000_000;

/// What multiplications cost, in seconds of one core.
#[derive(Debug, Clone, Copy)]
pub(super) struct Multiplications {
    /// Of any point.
    pub(super) variable_s: f64,
    /// Of the base point, for which there is a table.
    pub(super) fixed_s: f64,
}

/// Multiplies, in constant time, as with a secret.
pub(super) fn multiplications() -> Multiplications {
    let scalar = Scalar::from_bytes_mod_order_wide(&[0x5a; 64]);
    let mut point = RistrettoPoint::mul_base(&scalar);
    let ((), variable_s) = timed(|| {
        for _ in 0..MULTIPLICATIONS {
            point = black_box(point) * black_box(scalar);
        }
    });
    let ((), fixed_s) = timed(|| {
        for _ in 0..MULTIPLICATIONS {
            black_box(RistrettoPoint::mul_base(black_box(&scalar)));
        }
    });
    black_box(point);
    Multiplications { variable_s: variable_s / MULTIPLICATIONS as f64, fixed_s: fixed_s / MULTIPLICATIONS as f64 }
}

/// With which of its implementations curve25519-dalek computes here.
// The condition is the library's own; who builds with RUSTFLAGS sets it for every crate.
#[allow(unexpected_cfgs)]
pub(super) fn backend() -> &'static str {
    if cfg!(any(curve25519_dalek_backend = "serial", curve25519_dalek_backend = "fiat")) {
        return "serial, by RUSTFLAGS";
    }
    let asked = cfg!(curve25519_dalek_backend = "avx512");
    let built = asked || cfg!(all(target_feature = "avx512ifma", target_feature = "avx512vl"));
    let (avx2, avx512) = features();
    match (built, avx512, avx2) {
        (true, true, _) => "AVX-512 IFMA",
        (false, true, _) => "AVX2; the processor has AVX-512 IFMA, which is not built in",
        (_, false, true) => "AVX2",
        (_, false, false) => "serial",
    }
}

/// Whether the processor has AVX2, and AVX-512 with IFMA.
fn features() -> (bool, bool) {
    #[cfg(target_arch = "x86_64")]
    {
        let avx512 =
            std::arch::is_x86_feature_detected!("avx512ifma") && std::arch::is_x86_feature_detected!("avx512vl");
        (std::arch::is_x86_feature_detected!("avx2"), avx512)
    }
    #[cfg(not(target_arch = "x86_64"))]
    (false, false)
}

/// Memory from which is read here and there.
pub(super) struct Memory(Vec<u64>);

impl Memory {
    /// So much of it, none of it the same.
    pub(super) fn new(bytes: usize) -> Self {
        Self((0..bytes as u64 / 8).map(scramble).collect())
    }

    /// Nanoseconds of one core for a read, where reads do not wait for each other.
    pub(super) fn read_ns(&self) -> f64 {
        let (sum, took_s) =
            timed(|| (0..READS as u64).fold(0, |sum, number| sum ^ self.0[self.place(scramble(number))]));
        black_box(sum);
        took_s * 1e9 / READS as f64
    }

    /// Nanoseconds for a read whose place the read before it says.
    pub(super) fn chained_read_ns(&self) -> f64 {
        let reads = READS / 8;
        let (last, took_s) =
            timed(|| (0..reads as u64).fold(0, |last, number| self.0[self.place(last ^ number << 40)]));
        black_box(last);
        took_s * 1e9 / reads as f64
    }

    fn place(&self, number: u64) -> usize {
        ((u128::from(number) * self.0.len() as u128) >> 64) as usize
    }
}

/// Numbers of which no two neighbours look alike (the finaliser of MurmurHash3).
fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}
