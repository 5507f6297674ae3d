//! Copies of groups on their way in, kept apart until they are whole: what this node has of a group
//! may be the last copy, should the one who sends die. What there is no room for is not kept. Knows
//! no engine.

use bytes::Bytes;
use cluster::node::NodeId;
use cluster::slot::Group;
use std::collections::BTreeMap;

/// Copies that are not whole yet.
#[derive(Debug)]
pub(super) struct Staging {
    coming: BTreeMap<Group, Coming>,
    bytes: u64,
    bytes_max: u64,
}

#[derive(Debug)]
struct Coming {
    from: NodeId,
    id: u64,
    /// `None`: there was no room for it.
    parts: Option<Vec<Bytes>>,
}

/// What becomes of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is kept.
    Kept,
    /// It is to be applied now, as those before it were.
    Passed,
    /// There is no room: these are to be applied now, in the place of what there was of the group.
    Over(Vec<Bytes>),
}

impl Staging {
    /// Keeps so many bytes at most.
    pub(super) fn new(bytes_max: u64) -> Staging {
        Staging { coming: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// A copy begins to come; one of the group that came before it does not matter any more.
    pub(super) fn begin(&mut self, group: Group, from: NodeId, id: u64) {
        self.forget(group);
        self.coming.insert(group, Coming { from, id, parts: Some(Vec::new()) });
    }

    /// A part of it.
    pub(super) fn put(&mut self, group: Group, part: Bytes) -> Part {
        let Some(coming) = self.coming.get_mut(&group) else { return Part::Over(vec![part]) };
        let Some(parts) = &mut coming.parts else { return Part::Passed };
        let bytes = part.len() as u64;
        parts.push(part);
        self.bytes += bytes;
        if self.bytes <= self.bytes_max {
            return Part::Kept;
        }
        let parts = coming.parts.take().unwrap_or_default();
        self.bytes -= size(&parts);
        Part::Over(parts)
    }

    /// All of it has come: what was kept; `None` when it was applied as it came.
    pub(super) fn take(&mut self, group: Group, id: u64) -> Option<Vec<Bytes>> {
        let coming = self.coming.remove(&group)?;
        let parts = coming.parts?;
        self.bytes -= size(&parts);
        (coming.id == id).then_some(parts)
    }

    /// What has come of the group does not matter any more.
    pub(super) fn forget(&mut self, group: Group) {
        if let Some(parts) = self.coming.remove(&group).and_then(|coming| coming.parts) {
            self.bytes -= size(&parts);
        }
    }

    /// Nothing more comes of this copy.
    pub(super) fn end(&mut self, group: Group, from: NodeId, id: u64) {
        if self.coming.get(&group).is_some_and(|coming| (coming.from, coming.id) == (from, id)) {
            self.forget(group);
        }
    }

    /// Nothing more comes from the node.
    pub(super) fn forget_from(&mut self, node: NodeId) {
        let of_node = self.coming.iter().filter(|(_, coming)| coming.from == node);
        let groups: Vec<Group> = of_node.map(|(group, _)| *group).collect();
        groups.into_iter().for_each(|group| self.forget(group));
    }
}

fn size(parts: &[Bytes]) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::{Part, Staging};
    use bytes::Bytes;
    use cluster::node::NodeId;
    use cluster::slot::Group;

    #[test]
    fn what_there_is_room_for_is_kept_until_it_is_whole() {
        let mut staging = Staging::new(10);
        let group = |number| Group::new(number).expect("a group");
        let (one, two) = (NodeId::new(1).expect("not 0"), NodeId::new(2).expect("not 0"));
        let part = |text: &'static str| Bytes::from_static(text.as_bytes());
        staging.begin(group(1), one, 7);
        staging.begin(group(2), two, 8);
        assert_eq!(staging.put(group(1), part("12345")), Part::Kept);
        assert_eq!(staging.put(group(2), part("1234")), Part::Kept);
        let over = Part::Over(vec![part("1234"), part("56")]);
        assert_eq!(staging.put(group(2), part("56")), over);
        assert_eq!(staging.put(group(2), part("7")), Part::Passed);
        assert_eq!(staging.take(group(2), 8), None);
        assert_eq!(staging.take(group(1), 7), Some(vec![part("12345")]));
        staging.begin(group(1), one, 9);
        assert_eq!(staging.put(group(1), part("1234567890")), Part::Kept);
        staging.end(group(1), one, 8);
        staging.end(group(1), two, 9);
        assert_eq!(staging.bytes, 10);
        staging.end(group(1), one, 9);
        assert_eq!(staging.bytes, 0);
        staging.begin(group(1), one, 9);
        assert_eq!(staging.put(group(1), part("1234567890")), Part::Kept);
        staging.forget_from(one);
        assert_eq!(staging.take(group(1), 9), None);
        staging.begin(group(3), two, 10);
        assert_eq!(staging.put(group(3), part("1234567890")), Part::Kept);
    }
}
