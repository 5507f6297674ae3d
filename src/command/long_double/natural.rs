//! Whole numbers of any size, for the digits of a text. Knows no sign and no fraction; sizes are
//! bounded by the length of the texts that they come from.

/// A whole number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural {
    /// Words of 32 bits, the low ones first, the last one not zero.
    words: Vec<u32>,
}

/// The largest power of ten in a word, and its digits.
const TEN: u32 = 1_000_000_000;
const TEN_DIGITS: usize = 9;

impl From<u64> for Natural {
    fn from(number: u64) -> Natural {
        let mut words = vec![number as u32, (number >> 32) as u32];
        trim(&mut words);
        Natural { words }
    }
}

impl Natural {
    /// Whether it is 0.
    pub(super) fn is_zero(&self) -> bool {
        self.words.is_empty()
    }

    /// How many bits it has.
    pub(super) fn bits(&self) -> u32 {
        let top = self.words.last().map_or(0, |word| word.leading_zeros());
        self.words.len() as u32 * 32 - top
    }

    /// Multiplies it by 10^`power`.
    pub(super) fn multiply_ten(&mut self, power: u32) {
        for _ in 0..power as usize / TEN_DIGITS {
            self.multiply(TEN, 0);
        }
        self.multiply(10u32.pow(power % TEN_DIGITS as u32), 0);
    }

    /// Multiplies it and adds: a digit behind the others.
    pub(super) fn multiply(&mut self, by: u32, plus: u32) {
        let mut carry = u64::from(plus);
        for word in &mut self.words {
            carry += u64::from(*word) * u64::from(by);
            *word = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.words.push(carry as u32);
        }
    }

    /// Times 2^`bits`.
    pub(super) fn shifted(mut self, bits: u32) -> Natural {
        if !self.is_zero() {
            self.multiply(1 << (bits % 32), 0);
            let low = std::iter::repeat_n(0, bits as usize / 32);
            self.words.splice(0..0, low);
        }
        self
    }

    /// Times 2.
    pub(super) fn double(&mut self) {
        self.multiply(2, 0);
    }

    /// Takes `other` away, if it is not larger; whether it was not.
    pub(super) fn subtract(&mut self, other: &Natural) -> bool {
        let (ours, theirs) = (self.words.len(), other.words.len());
        let larger = ours > theirs
            || (ours == theirs && self.words.iter().rev().ge(other.words.iter().rev()));
        if !larger {
            return false;
        }
        let mut borrow = false;
        for (i, word) in self.words.iter_mut().enumerate() {
            let away = other.words.get(i).copied().unwrap_or(0);
            let (less, under) = word.overflowing_sub(away);
            let (less, again) = less.overflowing_sub(u32::from(borrow));
            (*word, borrow) = (less, under || again);
        }
        trim(&mut self.words);
        true
    }

    /// Appends its decimal digits.
    pub(super) fn write(mut self, out: &mut Vec<u8>) {
        let start = out.len();
        while !self.is_zero() {
            let mut part = self.divide_ten();
            for _ in 0..TEN_DIGITS {
                out.push(b'0' + (part % 10) as u8);
                part /= 10;
            }
        }
        while out.len() > start + 1 && out.last() == Some(&b'0') {
            out.pop();
        }
        if out.len() == start {
            out.push(b'0');
        }
        out[start..].reverse();
    }

    /// Divides it by 10⁹; the remainder.
    fn divide_ten(&mut self) -> u32 {
        let mut rest = 0u64;
        for word in self.words.iter_mut().rev() {
            let number = rest << 32 | u64::from(*word);
            *word = (number / u64::from(TEN)) as u32;
            rest = number % u64::from(TEN);
        }
        trim(&mut self.words);
        rest as u32
    }
}

fn trim(words: &mut Vec<u32>) {
    while words.last() == Some(&0) {
        words.pop();
    }
}
