//! What a command is for, as COMMAND DOCS tells it. Texts follow the command descriptions of Redis
//! 7.2 (BSD-3-Clause).

/// Documentation of a command.
#[derive(Clone, Copy, Debug)]
pub struct Docs {
    /// One sentence.
    pub summary: &'static str,
    /// Version of Redis that brought it; of CrabCache for its own commands.
    pub since: &'static str,
    /// Functional group, such as `string`.
    pub group: &'static str,
    /// Time complexity.
    pub complexity: Option<&'static str>,
    /// Meant for the system, not for users.
    pub system: bool,
    /// Since when it is deprecated, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Versions that changed it, and how.
    pub history: &'static [(&'static str, &'static str)],
    /// Its arguments.
    pub arguments: &'static [Argument],
}

impl Docs {
    pub(super) const NONE: Docs = Docs::new("", "", "");

    pub(in crate::command) const fn new(
        summary: &'static str,
        since: &'static str,
        group: &'static str,
    ) -> Docs {
        Docs {
            summary,
            since,
            group,
            complexity: None,
            system: false,
            deprecated: None,
            history: &[],
            arguments: &[],
        }
    }

    pub(in crate::command) const fn complexity(mut self, text: &'static str) -> Docs {
        self.complexity = Some(text);
        self
    }

    pub(in crate::command) const fn system(mut self) -> Docs {
        self.system = true;
        self
    }

    pub(in crate::command) const fn deprecated(
        mut self,
        since: &'static str,
        instead: &'static str,
    ) -> Docs {
        self.deprecated = Some((since, instead));
        self
    }

    pub(in crate::command) const fn history(
        mut self,
        history: &'static [(&'static str, &'static str)],
    ) -> Docs {
        self.history = history;
        self
    }

    pub(in crate::command) const fn arguments(mut self, list: &'static [Argument]) -> Docs {
        self.arguments = list;
        self
    }
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string of bytes.
    String,
    /// An integer.
    Integer,
    /// A number with a fraction.
    Double,
    /// A key.
    Key,
    /// A glob pattern.
    Pattern,
    /// A moment, in seconds or milliseconds since the Unix epoch.
    UnixTime,
    /// A word by itself.
    PureToken,
    /// One of its arguments.
    OneOf,
    /// All of its arguments.
    Block,
}

impl Kind {
    /// Its name as COMMAND DOCS gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Key => "key",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::PureToken => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }
}

/// An argument of a command.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// How to show it, if not by its name.
    pub display: Option<&'static str>,
    /// Which of the command's key specifications it belongs to.
    pub key_spec: Option<u8>,
    /// The word before it, or itself for a [`Kind::PureToken`].
    pub token: Option<&'static str>,
    /// The version that brought it, if later than the command.
    pub since: Option<&'static str>,
    /// Since when it is deprecated.
    pub deprecated: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Repeated with its word each time.
    pub multiple_token: bool,
    /// What a [`Kind::OneOf`] or [`Kind::Block`] consists of.
    pub arguments: &'static [Argument],
}

/// Making arguments: used by the table alone.
impl Argument {
    const fn new(name: &'static str, kind: Kind) -> Argument {
        Argument {
            name,
            kind,
            display: None,
            key_spec: None,
            token: None,
            since: None,
            deprecated: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            arguments: &[],
        }
    }

    pub(in crate::command) const fn string(name: &'static str) -> Argument {
        Argument::new(name, Kind::String)
    }

    pub(in crate::command) const fn integer(name: &'static str) -> Argument {
        Argument::new(name, Kind::Integer)
    }

    pub(in crate::command) const fn double(name: &'static str) -> Argument {
        Argument::new(name, Kind::Double)
    }

    pub(in crate::command) const fn pattern(name: &'static str) -> Argument {
        Argument::new(name, Kind::Pattern)
    }

    pub(in crate::command) const fn unix_time(name: &'static str) -> Argument {
        Argument::new(name, Kind::UnixTime)
    }

    pub(in crate::command) const fn key(name: &'static str, spec: u8) -> Argument {
        let mut argument = Argument::new(name, Kind::Key);
        argument.key_spec = Some(spec);
        argument
    }

    pub(in crate::command) const fn flag(name: &'static str, word: &'static str) -> Argument {
        Argument::new(name, Kind::PureToken).token(word)
    }

    pub(in crate::command) const fn one_of(
        name: &'static str,
        arguments: &'static [Argument],
    ) -> Argument {
        let mut argument = Argument::new(name, Kind::OneOf);
        argument.arguments = arguments;
        argument
    }

    pub(in crate::command) const fn block(
        name: &'static str,
        arguments: &'static [Argument],
    ) -> Argument {
        let mut argument = Argument::new(name, Kind::Block);
        argument.arguments = arguments;
        argument
    }

    pub(in crate::command) const fn token(mut self, word: &'static str) -> Argument {
        self.token = Some(word);
        self
    }

    pub(in crate::command) const fn display(mut self, text: &'static str) -> Argument {
        self.display = Some(text);
        self
    }

    pub(in crate::command) const fn since(mut self, version: &'static str) -> Argument {
        self.since = Some(version);
        self
    }

    pub(in crate::command) const fn deprecated(mut self, version: &'static str) -> Argument {
        self.deprecated = Some(version);
        self
    }

    pub(in crate::command) const fn optional(mut self) -> Argument {
        self.optional = true;
        self
    }

    pub(in crate::command) const fn multiple(mut self) -> Argument {
        self.multiple = true;
        self
    }

    pub(in crate::command) const fn multiple_token(mut self) -> Argument {
        self.multiple_token = true;
        self
    }
}

/// How the arguments are written, as a manual would: `key value [NX | XX]`.
pub fn syntax(arguments: &[Argument]) -> String {
    arguments.iter().map(Argument::syntax).collect::<Vec<_>>().join(" ")
}

impl Argument {
    fn syntax(&self) -> String {
        let inner = match self.kind {
            Kind::PureToken => String::new(),
            Kind::OneOf => {
                self.arguments.iter().map(Argument::syntax).collect::<Vec<_>>().join(" | ")
            }
            Kind::Block => syntax(self.arguments),
            Kind::String
            | Kind::Integer
            | Kind::Double
            | Kind::Key
            | Kind::Pattern
            | Kind::UnixTime => self.display.unwrap_or(self.name).to_owned(),
        };
        let inner = match self.kind {
            Kind::OneOf if !self.optional || self.token.is_some() => format!("<{inner}>"),
            _ => inner,
        };
        let mut text = match (self.token, self.multiple && !self.multiple_token) {
            (Some(word), _) if inner.is_empty() => word.to_owned(),
            (Some(word), false) => format!("{word} {inner}"),
            (Some(word), true) => format!("{word} {inner} [{inner} ...]"),
            (None, false) => inner,
            (None, true) => format!("{inner} [{inner} ...]"),
        };
        if self.multiple && self.multiple_token {
            text = format!("{text} [{text} ...]");
        }
        if self.optional { format!("[{text}]") } else { text }
    }
}
