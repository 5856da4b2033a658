//! How a guest begins: what it knows, and that it goes round and round.

/// Declares the entry point of a guest that knows a `$state` and takes `$turn` after turn: a function of the state and of
/// the parameters that says, after each, why it leaves to the host.
///
/// The state lies at [`abi::STATE`](super::abi::STATE), zero at first, and is replicated like all memory. A machine that is reset
/// begins here again, and its state is as it was.
macro_rules! entry {
    ($state:ty, $turn:path) => {
        const _: () = assert!(abi::STATE + size_of::<$state>() as u64 <= abi::IMAGE);

        /// Entry point; `link_section` puts it first in the image.
        // SAFETY: no other symbol of this name: the program is linked alone, without a C runtime.
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".text.start")]
        extern "C" fn _start() -> ! {
            // SAFETY: the host has mapped this range, zeroed, and nothing else in the guest refers to it; all-zero is a
            // valid state: numbers only. So is what a program before a reset has left there, which was this one.
            let state = unsafe { &mut *(abi::STATE as *mut $state) };
            let parameters = abi::Parameters::from_slot(bare::read_slot(abi::PARAMETERS));
            loop {
                let reason = $turn(state, &parameters);
                bare::mind_buttons();
                bare::out(abi::PORT_DOORBELL, reason);
            }
        }
    };
}
