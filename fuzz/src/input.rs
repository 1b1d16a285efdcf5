//! The fuzzer's bytes as choices.

/// What is left of an input. Behind its end there are zeroes.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below another.
    pub fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    pub fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn long(&mut self) -> u32 {
        u32::from(self.short()) << 16 | u32::from(self.short())
    }

    pub fn pick<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[usize::from(self.byte()) % N]
    }

    /// Any text: its length, and then its bytes, of which there may be fewer.
    pub fn text(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text
    }

    /// A text of a kind of its own, where the fuzzer has none.
    pub fn text_or(&mut self, usual: &[u8]) -> Vec<u8> {
        match self.text() {
            [] => usual.to_vec(),
            text => text.to_vec(),
        }
    }

    /// Changes a text in up to three places, or leaves it.
    pub fn edit(&mut self, text: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            let at = usize::from(self.byte()).min(text.len());
            match self.below(5) {
                0 => text.insert(at, self.byte()),
                1 if at < text.len() => text[at] = self.byte(),
                2 => text.truncate(at),
                3 if at < text.len() => drop(text.remove(at)),
                _ => {
                    let run = vec![self.byte(); usize::from(self.short() % 1200)];
                    drop(text.splice(at..at, run));
                }
            }
        }
    }
}
