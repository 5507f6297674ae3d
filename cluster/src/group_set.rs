//! A set of groups: which of all groups a node keeps, or which a question is about. Knows nothing
//! of who keeps them.

use crate::slot::{GROUPS, Group};

const WORDS: usize = GROUPS as usize / 64;

/// Some of all groups, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSet([u64; WORDS]);

impl GroupSet {
    /// How many words a set is.
    pub const WORDS: usize = WORDS;

    /// As words: the lowest bit of the first is group 0.
    pub fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    /// From words.
    pub fn from_words(words: [u64; WORDS]) -> GroupSet {
        GroupSet(words)
    }

    /// Whether the group is one of them.
    #[inline]
    pub fn contains(&self, group: Group) -> bool {
        let number = usize::from(group.number());
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    /// Adds a group.
    pub fn insert(&mut self, group: Group) {
        let number = usize::from(group.number());
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// Takes a group out.
    pub fn remove(&mut self, group: Group) {
        let number = usize::from(group.number());
        self.0[number / 64] &= !(1 << (number % 64));
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether they are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether they are all there are.
    pub fn is_full(&self) -> bool {
        self.0.iter().all(|word| *word == u64::MAX)
    }

    /// They in order.
    pub fn iter(&self) -> impl Iterator<Item = Group> {
        self.0.iter().zip((0..GROUPS).step_by(64)).flat_map(|(word, first)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as u16;
                left &= left.wrapping_sub(1);
                (bit < 64).then(|| Group::new(first + bit)).flatten()
            })
        })
    }
}

impl FromIterator<Group> for GroupSet {
    fn from_iter<I: IntoIterator<Item = Group>>(groups: I) -> GroupSet {
        let mut set = GroupSet::default();
        groups.into_iter().for_each(|group| set.insert(group));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::GroupSet;
    use crate::slot::{GROUPS, Group};

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let odd: GroupSet = Group::all().filter(|group| group.number() % 2 == 1).collect();
        assert!(Group::all().all(|group| odd.contains(group) == (group.number() % 2 == 1)));
        assert_eq!(odd.len(), usize::from(GROUPS) / 2);
        assert!(odd.iter().map(Group::number).eq((1..GROUPS).step_by(2)));
        assert!(!odd.is_full() && !odd.is_empty());
        assert!(Group::all().collect::<GroupSet>().is_full());
        assert!(GroupSet::default().is_empty());
        let mut none = odd.clone();
        odd.iter().for_each(|group| none.remove(group));
        assert_eq!(none, GroupSet::default());
        assert_eq!(none.iter().next(), None);
    }
}
