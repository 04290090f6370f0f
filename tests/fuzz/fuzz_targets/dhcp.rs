//! Whatever comes to port 67 or 4011 is read without harm, and what we answer reads back as we meant it.

#![no_main]

use std::net::Ipv4Addr;

use _native::wire::dhcp::{budget, code, Packet, Reply};
use _native::wire::pxe::{asks, guid_bytes, guid_text, Door, Reading};
use _native::wire::relay::RelayAgent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(packet) = Packet::parse(bytes) else { return };
    read_everything(&packet);
    judge(&packet);
    answer(&packet);
});

fn read_everything(packet: &Packet<'_>) {
    assert_eq!(packet.hardware_address().len(), usize::from(packet.hlen()));
    assert!(!packet.sname().contains(&0) && !packet.file().contains(&0));
    for (code, piece) in packet.options() {
        assert!(!matches!(code, code::PAD | code::END));
        let value = packet.option(code).unwrap();
        assert!(value.pieces().any(|other| other == piece));
        assert_eq!(value.bytes().count(), value.len());
        assert_eq!(value.copy_to(&mut [0; 70_000]), Some(value.len()));
        assert_eq!(value.single().is_some(), value.pieces().count() == 1);
    }
    let reading = Reading::of(packet);
    assert!(reading
        .vendor()
        .all(|(code, value)| !matches!(code, 0 | 255) && value.bytes().count() == value.len().into()));
    assert!(reading.architecture().is_some() || reading.architectures().count() == 0);
    if let Some(guid) = reading.guid {
        assert_eq!(guid_bytes(std::str::from_utf8(&guid_text(&guid)).unwrap()), Some(guid));
        assert_eq!(reading.raw_97().unwrap()[1..], guid);
    }
    if let Some(agent) = RelayAgent::of(packet) {
        agent.sub_options().for_each(|(_, value)| assert_eq!(value.bytes().count(), value.len().into()));
        let _ = (agent.relay_source_port(), agent.link_selection());
    }
}

fn judge(packet: &Packet<'_>) {
    let reading = Reading::of(packet);
    for door in [Door::Dhcp67, Door::Boot4011] {
        let strict = asks(packet, &reading, door, Ipv4Addr::new(10, 77, 0, 3), false);
        let lenient = asks(packet, &reading, door, Ipv4Addr::new(10, 77, 0, 3), true);
        assert!(strict.is_err() || strict == lenient);
    }
}

/// All of the packet goes into an answer, whose options must come back as they were.
fn answer(packet: &Packet<'_>) {
    let ours = |code| !matches!(code, code::OVERLOAD | code::MESSAGE_TYPE | code::RELAY_AGENT);
    let options: Vec<(u8, &[u8])> = packet.options().filter(|&(code, _)| ours(code)).collect();
    let reply = Reply {
        message_type: packet.message_type(),
        htype: packet.htype(),
        hlen: packet.hlen(),
        xid: packet.xid(),
        secs: packet.secs(),
        flags: packet.flags(),
        ciaddr: packet.ciaddr(),
        siaddr: packet.siaddr(),
        giaddr: packet.giaddr(),
        chaddr: *packet.chaddr(),
        sname: &packet.sname()[..packet.sname().len().min(63)],
        file: &packet.file()[..packet.file().len().min(127)],
        options: &options,
        relay_agent: packet.option(code::RELAY_AGENT),
    };
    let mut buf = [0xEE; 1500];
    let budget = budget(packet.option(code::MAX_MESSAGE_SIZE).and_then(|size| size.u16()));
    let Ok(emitted) = reply.emit(&mut buf, budget) else { return };
    assert!((300..=budget).contains(&emitted.len));

    let sent = Packet::parse(&buf[..emitted.len]).unwrap();
    assert_eq!((sent.message_type(), sent.xid(), sent.chaddr()), (reply.message_type, reply.xid, &reply.chaddr));
    assert_eq!((sent.sname(), sent.file(), sent.giaddr()), (reply.sname, reply.file, reply.giaddr));
    assert_eq!((sent.yiaddr(), sent.hops()), (Ipv4Addr::UNSPECIFIED, 0));
    let agent = |packet: &Packet<'_>| -> Vec<Vec<u8>> {
        packet.options().filter(|&(code, _)| code == code::RELAY_AGENT).map(|(_, piece)| piece.to_vec()).collect()
    };
    assert_eq!(agent(&sent), if emitted.relay_agent_dropped { Vec::new() } else { agent(packet) });
    if emitted.options_dropped == 0 {
        assert!(sent.options().filter(|&(code, _)| ours(code)).eq(options.iter().copied()));
    }
}
