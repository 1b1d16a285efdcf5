//! Which of many? The same in each run, and in no order that a cache could know.

use support::random::Random;

/// Numbers below a bound.
pub fn random(seed: u64, bound: usize) -> impl Iterator<Item = usize> {
    let mut numbers = Random::new(seed);
    std::iter::repeat_with(move || numbers.below(bound))
}

/// The numbers below a bound, in an order of the seed's.
pub fn shuffled(seed: u64, bound: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..bound).collect();
    let keys: Vec<usize> = random(seed, usize::MAX).take(bound).collect();
    numbers.sort_by_key(|n| keys[*n]);
    numbers
}
