//! A number of things, in words: `1 device`, `2 devices`.

use std::fmt;

/// A number, and the name of one of the things that it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<T>(pub T, pub &'static str);

impl<T: Copy + fmt::Display + PartialEq + From<u8>> fmt::Display for Count<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, name) = *self;
        write!(f, "{number} {name}{}", if number == T::from(1) { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let texts = [0_usize, 1, 2].map(|number| Count(number, "device").to_string());
        assert_eq!(texts, ["0 devices", "1 device", "2 devices"]);
        assert_eq!(Count(1_u64, "wrong line").to_string(), "1 wrong line");
    }
}
