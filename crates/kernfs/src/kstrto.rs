//! Numbers and switches as the kernel reads them (`lib/kstrtox.c`), and the `sscanf` of `lib/vsprintf.c` as far as drivers
//! use it.
//!
//! All take the bytes of a write. The kernel ends the text with a NUL, so what follows a NUL does not count, and one newline
//! at the end is as good as none.

use rustix::io::Errno;

/// The bytes up to the first NUL.
pub fn c_str(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or(text)
}

/// An unsigned number: decimal, or octal after `0`, or hexadecimal after `0x` when `base` is 0 (`kstrtoull`).
///
/// # Errors
/// `EINVAL` when it is no number, `ERANGE` when it does not fit.
pub fn ull(text: &[u8], base: u32) -> Result<u64, Errno> {
    let text = c_str(text);
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let (digits, base) = radix(text, base);
    let length = digits
        .iter()
        .take_while(|byte| char::from(**byte).is_digit(base))
        .count();
    let mut value: Option<u64> = Some(0);
    for byte in &digits[..length] {
        let digit = char::from(*byte).to_digit(base).unwrap_or(0);
        value = value
            .and_then(|value| value.checked_mul(u64::from(base)))
            .and_then(|value| value.checked_add(u64::from(digit)));
    }
    let value = value.ok_or(Errno::RANGE)?;
    match &digits[length..] {
        b"" | b"\n" if length > 0 => Ok(value),
        _ => Err(Errno::INVAL),
    }
}

/// The digits after the prefix, and their base (`_parse_integer_fixup_radix`).
fn radix(text: &[u8], base: u32) -> (&[u8], u32) {
    let is_hex = matches!(text, [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit());
    match base {
        0 if is_hex => (&text[2..], 16),
        0 if text.first() == Some(&b'0') => (text, 8),
        0 => (text, 10),
        16 if matches!(text, [b'0', b'x' | b'X', ..]) => (&text[2..], 16),
        base => (text, base),
    }
}

/// A signed number (`kstrtoll`).
///
/// # Errors
/// As [`ull`].
pub fn ll(text: &[u8], base: u32) -> Result<i64, Errno> {
    match c_str(text).strip_prefix(b"-") {
        Some([b'+', ..]) => Err(Errno::INVAL),
        Some(text) => {
            let value = ull(text, base)?;
            0i64.checked_sub_unsigned(value).ok_or(Errno::RANGE)
        }
        None => i64::try_from(ull(text, base)?).map_err(|_| Errno::RANGE),
    }
}

macro_rules! unsigned {
    ($($name:ident, $type:ty, $kernel:literal;)*) => {$(
        #[doc = concat!("An unsigned number (`", $kernel, "`).")]
        ///
        /// # Errors
        /// As [`ull`].
        pub fn $name(text: &[u8], base: u32) -> Result<$type, Errno> {
            <$type>::try_from(ull(text, base)?).map_err(|_| Errno::RANGE)
        }
    )*};
}

unsigned! {
    u8, u8, "kstrtou8";
    u16, u16, "kstrtou16";
    uint, u32, "kstrtouint";
}

/// A signed number (`kstrtoint`).
///
/// # Errors
/// As [`ull`].
pub fn int(text: &[u8], base: u32) -> Result<i32, Errno> {
    i32::try_from(ll(text, base)?).map_err(|_| Errno::RANGE)
}

/// A switch, of which only the beginning counts: `y`, `t`, `1` and `on`, `n`, `f`, `0` and `of` (`kstrtobool`).
///
/// # Errors
/// `EINVAL` for anything else.
pub fn bool(text: &[u8]) -> Result<bool, Errno> {
    match c_str(text) {
        [b'y' | b'Y' | b't' | b'T' | b'1', ..] => Ok(true),
        [b'n' | b'N' | b'f' | b'F' | b'0', ..] => Ok(false),
        [b'o' | b'O', b'n' | b'N', ..] => Ok(true),
        [b'o' | b'O', b'f' | b'F', ..] => Ok(false),
        _ => Err(Errno::INVAL),
    }
}

/// The text of a `sscanf`, read from the left. White space before a number is skipped, and what is left over at the end is
/// nobody's business, as there.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    /// Begins to read.
    pub fn new(text: &'a [u8]) -> Self {
        Scan(c_str(text))
    }

    /// `%u`: an unsigned number, of which the lower 32 bits are taken.
    pub fn uint(&mut self) -> Option<u32> {
        self.skip_space();
        self.digits().map(|value| value as u32)
    }

    /// `%d`: a signed number, of which the lower 32 bits are taken.
    pub fn int(&mut self) -> Option<i32> {
        self.skip_space();
        match self.0.strip_prefix(b"-") {
            Some(rest) => {
                self.0 = rest;
                self.digits().map(|value| (value as i32).wrapping_neg())
            }
            None => self.digits().map(|value| value as i32),
        }
    }

    /// `%x`: a hexadecimal number, with or without `0x`, of which the lower 32 bits are taken.
    pub fn hex(&mut self) -> Option<u32> {
        self.skip_space();
        if matches!(self.0, [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit()) {
            self.0 = &self.0[2..];
        }
        let length = self.0.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        (length > 0).then(|| {
            let digits = digits
                .iter()
                .filter_map(|byte| char::from(*byte).to_digit(16));
            digits.fold(0u32, |value, digit| value.wrapping_shl(4) | digit)
        })
    }

    /// This very character.
    pub fn literal(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == byte).then(|| self.0 = rest)
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Skips white space, as a blank in the format does.
    pub fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn digits(&mut self) -> Option<u64> {
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        (length > 0).then(|| {
            digits.iter().fold(0u64, |value, digit| {
                value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
            })
        })
    }
}
