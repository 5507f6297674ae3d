//! What a command is like, as COMMAND tells it: flags, and the ACL categories that follow from
//! them. Names and their order are those of Redis 7.2.

/// A property of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// May change data.
    Write,
    /// Only reads.
    ReadOnly,
    /// Refused when there is no room.
    DenyOom,
    /// For operators.
    Admin,
    /// Not from scripts.
    NoScript,
    /// May wait.
    Blocking,
    /// Also while data is loaded.
    Loading,
    /// Also by a replica that lost its primary.
    Stale,
    /// Not shown to monitors.
    SkipMonitor,
    /// Not in the slow log.
    SkipSlowlog,
    /// As if ASKING came before.
    Asking,
    /// Constant or logarithmic time.
    Fast,
    /// Before authentication too.
    NoAuth,
    /// May be replicated though it is no write.
    MayReplicate,
    /// May come without keys.
    NoMandatoryKeys,
    /// Not while data is loaded in the background.
    NoAsyncLoading,
    /// Not in a transaction.
    NoMulti,
    /// Also while a script runs too long.
    AllowBusy,
}

impl Flag {
    /// All of them in the order in which COMMAND names them.
    pub const ALL: [Flag; 18] = [
        Flag::Write,
        Flag::ReadOnly,
        Flag::DenyOom,
        Flag::Admin,
        Flag::NoScript,
        Flag::Blocking,
        Flag::Loading,
        Flag::Stale,
        Flag::SkipMonitor,
        Flag::SkipSlowlog,
        Flag::Asking,
        Flag::Fast,
        Flag::NoAuth,
        Flag::MayReplicate,
        Flag::NoMandatoryKeys,
        Flag::NoAsyncLoading,
        Flag::NoMulti,
        Flag::AllowBusy,
    ];

    /// Its name as COMMAND gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Flag::Write => "write",
            Flag::ReadOnly => "readonly",
            Flag::DenyOom => "denyoom",
            Flag::Admin => "admin",
            Flag::NoScript => "noscript",
            Flag::Blocking => "blocking",
            Flag::Loading => "loading",
            Flag::Stale => "stale",
            Flag::SkipMonitor => "skip_monitor",
            Flag::SkipSlowlog => "skip_slowlog",
            Flag::Asking => "asking",
            Flag::Fast => "fast",
            Flag::NoAuth => "no_auth",
            Flag::MayReplicate => "may_replicate",
            Flag::NoMandatoryKeys => "no_mandatory_keys",
            Flag::NoAsyncLoading => "no_async_loading",
            Flag::NoMulti => "no_multi",
            Flag::AllowBusy => "allow_busy",
        }
    }
}

/// A set of [`Flag`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// The empty set.
    pub const NONE: Flags = Flags(0);

    /// These flags.
    pub const fn of(flags: &[Flag]) -> Flags {
        let (mut bits, mut i) = (0, 0);
        while i < flags.len() {
            bits |= 1 << flags[i] as u32;
            i += 1;
        }
        Flags(bits)
    }

    /// Whether `flag` is among them.
    #[inline]
    pub const fn contains(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u32) != 0
    }

    /// They in the order of [`Flag::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Flag> + Clone {
        Flag::ALL.into_iter().filter(move |&f| self.contains(f))
    }

    /// The categories that follow from them.
    pub(super) const fn implied(self) -> Categories {
        let mut bits =
            Category::bit(if self.contains(Flag::Fast) { Category::Fast } else { Category::Slow });
        if self.contains(Flag::Write) {
            bits |= Category::Write.bit();
        }
        if self.contains(Flag::ReadOnly) {
            bits |= Category::Read.bit();
        }
        if self.contains(Flag::Admin) {
            bits |= Category::Admin.bit() | Category::Dangerous.bit();
        }
        if self.contains(Flag::Blocking) {
            bits |= Category::Blocking.bit();
        }
        Categories(bits)
    }
}

/// A class of commands that ACL CAT knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Keys whatever they hold.
    Keyspace,
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Lists.
    List,
    /// Hashes.
    Hash,
    /// Strings.
    String,
    /// Bitmaps.
    Bitmap,
    /// HyperLogLogs.
    HyperLogLog,
    /// Places.
    Geo,
    /// Streams.
    Stream,
    /// Publish and subscribe.
    PubSub,
    /// For operators.
    Admin,
    /// Constant or logarithmic time.
    Fast,
    /// The others.
    Slow,
    /// May wait.
    Blocking,
    /// Think twice.
    Dangerous,
    /// Connections.
    Connection,
    /// Transactions.
    Transaction,
    /// Scripts and functions.
    Scripting,
}

impl Category {
    /// All of them in the order in which ACL CAT names them.
    pub const ALL: [Category; 21] = [
        Category::Keyspace,
        Category::Read,
        Category::Write,
        Category::Set,
        Category::SortedSet,
        Category::List,
        Category::Hash,
        Category::String,
        Category::Bitmap,
        Category::HyperLogLog,
        Category::Geo,
        Category::Stream,
        Category::PubSub,
        Category::Admin,
        Category::Fast,
        Category::Slow,
        Category::Blocking,
        Category::Dangerous,
        Category::Connection,
        Category::Transaction,
        Category::Scripting,
    ];

    /// Its name with the `@` that COMMAND shows.
    pub const fn name(self) -> &'static str {
        match self {
            Category::Keyspace => "@keyspace",
            Category::Read => "@read",
            Category::Write => "@write",
            Category::Set => "@set",
            Category::SortedSet => "@sortedset",
            Category::List => "@list",
            Category::Hash => "@hash",
            Category::String => "@string",
            Category::Bitmap => "@bitmap",
            Category::HyperLogLog => "@hyperloglog",
            Category::Geo => "@geo",
            Category::Stream => "@stream",
            Category::PubSub => "@pubsub",
            Category::Admin => "@admin",
            Category::Fast => "@fast",
            Category::Slow => "@slow",
            Category::Blocking => "@blocking",
            Category::Dangerous => "@dangerous",
            Category::Connection => "@connection",
            Category::Transaction => "@transaction",
            Category::Scripting => "@scripting",
        }
    }

    /// The category of this name, without `@`, in any case of letters.
    pub fn named(name: &[u8]) -> Option<Category> {
        Category::ALL.into_iter().find(|c| c.name().as_bytes()[1..].eq_ignore_ascii_case(name))
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of [`Category`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categories(u32);

impl Categories {
    pub(super) const fn with(self, more: &[Category]) -> Categories {
        let (mut bits, mut i) = (self.0, 0);
        while i < more.len() {
            bits |= more[i].bit();
            i += 1;
        }
        Categories(bits)
    }

    /// Whether `category` is among them.
    pub const fn contains(self, category: Category) -> bool {
        self.0 & category.bit() != 0
    }

    /// They in the order of [`Category::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Category> + Clone {
        Category::ALL.into_iter().filter(move |&c| self.contains(c))
    }
}
