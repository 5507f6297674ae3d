//! Which arguments of a command are keys, and what it does to them.

/// What a command does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFlag {
    /// Reads it.
    Ro,
    /// Reads and writes it.
    Rw,
    /// Overwrites it.
    Ow,
    /// Removes it.
    Rm,
    /// Tells of its value.
    Access,
    /// Changes its value.
    Update,
    /// Adds to its value without changing what was there.
    Insert,
    /// Takes from its value.
    Delete,
    /// Not a key, but routed like one.
    NotKey,
    /// There may be more keys than this tells.
    Incomplete,
    /// The others depend on options.
    VariableFlags,
}

impl KeyFlag {
    /// Its name as COMMAND gives it.
    pub const fn name(self) -> &'static str {
        match self {
            KeyFlag::Ro => "RO",
            KeyFlag::Rw => "RW",
            KeyFlag::Ow => "OW",
            KeyFlag::Rm => "RM",
            KeyFlag::Access => "access",
            KeyFlag::Update => "update",
            KeyFlag::Insert => "insert",
            KeyFlag::Delete => "delete",
            KeyFlag::NotKey => "not_key",
            KeyFlag::Incomplete => "incomplete",
            KeyFlag::VariableFlags => "variable_flags",
        }
    }
}

/// A run of keys at fixed positions among the arguments.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Position of the first one, counted with the command's name.
    pub first: u16,
    /// The last one, counted from the first; negative: from the end of the arguments.
    pub last: i16,
    /// Distance from one to the next.
    pub step: u16,
    /// What is done to them, in the order COMMAND tells it.
    pub flags: &'static [KeyFlag],
    /// A remark.
    pub notes: Option<&'static str>,
}

impl KeySpec {
    /// One key, at this position.
    pub(in crate::command) const fn at(first: u16, flags: &'static [KeyFlag]) -> KeySpec {
        KeySpec { first, last: 0, step: 1, flags, notes: None }
    }

    pub(in crate::command) const fn to(mut self, last: i16, step: u16) -> KeySpec {
        self.last = last;
        self.step = step;
        self
    }

    pub(in crate::command) const fn notes(mut self, notes: &'static str) -> KeySpec {
        self.notes = Some(notes);
        self
    }

    /// Positions of its keys among `args` arguments, all names included.
    pub fn positions(&self, args: usize) -> impl Iterator<Item = usize> + use<> {
        let first = usize::from(self.first);
        let distance = usize::from(self.last.unsigned_abs());
        let end = match self.last {
            ..0 => (args + 1).saturating_sub(distance),
            0.. => first + distance + 1,
        };
        (first..end.min(args)).step_by(usize::from(self.step))
    }
}
