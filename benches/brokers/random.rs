//! Which of many? The same in each run, and in an order that a cache cannot predict.

use fastrand::Rng;

/// Numbers below a bound.
pub fn random(seed: u64, bound: usize) -> impl Iterator<Item = usize> {
    let mut random = Rng::with_seed(seed);
    std::iter::repeat_with(move || random.usize(..bound))
}

/// The numbers below a bound, in an order that depends on the seed.
pub fn shuffled(seed: u64, bound: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..bound).collect();
    Rng::with_seed(seed).shuffle(&mut numbers);
    numbers
}
