//! Parsing and writing one packet: `cargo bench --no-default-features`.

#![allow(missing_docs)] // criterion's macros write functions without them

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use std::hint::black_box;
use std::net::Ipv4Addr;

use _native::engine::answer::{emit, Answer};
use _native::wire::dhcp::Packet;
use _native::wire::pxe::{Ask, Reading};
use _native::wire::tftp;

/// The DISCOVER of EDK2 x64, as it was captured (firmware observed, E-F2).
fn discover() -> Vec<u8> {
    let options =
        "63825363350101390205c037230102030405060c0d0f111216171c28292a2b3233363a3b3c42436180818283848586876111\
        00b385da60391fdb5f9b4adb1522b559ca5e030103005d0200073c20505845436c69656e743a417263683a30303030373a554e44493a30\
        3033303030ff";
    let hex: String = options.split_whitespace().collect();
    let mut packet = vec![1, 1, 6, 0, 0, 0, 0x10, 1, 0, 0, 0x80, 0];
    packet.resize(28, 0);
    packet.extend([0x52, 0x54, 0, 0x15, 1, 2]);
    packet.resize(236, 0);
    packet.extend((0..hex.len() / 2).filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()));
    packet
}

fn benches(criterion: &mut Criterion) {
    let packet = discover();
    let mut group = criterion.benchmark_group("dhcp");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse and read", |bencher| {
        bencher.iter(|| {
            let parsed = Packet::parse(black_box(&packet)).expect("a captured packet");
            let reading = Reading::of(&parsed);
            black_box((parsed.xid(), reading.architecture(), reading.guid))
        });
    });
    let parsed = Packet::parse(&packet).expect("a captured packet");
    let answer = Answer { ask: Ask::Discover, server: Ipv4Addr::new(192, 0, 2, 10), boot_file: b"", windows: &[] };
    let mut buffer = [0; 1472];
    group.bench_function("answer", |bencher| bencher.iter(|| emit(&answer, black_box(&parsed), &mut buffer)));
    group.finish();

    let mut request = [0; 128];
    let options: [(&[u8], u64); 3] = [(b"tsize", 0), (b"blksize", 1468), (b"windowsize", 4)];
    let length = tftp::emit_request(&mut request, b"SMSImages/PS100001/grubx64.efi", options).expect("it fits");
    let mut group = criterion.benchmark_group("tftp");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse a request", |bencher| {
        bencher.iter(|| match tftp::Packet::parse(black_box(&request[..length])) {
            Ok(tftp::Packet::Read(request)) => request.options.count(),
            _ => 0,
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
