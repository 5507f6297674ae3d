//! Where a key belongs: CRC16 with hash tags to one of 16384 slots, 16 slots to a group.
//! Knows nothing of who keeps a group; that is `topology`.

use serde::{Deserialize, Serialize};

/// Number of hash slots, as in the Redis Cluster specification ("Key distribution model").
pub const SLOTS: u16 = 16384;
/// Slots in a group.
pub const SLOTS_PER_GROUP: u16 = 16;
/// Number of groups: the unit of placement, replication and migration.
pub const GROUPS: u16 = SLOTS / SLOTS_PER_GROUP;

const _: () = assert!(SLOTS.is_power_of_two() && SLOTS_PER_GROUP.is_power_of_two());

/// One of [`SLOTS`] hash slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

/// One of [`GROUPS`] groups of consecutive slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Group(u16);

impl Slot {
    /// The slot of `key`: CRC16/XMODEM of the hash tag, or of the whole key without one.
    #[inline]
    pub fn of(key: &[u8]) -> Slot {
        Slot(crc16(hash_tag(key)) & (SLOTS - 1))
    }

    /// The slot with this number, or `None` at [`SLOTS`] and above.
    pub fn new(number: u16) -> Option<Slot> {
        (number < SLOTS).then_some(Slot(number))
    }

    /// Its number, below [`SLOTS`].
    #[inline]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The group it belongs to.
    #[inline]
    pub fn group(self) -> Group {
        Group(self.0 / SLOTS_PER_GROUP)
    }
}

impl Group {
    /// The group with this number, or `None` at [`GROUPS`] and above.
    pub fn new(number: u16) -> Option<Group> {
        (number < GROUPS).then_some(Group(number))
    }

    /// Its number, below [`GROUPS`].
    #[inline]
    pub fn number(self) -> u16 {
        self.0
    }

    /// All groups in order.
    pub fn all() -> impl Iterator<Item = Group> {
        (0..GROUPS).map(Group)
    }
}

impl TryFrom<u16> for Group {
    type Error = &'static str;

    fn try_from(number: u16) -> Result<Group, &'static str> {
        Group::new(number).ok_or("no such group")
    }
}

impl From<Group> for u16 {
    fn from(group: Group) -> u16 {
        group.0
    }
}

/// The part of a key that is hashed: what stands between the first `{` and the next `}`, if not
/// empty; else the whole key.
#[inline]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    // Without a way out of the loop, so that it looks at many bytes at once; most keys have no tag.
    if !key.iter().fold(false, |found, &b| found | (b == b'{')) {
        return key;
    }
    let Some(open) = key.iter().position(|&b| b == b'{') else {
        return key;
    };
    let rest = &key[open + 1..];
    match rest.iter().position(|&b| b == b'}') {
        Some(close) if close > 0 => &rest[..close],
        _ => key,
    }
}

/// CRC16/XMODEM (polynomial 0x1021, start 0), eight bytes a step by eight tables ("slicing by 8").
#[inline]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let mut chunks = bytes.chunks_exact(8);
    for c in &mut chunks {
        let hi = c[0] ^ (crc >> 8) as u8;
        let lo = c[1] ^ crc as u8;
        crc = TABLES[7][hi as usize]
            ^ TABLES[6][lo as usize]
            ^ TABLES[5][c[2] as usize]
            ^ TABLES[4][c[3] as usize]
            ^ TABLES[3][c[4] as usize]
            ^ TABLES[2][c[5] as usize]
            ^ TABLES[1][c[6] as usize]
            ^ TABLES[0][c[7] as usize];
    }
    for &b in chunks.remainder() {
        crc = (crc << 8) ^ TABLES[0][((crc >> 8) as u8 ^ b) as usize];
    }
    crc
}

/// `TABLES[k][b]` is the CRC of byte `b` followed by `k` zero bytes.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut t = [[0u16; 256]; 8];
    let mut b = 0;
    while b < 256 {
        let mut crc = (b as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        t[0][b] = crc;
        b += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut b = 0;
        while b < 256 {
            let prev = t[k - 1][b];
            t[k][b] = (prev << 8) ^ t[0][(prev >> 8) as usize];
            b += 1;
        }
        k += 1;
    }
    t
}

#[cfg(test)]
mod tests {
    use super::{Slot, crc16, hash_tag};

    #[test]
    fn the_specifications_check_value() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn slots_that_redis_gives() {
        for (key, slot) in [("foo", 12182), ("", 0), ("bar", 5061), ("{user1000}.following", 3443)]
        {
            assert_eq!(Slot::of(key.as_bytes()).number(), slot, "{key}");
        }
    }

    #[test]
    fn hash_tags() {
        assert_eq!(hash_tag(b"{user1000}.a"), b"user1000");
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar"), b"foo{bar");
    }

    #[test]
    fn eight_at_a_time_equals_one_at_a_time() {
        let data: Vec<u8> = (0..200u16).map(|i| (i * 37 % 251) as u8).collect();
        for len in 0..data.len() {
            let mut crc = 0u16;
            for &b in &data[..len] {
                crc ^= u16::from(b) << 8;
                for _ in 0..8 {
                    crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
                }
            }
            assert_eq!(crc16(&data[..len]), crc);
        }
    }
}
