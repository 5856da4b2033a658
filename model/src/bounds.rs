//! How far the model goes: the number of checkpoints, and a budget for everything that may happen to the pair.

/// What may happen how often. In [`Bounds`] it is what is allowed, in a state what has been spent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Budgets {
    /// Units of output that guests produce.
    pub outputs: u8,
    /// Deaths of a node.
    pub crashes: u8,
    /// Cuts of the link, which lose what is in flight.
    pub cuts: u8,
    /// Commands x-colo-lost-heartbeat to a node whose peer is alive.
    pub wrong_suspicions: u8,
    /// Loads that fail.
    pub load_errors: u8,
}

impl Budgets {
    /// Whether anything that is a fault has been spent.
    pub const fn any_fault(&self) -> bool {
        self.crashes + self.cuts + self.wrong_suspicions + self.load_errors > 0
    }

    /// Names and values, in the order of the command line's flags.
    pub const fn named(&self) -> [(&'static str, u8); 5] {
        [
            ("outputs", self.outputs),
            ("crashes", self.crashes),
            ("cuts", self.cuts),
            ("wrong_suspicions", self.wrong_suspicions),
            ("load_errors", self.load_errors),
        ]
    }
}

/// The most checkpoints that a check can have: a state keeps their numbers in a byte.
pub const MAX_CHECKPOINTS: u64 = 200;

/// The bounds of a check.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bounds {
    /// Checkpoints that the primary begins, at most [`MAX_CHECKPOINTS`].
    pub checkpoints: u64,
    /// What may happen besides.
    pub budgets: Budgets,
}

impl Default for Bounds {
    fn default() -> Self {
        let budgets = Budgets { outputs: 2, crashes: 1, cuts: 1, wrong_suspicions: 0, load_errors: 1 };
        Self { checkpoints: 3, budgets }
    }
}
