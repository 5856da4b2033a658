//! How fast the codec is: a checkpoint of 16 MiB in and out, and messages alone.
//!
//! Decoding is zero-copy, so `decode/whole` says what the decoder costs and nothing of memory's speed;
//! `decode/to-memory` also copies each page to where it belongs, as a receiver does.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::expect_used, reason = "a benchmark that fails should stop")]

use colo_protocol::wire::{BlockName, Body, Config, Decoder, Direction, Encoder, PAGE_BYTES};
use colo_protocol::{Dialect, Message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const PAGES: usize = 4096;
const DEVICE_STATE: [u8; 12_953] = [0x5a; 12_953];

criterion_group!(benches, decode_checkpoint, encode_checkpoint, messages);
criterion_main!(benches);

fn decode_checkpoint(criterion: &mut Criterion) {
    let stream = checkpoint();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("whole", |bencher| bencher.iter(|| frames(black_box(&stream), stream.len())));
    for piece in [4 << 10, 64 << 10, 1 << 20] {
        group.bench_function(BenchmarkId::new("pieces", piece), |bencher| {
            bencher.iter(|| frames(black_box(&stream), piece));
        });
    }
    let mut memory = vec![0; PAGES * PAGE_BYTES];
    group.bench_function("to-memory", |bencher| bencher.iter(|| load(black_box(&stream), &mut memory)));
    group.finish();
}

fn encode_checkpoint(criterion: &mut Criterion) {
    let memory = vec![0x33_u8; PAGES * PAGE_BYTES];
    let mut out = Vec::with_capacity(memory.len() * 2);
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Bytes(checkpoint().len() as u64));
    group.bench_function("with-pages", |bencher| {
        bencher.iter(|| encode(black_box(&memory), &mut out, true));
    });
    // As for a vectored write: the pages stay where they are.
    group.bench_function("headers-only", |bencher| {
        bencher.iter(|| encode(black_box(&memory), &mut out, false));
    });
    group.finish();
}

fn messages(criterion: &mut Criterion) {
    const COUNT: usize = 10_000;
    let encoder = Encoder::new(Dialect::Current, 2);
    let mut stream = Vec::new();
    for message in [Message::CheckpointReply, Message::VmstateReceived].into_iter().cycle().take(COUNT) {
        encoder.message(&mut stream, message).expect("a message of the dialect");
    }
    let mut group = criterion.benchmark_group("messages");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| count(Direction::SecondaryToPrimary, black_box(&stream), stream.len()));
    });
    group.bench_function("decode-bytewise", |bencher| {
        bencher.iter(|| count(Direction::SecondaryToPrimary, black_box(&stream), 1));
    });
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            stream.clear();
            for _ in 0..COUNT {
                encoder.message(&mut stream, black_box(Message::CheckpointReply)).expect("of the dialect");
            }
        });
    });
    group.finish();
}

fn checkpoint() -> Vec<u8> {
    let mut out = Vec::new();
    encode(&vec![0x33; PAGES * PAGE_BYTES], &mut out, true);
    out
}

fn encode(memory: &[u8], out: &mut Vec<u8>, with_pages: bool) {
    let mut encoder = Encoder::new(Dialect::Current, 2);
    let block = BlockName::new(b"pc.ram").expect("short");
    out.clear();
    encoder.message(out, Message::CheckpointRequest).expect("of the dialect");
    encoder.message(out, Message::VmstateSend).expect("of the dialect");
    encoder.ram_section_start(out);
    for (address, page) in (0..).step_by(PAGE_BYTES).zip(memory.chunks(PAGE_BYTES)) {
        encoder.page_header(out, address, &block).expect("aligned");
        if with_pages {
            out.extend_from_slice(page);
        }
    }
    encoder.end_of_records(out);
    encoder.section_footer(out);
    encoder.end_of_ram(out);
    encoder.message(out, Message::VmstateSize(DEVICE_STATE.len() as u64)).expect("of the dialect");
    out.extend_from_slice(&DEVICE_STATE);
}

fn frames(stream: &[u8], piece: usize) -> usize {
    count(Direction::PrimaryToSecondary, stream, piece)
}

fn count(direction: Direction, stream: &[u8], piece: usize) -> usize {
    let mut decoder = Decoder::new(Config::new(Dialect::Current, direction));
    let mut frames = 0;
    for mut piece in stream.chunks(piece) {
        while let Some(frame) = decoder.next(&mut piece).expect("a stream of the encoder's") {
            black_box(&frame);
            frames += 1;
        }
    }
    frames
}

fn load(mut stream: &[u8], memory: &mut [u8]) {
    let mut decoder = Decoder::new(Config::new(Dialect::Current, Direction::PrimaryToSecondary));
    while let Some(frame) = decoder.next(&mut stream).expect("a stream of the encoder's") {
        if let Body::Page { address, data, .. } = frame.body {
            let start = usize::try_from(address).expect("inside the memory");
            memory[start..start + PAGE_BYTES].copy_from_slice(data);
        }
    }
}
