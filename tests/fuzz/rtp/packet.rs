//! One datagram read as everything it may be: RTP, RTCP, a telephone event, a payload of each codec.

use media::Codec;
use media::codec::{Decoder, MAX_FRAME};
use media::rtp::packet::{self, HEADER_LEN, Header};
use media::rtp::rtcp::{self, Packet};
use media::rtp::{dtmf, stats};

pub fn check(data: &[u8]) {
    if let Some((header, payload)) = packet::parse(data) {
        let payload = data.get(payload).expect("a payload lies within its packet");
        let mut bytes = [0; HEADER_LEN];
        assert_eq!(packet::write(&header, &mut bytes), HEADER_LEN);
        assert_eq!(
            packet::parse(&bytes),
            Some((header, HEADER_LEN..HEADER_LEN))
        );
        event(&header, payload);
        payloads(payload);
    } else {
        payloads(data);
    }
    let _ = packet::is_rtcp(data);
    if let Some(compound) = rtcp::parse(data) {
        reports(compound);
    }
}

fn event(header: &Header, payload: &[u8]) {
    let mut receiver = dtmf::Receiver::new();
    let first = receiver.receive(header, payload);
    assert_eq!(
        first,
        dtmf::Event::parse(payload).and_then(|event| event.digit())
    );
    assert_eq!(
        receiver.receive(header, payload),
        None,
        "the same event twice"
    );
    if let Some(event) = dtmf::Event::parse(payload) {
        assert_eq!(dtmf::Event::parse(&event.write()), Some(event));
    }
}

fn reports(compound: rtcp::Compound<'_>) {
    let mut packets = 0;
    for packet in compound {
        packets += 1;
        let (ssrc, blocks) = match packet {
            Packet::SenderReport { ssrc, blocks, .. } | Packet::ReceiverReport { ssrc, blocks } => {
                (ssrc, blocks)
            }
            Packet::Extended { blocks, .. } => {
                let _ = blocks.count();
                continue;
            }
            Packet::Cname { .. } | Packet::Bye { .. } | Packet::Other { .. } => continue,
        };
        for block in blocks {
            let _ = stats::round_trip(u64::MAX / 3, &block);
            let again = report(ssrc, block);
            assert_eq!(again, Some(block), "a block is written as it was read");
        }
    }
    assert!(packets > 0);
}

/// `block` written into a report of ours and read again.
fn report(ssrc: u32, block: rtcp::ReportBlock) -> Option<rtcp::ReportBlock> {
    let report = rtcp::Report {
        ssrc,
        sender: None,
        block: Some(block),
        cname: "us",
    };
    let mut bytes = [0; rtcp::MAX_REPORT];
    let length = rtcp::write_bye(&report, &mut bytes);
    let compound = rtcp::parse(bytes.get(..length)?)?;
    compound.into_iter().find_map(|packet| match packet {
        Packet::ReceiverReport { mut blocks, .. } => blocks.next(),
        _ => None,
    })
}

fn payloads(payload: &[u8]) {
    for codec in Codec::ALL {
        // Only Opus has several; any of them will do, and the same one for the same payload.
        let rates = [8_000, 16_000, 48_000].into_iter().cycle();
        let mut decoders = rates.skip(payload.len() % 3).take(3);
        let decoder = decoders.find_map(|rate| Decoder::new(codec, rate).ok());
        decode(decoder.expect("a rate of each"), payload);
    }
}

fn decode(mut decoder: Decoder, payload: &[u8]) {
    let mut pcm = vec![0; MAX_FRAME];
    let frame = 160;
    assert!(decoder.decode(payload, &mut pcm) <= pcm.len());
    assert!(decoder.recover(payload, &mut pcm, frame) <= frame);
    assert!(decoder.conceal(&mut pcm, frame) <= frame);
    let mut few = [0; 80];
    assert!(decoder.decode(payload, &mut few) <= few.len());
    assert!(decoder.conceal(&mut few, usize::MAX) <= few.len());
}
