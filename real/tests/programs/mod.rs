//! Tiny guests for single questions, as machine code.

use std::arch::global_asm;
use std::slice;

/// Jumps to itself.
pub(crate) const SPIN: [u8; 2] = [0xeb, 0xfe];
/// `mov dx, PORT_DOORBELL; xor eax, eax; out dx, eax; out dx, eax; mov al, 1; out dx, eax`: idle, idle, full.
pub(crate) const OUT_OUT_OUT: [u8; 11] = [0x66, 0xba, 0x10, 0x05, 0x31, 0xc0, 0xef, 0xef, 0xb0, 1, 0xef];
/// The same with an `in al, dx` in the middle, which is nothing that a guest of this program does.
pub(crate) const OUT_IN_OUT: [u8; 11] = [0x66, 0xba, 0x10, 0x05, 0x31, 0xc0, 0xef, 0xec, 0xb0, 1, 0xef];
/// `mov eax, 7; mov dx, PORT_PANIC; out dx, eax`
pub(crate) const PANIC: [u8; 10] = [0xb8, 7, 0, 0, 0, 0x66, 0xba, 0x12, 0x05, 0xef];

/// Programs that end in a fault.
pub(crate) const FAULTS: [(&str, &[u8]); 4] = [
    ("ud2", &[0x0f, 0x0b]),
    ("hlt, which ring 3 may not", &[0xf4]),
    ("a write where no page is mapped", &[0x48, 0xb8, 0, 0, 0, 0, 4, 0, 0, 0, 0x48, 0x89, 0x00]),
    ("a division by zero", &[0x31, 0xc9, 0xf7, 0xf1]),
];

/// Programs that do what only a broken guest does, each ending in an exit of its own.
pub(crate) const ODDITIES: [(&str, &[u8]); 3] = [
    ("output to a strange port", &[0x66, 0xba, 0x99, 0x09, 0xef]),
    ("input", &[0x66, 0xba, 0x10, 0x05, 0xed]),
    ("a doorbell of one byte", &[0x66, 0xba, 0x10, 0x05, 0xee]),
];

// Fills every register with a pattern of its own, rings the doorbell, dumps them all to the working area, rings again.
global_asm!(
    ".pushsection .rodata, \"a\"",
    ".global colo_test_registers, colo_test_registers_end",
    "colo_test_registers:",
    "movabs $0x1101010101010101, %rbx",
    "movabs $0x1201010101010101, %rcx",
    "movabs $0x1301010101010101, %rsi",
    "movabs $0x1401010101010101, %rdi",
    "movabs $0x1501010101010101, %rbp",
    "movabs $0x1601010101010101, %r8",
    "movabs $0x1701010101010101, %r9",
    "movabs $0x1801010101010101, %r10",
    "movabs $0x1901010101010101, %r11",
    "movabs $0x1a01010101010101, %r12",
    "movabs $0x1b01010101010101, %r13",
    "movabs $0x1c01010101010101, %r14",
    "movabs $0x1d01010101010101, %r15",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "movabs $(0x2001010101010101 + (\\n << 48)), %rax",
    "movq %rax, %xmm\\n",
    "movabs $(0x3001010101010101 + (\\n << 48)), %rax",
    "pushq %rax",
    "movhps (%rsp), %xmm\\n",
    "popq %rax",
    ".endr",
    "pushq $0x7f80", // MXCSR: round towards zero
    "ldmxcsr (%rsp)",
    "fninit",
    "pushq $0x0f7f", // x87: round towards zero
    "fldcw (%rsp)",
    "fldpi",
    "mov $0x510, %dx",
    "xor %eax, %eax",
    "out %eax, %dx",
    "mov $0x200000, %eax",
    "movq %rbx, 0(%rax)",
    "movq %rcx, 8(%rax)",
    "movq %rsi, 16(%rax)",
    "movq %rdi, 24(%rax)",
    "movq %rbp, 32(%rax)",
    "movq %r8, 40(%rax)",
    "movq %r9, 48(%rax)",
    "movq %r10, 56(%rax)",
    "movq %r11, 64(%rax)",
    "movq %r12, 72(%rax)",
    "movq %r13, 80(%rax)",
    "movq %r14, 88(%rax)",
    "movq %r15, 96(%rax)",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "movups %xmm\\n, 104 + 16 * \\n(%rax)",
    ".endr",
    "movq $0, 360(%rax)",
    "stmxcsr 360(%rax)",
    "fnstcw 364(%rax)",
    "fldpi", // with the restored rounding mode
    "fcompp",
    "fnstsw 366(%rax)", // equal: C3 set
    "xor %eax, %eax",
    "out %eax, %dx",
    "colo_test_registers_end:",
    ".popsection",
    options(att_syntax)
);

unsafe extern "C" {
    static colo_test_registers: u8;
    static colo_test_registers_end: u8;
}

/// The program that fills and dumps the registers.
pub(crate) fn registers() -> &'static [u8] {
    let (start, end) = (&raw const colo_test_registers, &raw const colo_test_registers_end);
    // SAFETY: both labels stand in the one block above, in this order, in read-only data.
    unsafe { slice::from_raw_parts(start, end.offset_from(start).unsigned_abs()) }
}

/// Bytes that it dumps.
pub(crate) const DUMP_BYTES: usize = 368;

/// What it must dump.
pub(crate) fn expected_dump() -> Vec<u8> {
    const LOW: u64 = 0x0001_0101_0101_0101;
    let general = (0x11..=0x1d).map(|n| (n << 56) + LOW);
    let vectors = (0..16).flat_map(|n| [0x20 << 56, 0x30 << 56].map(|half: u64| half + LOW + (n << 48)));
    let mut dump: Vec<u8> = general.chain(vectors).flat_map(u64::to_le_bytes).collect();
    dump.extend(0x7f80_u32.to_le_bytes());
    dump.extend(0x0f7f_u16.to_le_bytes());
    dump.extend(0x4000_u16.to_le_bytes());
    dump
}
