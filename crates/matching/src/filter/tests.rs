//! Tests of the filters: what is listed is found, what is not is not, and nothing shows how much is listed.

use std::collections::HashSet;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::class::SLOTS_PER_TAG;
use super::*;

/// A label by which deltas say that something is no longer listed: category 31.
const REMOVED: u32 = 31 << 27;

fn noise(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn tag(random: &mut ChaCha8Rng) -> Tag {
    let mut bytes = [0; TAG_BYTES];
    random.fill_bytes(&mut bytes);
    Tag::from_bytes(&bytes)
}

fn list(length: usize, random: &mut ChaCha8Rng) -> Vec<(Tag, u32)> {
    (0..length).map(|_| (tag(random), random.next_u32())).collect()
}

fn build(class: Class, entries: &[(Tag, u32)], random: &mut ChaCha8Rng) -> Result<Filter, Fault> {
    Filter::build(class, entries, &mut |bytes| random.fill_bytes(bytes))
}

fn class(capacity: usize) -> Class {
    Class::holding(capacity).filter(|class| class.capacity() == capacity).unwrap()
}

/// Filters of one class that list nothing, half of what it holds, and all of it.
fn empty_half_full(capacity: usize, random: &mut ChaCha8Rng) -> [Filter; 3] {
    [0, capacity / 2, capacity].map(|length| build(class(capacity), &list(length, random), random).unwrap())
}

fn reason(bytes: Vec<u8>) -> &'static str {
    Filter::from_bytes(bytes).unwrap_err().reason()
}

#[test]
fn the_class_is_the_smallest_that_holds_the_list() {
    let check = |entries, expect: Option<usize>| {
        assert_eq!(Class::holding(entries).map(Class::capacity), expect, "{entries}");
    };
    check(0, Some(1_000));
    check(1_000, Some(1_000));
    check(1_001, Some(2_000));
    check(4_999_999, Some(5_000_000));
    check(10_000_001, Some(16_777_216));
    check(16_777_216, Some(16_777_216));
    check(16_777_217, None);
}

#[test]
fn filters_are_as_small_as_they_have_to_be() {
    let bits = |class: Class| class.slots() as f64 * 32.0 / class.capacity() as f64;
    assert!(bits(class(10_000_000)) <= 34.5, "{}", bits(class(10_000_000)));
    for class in Class::all() {
        assert!(bits(class) > 32.0 * 1.024, "no 4-wise filter can be that full: {class:?}");
        assert!(bits(class) <= 32.0 * 1.41, "{class:?}: {}", bits(class));
    }
}

#[test]
fn size_and_header_depend_on_the_class_only() {
    let mut random = noise(1);
    for capacity in [1_000, 2_000, 5_000, 10_000, 20_000] {
        for filter in empty_half_full(capacity, &mut random) {
            assert_eq!(filter.as_bytes().len(), class(capacity).bytes());
            assert_eq!(filter.as_bytes()[..12], *b"MUFILTER\x01\0\0\0");
            assert_eq!(filter.as_bytes()[12..16], (capacity as u32).to_le_bytes());
            assert_eq!(filter.class(), class(capacity));
        }
    }
}

#[test]
fn the_form_stays_as_it_is() {
    let mut random = noise(2);
    let entries = list(1_000, &mut random);
    let filter = build(class(1_000), &entries, &mut random).unwrap();
    let hash = hex::encode(Sha256::digest(filter.as_bytes()));
    assert_eq!(hash, "499aa94dfafff013db5ea60473c48416edcd1abd41f6f412190046e7b2b8fc8a");
    // The same once more, in the words of the description and without the code under test.
    let bytes = filter.as_bytes();
    let number = |from: usize| u64::from_le_bytes(bytes[from..from + 8].try_into().unwrap());
    let seed = number(16);
    for (tag, label) in entries {
        let (low, high) = (tag.place as u64, (tag.place >> 64) as u64);
        let mut hash = low ^ seed;
        for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
            hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
        }
        hash = (hash ^ (hash >> 33)).wrapping_add(high);
        let first = (u128::from(hash) * (41 * 32) / (1 << 64)) as u64;
        let slots = [
            first,
            (first + 32) / 32 * 32 + ((first % 32) ^ (hash % 32)),
            (first + 64) / 32 * 32 + ((first % 32) ^ (hash / 32 % 32)),
            (first + 96) / 32 * 32 + ((first % 32) ^ (hash / 1024 % 32)),
        ];
        let word = slots.iter().fold(0, |word, slot| word ^ number(24 + 8 * *slot as usize));
        assert_eq!((word >> 32) as u32, tag.check);
        assert_eq!(word as u32 ^ tag.mask, label);
    }
}

#[test]
fn full_classes_are_built_and_every_label_comes_back() {
    let mut random = noise(3);
    for class in Class::all().filter(|class| class.capacity() <= 200_000) {
        let entries = list(class.capacity(), &mut random);
        let filter = build(class, &entries, &mut random).unwrap();
        let (tags, labels): (Vec<_>, Vec<_>) = entries.into_iter().map(|(tag, label)| (tag, Some(label))).unzip();
        assert_eq!(filter.look_up_all(&tags), labels, "{class:?}");
        assert_eq!(filter.probe(&mut |bytes| random.fill_bytes(bytes)), Ok(()), "{class:?}");
    }
}

/// The share of seeds that place a full list is what [`build::TRIES_MAX`] rests on.
#[test]
fn nearly_every_seed_places_a_full_list() {
    for (capacity, builds) in [(1_000, 600), (2_000, 300), (5_000, 200), (10_000, 80), (20_000, 40)] {
        let mut random = noise(capacity as u64);
        let (mut seeds, mut most) = (0, 0);
        for _ in 0..builds {
            let entries = list(capacity, &mut random);
            let mut tried = 0;
            let random = &mut |bytes: &mut [u8]| {
                tried += usize::from(bytes.len() == 8);
                random.fill_bytes(bytes);
            };
            Filter::build(class(capacity), &entries, random).unwrap();
            (seeds, most) = (seeds + tried, most.max(tried));
        }
        // One seed in thirty may fail, and by chance one in twenty.
        assert!(seeds * 19 <= builds * 20, "{capacity}: {seeds} seeds for {builds} lists");
        assert!(most <= 4, "{capacity}: {most} seeds for one list");
    }
}

#[test]
fn a_list_that_no_seed_places_is_refused_after_so_many_tries() {
    let mut random = noise(4);
    let entries = list(1_000, &mut random);
    // The same seed over and over, which is one of the few that do not place this list.
    let (mut refused, mut filters) = (0, 0);
    for seed in 0..400_u64 {
        let mut tried = 0;
        let same = &mut |bytes: &mut [u8]| {
            tried += 1;
            bytes.fill(0);
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
        };
        match Filter::build(class(1_000), &entries, same) {
            Ok(_) => filters += 1,
            Err(fault) => {
                refused += 1;
                assert_eq!((fault.reason(), tried), ("unplaceable", build::TRIES_MAX));
            }
        }
    }
    assert!(refused > 0 && filters > 370, "{refused} refused, {filters} not");
}

#[test]
fn repeats_are_refused() {
    let mut random = noise(5);
    let check = |length: usize, repeats: usize, random: &mut ChaCha8Rng| {
        let mut entries = list(length, random);
        let Tag { place, .. } = entries[length / 2].0;
        for _ in 0..repeats {
            let mut other = tag(random);
            other.place = place;
            entries.push((other, random.next_u32()));
        }
        assert_eq!(build(class(1_000), &entries, random), Err(Fault::Repeated), "{length} and {repeats}");
    };
    for repeats in [1, 2, 3, 253, 254, 255, 256, 257, 511, 999] {
        check(1, repeats, &mut random);
    }
    // So many that a count of them could begin anew, beside others that can be placed.
    for repeats in 250..260 {
        check(700, repeats, &mut random);
    }
    check(999, 1, &mut random);
    check(500, 500, &mut random);
    let twice = vec![(tag(&mut random), 7); 2];
    assert_eq!(build(class(1_000), &twice, &mut random).unwrap_err().reason(), "repeated");
}

#[test]
fn more_than_the_class_holds_is_refused() {
    let mut random = noise(6);
    let fault = build(class(1_000), &list(1_001, &mut random), &mut random).unwrap_err();
    assert_eq!(fault, Fault::TooManyEntries { entries: 1_001, capacity: 1_000 });
    assert_eq!(fault.reason(), "too-many-entries");
}

#[test]
fn truncated_and_extended_bytes_are_refused() {
    let mut random = noise(7);
    let whole = build(class(1_000), &list(10, &mut random), &mut random).unwrap();
    let bytes = whole.clone().into_bytes();
    assert_eq!(Filter::from_bytes(bytes.clone()), Ok(whole));
    for length in 0..bytes.len() {
        assert_eq!(reason(bytes[..length].to_vec()), "wrong-size", "{length}");
    }
    for more in (1..100).chain([class(2_000).bytes() - bytes.len()]) {
        assert_eq!(reason([bytes.as_slice(), &vec![0; more]].concat()), "wrong-size", "{more}");
    }
}

#[test]
fn changed_headers_are_refused() {
    let mut random = noise(8);
    let entries = list(1_000, &mut random);
    let bytes = build(class(1_000), &entries, &mut random).unwrap().into_bytes();
    for at in 0..16 {
        for change in 1..=255 {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            let expect = ["wrong-magic", "wrong-magic", "unknown-version", "unknown-class"][at / 4];
            assert_eq!(reason(changed), expect, "{change} at {at}");
        }
    }
    for other in Class::all().skip(1) {
        let mut changed = bytes.clone();
        changed[12..16].copy_from_slice(&(other.capacity() as u32).to_le_bytes());
        assert_eq!(reason(changed), "wrong-size", "{other:?}");
    }
    // Any seed may be right, as may any slots; only the signed hash tells. With another one nothing is found.
    let mut changed = bytes;
    changed[16] ^= 1;
    let filter = Filter::from_bytes(changed).unwrap();
    assert!(entries.iter().all(|(tag, _)| filter.look_up(tag).is_none()));
}

/// A header may name any class without that memory is taken for it.
#[test]
fn headers_alone_are_refused_for_what_they_lack() {
    for class in Class::all() {
        let capacity = class.capacity() as u32;
        let header = Header { magic: MAGIC, version: VERSION, capacity, seed: 5 }.to_bytes();
        let fault = Fault::WrongSize { expected: class.bytes(), actual: HEADER_BYTES };
        assert_eq!(Filter::from_bytes(header.to_vec()), Err(fault));
    }
}

/// How many of `trials` with a chance of one in `of` may come true, within five standard deviations.
fn plausible(trials: usize, of: f64) -> std::ops::RangeInclusive<f64> {
    let mean = trials as f64 / of;
    let deviation = (mean * (1.0 - 1.0 / of)).sqrt();
    mean - 5.0 * deviation..=mean + 5.0 * deviation
}

/// The full check would hit by chance once in 2^32 lookups; each part of 12 bits does once in 4,096, which is often enough to count.
#[test]
fn strangers_show_a_check_as_seldom_as_theory_says() {
    const PARTS: [u32; 5] = [0, 5, 10, 15, 20];
    let mut random = noise(9);
    for filter in empty_half_full(10_000, &mut random) {
        let (trials, mut counts, mut hits) = (1_000_000, [0; PARTS.len()], 0);
        for _ in 0..trials {
            let tag = tag(&mut random);
            let differ = (filter.reader().word(&tag) >> 32) as u32 ^ tag.check;
            hits += usize::from(filter.look_up(&tag).is_some());
            for (count, part) in counts.iter_mut().zip(PARTS) {
                *count += usize::from(differ >> part & 0xfff == 0);
            }
        }
        let plausible = plausible(trials, 4096.0);
        assert!(*plausible.end() < 2.0 * trials as f64 / 4096.0, "the bound is tighter than twice the theory");
        assert!(counts.iter().all(|&count| plausible.contains(&(count as f64))), "{counts:?} in {plausible:?}");
        assert_eq!(hits, 0);
    }
}

/// Pearson's statistic of the bytes has 255 degrees of freedom: a mean of 255, and a deviation of 22.6.
fn is_uniform(slots: &[u8]) -> bool {
    let mut counts = [0.0; 256];
    let mut ones = [0.0; 64];
    for slot in slots.as_chunks::<8>().0 {
        slot.iter().for_each(|&byte| counts[usize::from(byte)] += 1.0);
        let slot = u64::from_le_bytes(*slot);
        ones.iter_mut().enumerate().for_each(|(bit, ones)| *ones += (slot >> bit & 1) as f64);
    }
    let expected = slots.len() as f64 / 256.0;
    let statistic: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
    let half = plausible(slots.len() / 8, 2.0);
    (142.0..=368.0).contains(&statistic) && ones.iter().all(|ones| half.contains(ones))
}

#[test]
fn slots_look_random_whatever_is_listed() {
    let mut random = noise(10);
    for filter in empty_half_full(10_000, &mut random) {
        let slots = &filter.as_bytes()[HEADER_BYTES..];
        assert!(is_uniform(slots));
        let different: HashSet<_> = slots.as_chunks::<8>().0.iter().collect();
        assert_eq!(different.len(), slots.len() / 8, "no two slots are the same");
        // Those that are never first slots, and those of each quarter, could differ from the rest.
        for quarter in slots.chunks(slots.len() / 4 / 8 * 8) {
            assert!(quarter.len() < 1_000 || is_uniform(quarter));
        }
    }
    // The test itself can tell: a twentieth of empty slots, or labels without masks, would be seen.
    let mut sparse = empty_half_full(10_000, &mut random)[0].as_bytes()[HEADER_BYTES..].to_vec();
    sparse.as_chunks_mut::<8>().0.iter_mut().step_by(20).for_each(|slot| *slot = [0; 8]);
    assert!(!is_uniform(&sparse));
}

/// Labels are hidden by their masks only: the slots of a list with all labels zero must look random too.
#[test]
fn equal_labels_do_not_show() {
    let mut random = noise(11);
    let entries: Vec<_> = list(10_000, &mut random).into_iter().map(|(tag, _)| (tag, 0)).collect();
    let filter = build(class(10_000), &entries, &mut random).unwrap();
    assert!(is_uniform(&filter.as_bytes()[HEADER_BYTES..]));
}

#[test]
fn probes_are_random_tags_and_a_hit_is_a_fault() {
    let mut random = noise(12);
    let entries = list(1_000, &mut random);
    let filter = build(class(1_000), &entries, &mut random).unwrap();
    let mut probed = 0;
    let honest = filter.probe(&mut |bytes| {
        probed += bytes.len();
        random.fill_bytes(bytes);
    });
    assert_eq!((honest, probed), (Ok(()), 1_000 * TAG_BYTES));
    // A thousandth tag that is listed stands for a filter that hits without reason.
    let mut probed = 0;
    let fault = filter.probe(&mut |bytes| {
        probed += 1;
        random.fill_bytes(bytes);
        if probed == PROBES {
            bytes.copy_from_slice(&entries[500].0.to_bytes());
        }
    });
    assert_eq!(fault.unwrap_err().reason(), "hits-everything");
}

#[test]
fn the_same_randomness_gives_the_same_filter_and_another_one_another() {
    let mut random = noise(13);
    let entries = list(700, &mut random);
    let build = |seed| build(class(1_000), &entries, &mut noise(seed)).unwrap();
    assert_eq!(build(1), build(1));
    let (one, two) = (build(1), build(2));
    let slots = |filter: &Filter| filter.as_bytes()[HEADER_BYTES..].as_chunks::<8>().0.to_vec();
    assert!(slots(&one).iter().zip(slots(&two)).all(|(one, two)| *one != two));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_listed_is_found_with_its_label_and_nothing_else_is(length in 0..=2_000_usize, seed: u64) {
        let mut random = noise(seed);
        let entries = list(length, &mut random);
        let class = Class::holding(length).unwrap();
        let filter = build(class, &entries, &mut random).unwrap();
        for (tag, label) in &entries {
            prop_assert_eq!(filter.look_up(tag), Some(*label));
        }
        let strangers: Vec<_> = (0..length).map(|_| tag(&mut random)).collect();
        prop_assert!(strangers.iter().all(|tag| filter.look_up(tag).is_none()));
        // The place alone is not enough.
        for (tag, _) in &entries {
            let mut other = tag.clone();
            other.check ^= 1 << (random.next_u32() % 32);
            prop_assert_eq!(filter.look_up(&other), None);
        }
        // Many at once are found as one by one are, in any mixture and number.
        let mixed: Vec<_> = entries.iter().map(|(tag, _)| tag.clone()).zip(strangers).flat_map(|(a, b)| [a, b]).collect();
        let mixed = &mixed[..mixed.len() - (seed as usize % (mixed.len() + 1))];
        let one_by_one: Vec<_> = mixed.iter().map(|tag| filter.look_up(tag)).collect();
        prop_assert_eq!(filter.look_up_all(mixed), one_by_one);
        // Bytes come back, and say the same.
        let again = Filter::from_bytes(filter.as_bytes().to_vec()).unwrap();
        prop_assert!(again == filter);
        prop_assert_eq!(again.into_bytes(), filter.into_bytes());
    }

    #[test]
    fn removals_and_new_labels_are_entries_of_deltas(length in 2..=1_000_usize, seed: u64) {
        let mut random = noise(seed);
        let entries = list(length, &mut random);
        let (removed, kept) = entries.split_at(length / 2);
        let list = build(Class::holding(length).unwrap(), &entries, &mut random).unwrap();
        let changes: Vec<_> = removed.iter().map(|(tag, label)| (tag.clone(), REMOVED | label & 0xff_ffff)).collect();
        let delta = build(Class::holding(changes.len()).unwrap(), &changes, &mut random).unwrap();
        let newest = |tag| delta.look_up(tag).or_else(|| list.look_up(tag));
        prop_assert!(removed.iter().all(|(tag, _)| newest(tag).is_some_and(|label| label >> 27 == 31)));
        prop_assert!(kept.iter().all(|(tag, label)| newest(tag) == Some(*label)));
        // A rebuilt list lacks what was removed.
        let rebuilt = build(Class::holding(kept.len()).unwrap(), kept, &mut random).unwrap();
        prop_assert!(removed.iter().all(|(tag, _)| rebuilt.look_up(tag).is_none()));
    }

    #[test]
    fn the_four_slots_are_in_the_filter_and_in_segments_in_a_row(chosen in 0..14_usize, hash: u64, extreme in 0..4_u8) {
        let class = Class::all().nth(chosen).unwrap();
        let hash = match extreme { 0 => 0, 1 => u64::MAX, 2 => hash | u64::MAX << 40, _ => hash };
        let (layout, mut segments) = (class.layout(), HashSet::new());
        for slot in layout.slots(hash) {
            prop_assert!(slot < class.slots());
            segments.insert(slot >> layout.segment_bits);
        }
        prop_assert_eq!(segments.len(), SLOTS_PER_TAG);
        prop_assert_eq!(segments.iter().max().unwrap() - segments.iter().min().unwrap(), SLOTS_PER_TAG - 1);
    }

    #[test]
    fn any_bytes_are_refused_by_name_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200), known in 0..4_usize) {
        let mut bytes = bytes;
        let header = Header { magic: MAGIC, version: VERSION, capacity: 1_000, seed: 0 }.to_bytes();
        let known = bytes.len().min([0, 8, 12, 16][known]);
        bytes[..known].copy_from_slice(&header[..known]);
        let reason = reason(bytes);
        prop_assert!(["wrong-magic", "unknown-version", "unknown-class", "wrong-size"].contains(&reason), "{}", reason);
    }
}
