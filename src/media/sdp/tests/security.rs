//! Keys in offer and answer (RFC 4568), and what is never downgraded.

use super::*;

fn offered(profiles: &'static [Profile]) -> Offered {
    Offered {
        seed: KeySeed::of(&[9; 32], crate::StreamId(1), 0),
        profiles,
    }
}

fn optional() -> LocalMedia {
    LocalMedia {
        protection: Protection::Optional(offered(&[Profile::AesGcm128, Profile::AesCm128Sha1_80])),
        ..local(&[Codec::Pcmu])
    }
}

fn required() -> LocalMedia {
    LocalMedia {
        protection: Protection::Required(offered(&[Profile::AesCm128Sha1_80])),
        ..local(&[Codec::Pcmu])
    }
}

#[test]
fn both_sides_agree_on_keys() {
    for (here, transport) in [(optional(), "RTP/AVP"), (required(), "RTP/SAVP")] {
        let mut there = optional();
        there.address = at("192.0.2.2:30000");
        let Protection::Optional(keys) = &mut there.protection else {
            panic!("it is optional")
        };
        keys.seed = KeySeed::of(&[9; 32], crate::StreamId(2), 0);
        let our_offer = offer(&here);
        assert!(text(&our_offer).contains(&format!("m=audio 20000 {transport} 0")));
        let (sdp, theirs) = answer(&there, &our_offer).unwrap();
        assert!(text(&sdp).contains(&format!("m=audio 30000 {transport} 0")));
        let ours = accept(&here, &sdp).unwrap();
        let (Security::Sdes(ours), Security::Sdes(theirs)) = (ours.security, theirs.security)
        else {
            panic!("both are encrypted")
        };
        assert_eq!((&ours.ours, &ours.theirs), (&theirs.theirs, &theirs.ours));
        assert_ne!(ours.ours, ours.theirs);
    }
}

#[test]
fn nothing_is_downgraded_that_must_not_be() {
    let plain = phone("m=audio 4000 RTP/AVP 0\r\n");
    let both = phone(&format!(
        "m=audio 4000 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_32 {KEY}\r\n"
    ));
    let secure = phone(&format!(
        "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}\r\n"
    ));
    let useless = phone("m=audio 4000 RTP/SAVP 0\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:x\r\n");
    let profile = |local: &LocalMedia, sdp: &[u8]| {
        answer(local, sdp).map(|(_, negotiated)| negotiated.security.profile())
    };
    let off = local(&[Codec::Pcmu]);
    let short = Some(Profile::AesCm128Sha1_32);
    let long = Some(Profile::AesCm128Sha1_80);
    for (local, sdp, expected) in [
        (&off, &plain, Ok(None)),
        (&off, &both, Ok(None)),
        (&off, &secure, Err(SdpError::Protected)),
        (&optional(), &plain, Ok(None)),
        (&optional(), &both, Ok(short)),
        (&optional(), &secure, Ok(long)),
        (&optional(), &useless, Err(SdpError::NoCommonCipher)),
        (&required(), &plain, Err(SdpError::Unprotected)),
        (&required(), &both, Ok(short)),
        (&required(), &secure, Ok(long)),
        (&required(), &useless, Err(SdpError::NoCommonCipher)),
    ] {
        assert_eq!(profile(local, sdp), expected, "{}", text(sdp));
    }
    // Of two lines the encrypted one is taken, wherever it stands.
    let two = phone(&format!(
        "m=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}\r\n"
    ));
    let (sdp, got) = answer(&optional(), &two).unwrap();
    assert_eq!((got.remote.port(), got.security.profile()), (4002, long));
    assert!(text(&sdp).contains("m=audio 0 RTP/AVP 0\r\nm=audio 20000 RTP/SAVP 0\r\n"));
}

#[test]
fn an_answer_takes_what_was_offered_or_nothing() {
    let said = |line: &str| phone(&format!("m=audio 4000 RTP/AVP 0\r\n{line}\r\n"));
    let taken = said(&format!("a=crypto:2 AES_CM_128_HMAC_SHA1_80 {KEY}"));
    assert_eq!(
        accept(&optional(), &taken).unwrap().security.profile(),
        Some(Profile::AesCm128Sha1_80)
    );
    assert_eq!(
        accept(&optional(), &said("a=x")).unwrap().security,
        Security::Plain
    );
    assert_eq!(accept(&required(), &said("a=x")), Err(SdpError::Downgraded));
    for line in [
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80",
        "a=crypto:2 AES_CM_128_HMAC_SHA1_32",
    ] {
        let other = said(&format!("{line} {KEY}"));
        assert_eq!(accept(&optional(), &other), Err(SdpError::NoCommonCipher));
    }
}

#[test]
fn keys_are_taken_only_as_they_must_be_written() {
    for (crypto, mki) in [
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}"), Some(0)),
        (format!("1 aes_cm_128_hmac_sha1_80 {KEY}|2^31"), Some(0)),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|1048576|1:4"),
            Some(4),
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|1:4;{KEY}|2:4"),
            Some(4),
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} WSH=128 -x=1"),
            Some(0),
        ),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} KDR=0"), Some(0)),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} KDR=1"), None),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} UNENCRYPTED_SRTP"),
            None,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} UNAUTHENTICATED_SRTP"),
            None,
        ),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} new"), None),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|2^99"), None),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|1:200"), None),
        (format!("1 AES_256_CM_HMAC_SHA1_80 {KEY}"), None),
        (format!("x AES_CM_128_HMAC_SHA1_80 {KEY}"), None),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:AAEC".to_owned(), None),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:!".to_owned(), None),
        ("1 AES_CM_128_HMAC_SHA1_80".to_owned(), None),
    ] {
        let sdp = phone(&format!("m=audio 4000 RTP/SAVP 0\r\na=crypto:{crypto}\r\n"));
        let got = answer(&required(), &sdp);
        let got = got.map(|(_, negotiated)| match negotiated.security {
            Security::Sdes(pair) => pair.mki,
            Security::Plain => panic!("not encrypted"),
        });
        assert_eq!(got, mki.ok_or(SdpError::NoCommonCipher), "{crypto}");
    }
}

proptest! {
    #[test]
    fn no_key_line_panics(words in "[ -~]{0,60}", tag in 0u32..3) {
        let sdp = phone(&format!("m=audio 4000 RTP/SAVP 0\r\na=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{words}\r\n"));
        let _ = answer(&required(), &sdp);
        let _ = accept(&optional(), &sdp);
    }
}
