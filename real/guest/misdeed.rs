//! What the guest `hostile` can do wrong, one of these at a time, as guest and host number them.
//!
//! Compiled into both sides, like `abi.rs`: no pointer, no I/O. It exists for tests: no user can choose this guest.

/// A way to misbehave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(guest), derive(serde::Serialize, serde::Deserialize))]
pub enum Misdeed {
    /// More replies than the ring has slots.
    RepliesBeyondTheRing,
    /// Fewer replies than the host has taken.
    RepliesGoBack,
    /// The greatest number of replies that there is.
    RepliesAtTheEndOfNumbers,
    /// It has taken a request that nobody has put.
    RequestsTakenAhead,
    /// It overwrites the host's counter of requests.
    RequestsOfItsOwn,
    /// It overwrites both counters of replies, so that they agree, somewhere else.
    OutputJumps,
    /// The same, so that the next reply makes them begin again from zero.
    OutputWraps,
    /// A ring full of replies that nobody asked for, again and again.
    RepliesWithoutEnd,
    /// The replies that it has given, again and again, and no others.
    RepeatsItself,
    /// It writes over both rings and all counters, and never leaves.
    ScribblesOverTheRings,
    /// It rings the doorbell and does nothing else, though there is a tick to be worked off.
    RingsWithoutEnd,
    /// The same in one instruction that the processor repeats.
    RingsInOneInstruction,
    /// A doorbell value that means nothing.
    UnknownDoorbell,
    /// A doorbell of one byte.
    NarrowDoorbell,
    /// It writes to a port that does not exist.
    StrangePort,
    /// Many bytes at once to a port that does not exist.
    StringToAStrangePort,
    /// It reads from the doorbell.
    ReadsTheDoorbell,
    /// It says that a check has failed, at the greatest line.
    Panics,
    /// It asks to be shut down with a request half answered.
    ShutsDown,
    /// It reads where no page is mapped.
    ReadsUnmapped,
    /// It maps what is no memory, and reads it.
    ReadsBeyondMemory,
    /// The same, and writes it.
    WritesBeyondMemory,
    /// It clears its page tables.
    ClearsItsPageTables,
    /// It writes over all of its memory, itself and its page tables included.
    WritesOverItself,
    /// An instruction that is none.
    Undefined,
    /// A division by zero.
    DividesByZero,
    /// A software interrupt, of which there is no table.
    Interrupts,
    /// It single-steps itself.
    SingleSteps,
    /// It waits for an interrupt, which only ring 0 may.
    Halts,
    /// It writes a model-specific register, which only ring 0 may.
    WritesAnMsr,
    /// It loads other page tables, which only ring 0 may.
    LoadsPageTables,
    /// It loads a descriptor table, which only ring 0 may.
    LoadsADescriptorTable,
    /// A system call, with which a processor goes to ring 0 where it is told to.
    CallsTheSystem,
    /// A call of the hypervisor.
    CallsTheHypervisor,
    /// It wants to run at every time.
    AlwaysAwake,
    /// It wants to run at the end of time.
    WakesAtTheEndOfTime,
    /// It overwrites its clock with the end of time.
    TimeEnds,
    /// It never leaves.
    Spins,
    /// Frames that nobody asked for, now and then: each has its number and something that no other machine would put there.
    SendsUnasked,
    /// As many of the longest frames as the queue holds, whenever it leaves.
    FloodsTheNetwork,
    /// Frames of each length, from none to more than there is a frame of.
    FramesOfEveryLength,
    /// Descriptors and rings of the card's queues are whatever comes to its mind, anew each time.
    GarbageQueues,
    /// A queue that ends behind its memory.
    QueuesBeyondMemory,
    /// A queue at the last address that there is.
    QueuesAtTheEndOfNumbers,
    /// Descriptors that lead back to themselves.
    ChainsThatLoop,
    /// A table of descriptors of its own, of thousands of buffers, which the card does not offer.
    TablesOfDescriptors,
    /// Buffers that lie in the queues themselves.
    BuffersOverTheQueue,
    /// Buffers to be sent that the card is to write to.
    SendsWhatIsToBeWritten,
    /// Buffers to be received into that the card is to read.
    ReceivesIntoWhatIsToBeRead,
    /// More buffers to be sent than a queue has.
    AvailableJumps,
    /// Fewer buffers to be sent than have been taken.
    AvailableGoesBack,
    /// A buffer to be sent of a number that none has.
    HeadsBeyondTheQueue,
    /// What the card gives back lies where it is said what there is to be sent.
    UsedOverAvailable,
    /// What the card gives back lies over the host's counters.
    UsedOverTheCounters,
    /// What the card gives back lies over the page tables.
    UsedOverThePageTables,
    /// It reads and writes every register of the card, and beside them, in every width and over and over in one instruction.
    TouchesEveryRegister,
    /// It resets the card with a queue full of frames to be sent, and begins anew, again and again.
    ResetsInTheMiddle,
    /// It says that it has taken more frames than there are, and so always has something to do.
    NeverTakesFrames,
}

impl Misdeed {
    /// All of them; the guest is told the place in this list.
    pub const ALL: [Self; 58] = [
        Self::RepliesBeyondTheRing,
        Self::RepliesGoBack,
        Self::RepliesAtTheEndOfNumbers,
        Self::RequestsTakenAhead,
        Self::RequestsOfItsOwn,
        Self::OutputJumps,
        Self::OutputWraps,
        Self::RepliesWithoutEnd,
        Self::RepeatsItself,
        Self::ScribblesOverTheRings,
        Self::RingsWithoutEnd,
        Self::RingsInOneInstruction,
        Self::UnknownDoorbell,
        Self::NarrowDoorbell,
        Self::StrangePort,
        Self::StringToAStrangePort,
        Self::ReadsTheDoorbell,
        Self::Panics,
        Self::ShutsDown,
        Self::ReadsUnmapped,
        Self::ReadsBeyondMemory,
        Self::WritesBeyondMemory,
        Self::ClearsItsPageTables,
        Self::WritesOverItself,
        Self::Undefined,
        Self::DividesByZero,
        Self::Interrupts,
        Self::SingleSteps,
        Self::Halts,
        Self::WritesAnMsr,
        Self::LoadsPageTables,
        Self::LoadsADescriptorTable,
        Self::CallsTheSystem,
        Self::CallsTheHypervisor,
        Self::AlwaysAwake,
        Self::WakesAtTheEndOfTime,
        Self::TimeEnds,
        Self::Spins,
        Self::SendsUnasked,
        Self::FloodsTheNetwork,
        Self::FramesOfEveryLength,
        Self::GarbageQueues,
        Self::QueuesBeyondMemory,
        Self::QueuesAtTheEndOfNumbers,
        Self::ChainsThatLoop,
        Self::TablesOfDescriptors,
        Self::BuffersOverTheQueue,
        Self::SendsWhatIsToBeWritten,
        Self::ReceivesIntoWhatIsToBeRead,
        Self::AvailableJumps,
        Self::AvailableGoesBack,
        Self::HeadsBeyondTheQueue,
        Self::UsedOverAvailable,
        Self::UsedOverTheCounters,
        Self::UsedOverThePageTables,
        Self::TouchesEveryRegister,
        Self::ResetsInTheMiddle,
        Self::NeverTakesFrames,
    ];

    /// Whether it takes a network card: those stand behind all others.
    pub const fn takes_a_card(self) -> bool {
        self.number() >= Self::SendsUnasked.number()
    }

    /// Its number: the place in the list.
    pub const fn number(self) -> u64 {
        self as u64
    }
}

/// The tick with which it begins: until then the guest serves, so that a pair has taken checkpoints of it.
pub const FIRST_TICK: u64 = 3;
