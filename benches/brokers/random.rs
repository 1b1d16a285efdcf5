//! Which of many? The same in each run, and in no order that a cache could know.

/// Numbers below a bound (SplitMix64).
pub fn random(seed: u64, bound: usize) -> impl Iterator<Item = usize> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    })
}

/// The numbers below a bound, in an order of the seed's.
pub fn shuffled(seed: u64, bound: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..bound).collect();
    let keys: Vec<usize> = random(seed, usize::MAX).take(bound).collect();
    numbers.sort_by_key(|n| keys[*n]);
    numbers
}
