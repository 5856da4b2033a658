//! How a guest begins: what it knows, and that it goes round and round.

/// Declares the entry point of a guest that knows a `$state` and takes `$turn` after turn: a function of the state and of
/// the parameters that says, after each, why it leaves to the host.
///
/// The state lies at [`abi::STATE`](super::abi::STATE), zero at start, and is replicated like all memory.
macro_rules! entry {
    ($state:ty, $turn:path) => {
        const _: () = assert!(abi::STATE + size_of::<$state>() as u64 <= abi::IMAGE);

        /// Entry point; `link_section` puts it first in the image.
        // SAFETY: no other symbol of this name: the program is linked alone, without a C runtime.
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".text.start")]
        extern "C" fn _start() -> ! {
            // SAFETY: the host has mapped this range, zeroed, and nothing else in the guest refers to it; all-zero is a
            // valid state: numbers only.
            let state = unsafe { &mut *(abi::STATE as *mut $state) };
            let parameters = abi::Parameters::from_slot(bare::read_slot(abi::PARAMETERS));
            loop {
                bare::out(abi::PORT_DOORBELL, $turn(state, &parameters));
            }
        }
    };
}
