//! Whatever comes to port 69 or to a transfer is read without harm, and goes out again as it was read.

#![no_main]

use _native::wire::tftp::{
    data_header, decimal, emit_ack, emit_error, emit_oack, emit_request, ErrorCode, Options, Packet, Request,
    MAX_OPTIONS,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut buf = vec![0xEE; bytes.len() + 64];
    match Packet::parse(bytes) {
        Ok(Packet::Read(request) | Packet::Write(request)) => read_request(&request, &mut buf),
        Ok(Packet::Oack(options)) => {
            let numbers = check(&options);
            let length = emit_oack(&mut buf, numbers.iter().copied()).unwrap();
            let Ok(Packet::Oack(again)) = Packet::parse(&buf[..length]) else { panic!("not read back") };
            assert_eq!(check(&again), numbers);
        }
        Ok(Packet::Data { block, payload }) => assert_eq!([&data_header(block)[..], payload].concat(), bytes),
        Ok(Packet::Ack { block, next_window }) => {
            assert_eq!(next_window.is_some(), bytes.len() == 5);
            let length = emit_ack(&mut buf, block, next_window).unwrap();
            assert_eq!(buf[..length], bytes[..length]);
            assert_eq!(length, if bytes.len() == 5 { 5 } else { 4 });
        }
        Ok(Packet::Error { code, message }) => write_error(code, message, &mut buf),
        Err(error) => assert!(usize::from(error.at) <= bytes.len()),
    }
});

fn read_request(request: &Request<'_>, buf: &mut [u8]) {
    assert!(!request.filename.is_empty());
    let numbers = check(&request.options);
    let Ok(length) = emit_request(buf, request.filename, numbers.iter().copied()) else { return };
    let Ok(Packet::Read(again)) = Packet::parse(&buf[..length]) else { panic!("not read back") };
    assert_eq!(again.filename, request.filename);
    assert_eq!(check(&again.options), numbers);
}

/// The options that are numbers, after a look at all of them.
fn check<'a>(options: &Options<'a>) -> Vec<(&'a [u8], u64)> {
    let all: Vec<_> = options.clone().collect();
    assert!(all.len() <= MAX_OPTIONS);
    for (name, value) in &all {
        assert_eq!(options.get_ignore_case(name), Some(*value));
        assert_eq!(options.get_ignore_case(&name.to_ascii_uppercase()), Some(*value));
    }
    all.into_iter().filter_map(|(name, value)| Some((name, decimal(value)?))).collect()
}

fn write_error(code: u16, message: &[u8], buf: &mut [u8]) {
    let known = ErrorCode::ALL.into_iter().find(|known| known.code() == code);
    let (Some(code), Ok(text)) = (known, std::str::from_utf8(message)) else { return };
    let length = emit_error(buf, code, text).unwrap();
    let Ok(Packet::Error { code: again, message: words }) = Packet::parse(&buf[..length]) else {
        panic!("not read back")
    };
    assert_eq!((again, words), (code.code(), message));
}
