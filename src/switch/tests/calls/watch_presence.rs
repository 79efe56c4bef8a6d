//! Presence: as we know it, as phones publish it; and where phones are.

use crate::world::phone::{Manner, header};
use crate::world::phone_watch::Watching;
use crate::world::{EMPTY, World};

const AWAY: &str = "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:102@pbx\">\
    <tuple id=\"a\"><status><basic>closed</basic></status><note>Away &amp; out</note></tuple></presence>";

fn publication(body: &str, expires: u32, etag: &str) -> Watching {
    let more = match etag {
        "" => String::new(),
        etag => format!("SIP-If-Match: {etag}\r\n"),
    };
    Watching {
        target: "102".into(),
        package: "presence".into(),
        body: body.into(),
        expires,
        more,
        ..Watching::default()
    }
}

/// Status and the name it was given.
fn publishes(world: &mut World, from: &str, what: Watching) -> (u16, String) {
    let now = world.now;
    let index = world.phone(from).publishes(now, what);
    world.passes(200);
    let done = world.watching(from, index);
    (done.status, header(&done.answer, "SIP-ETag"))
}

#[test]
fn without_a_publication_it_is_told_from_registrations_and_calls() {
    let mut world = World::new(&["101", "102"], 401);
    let seen = world.watches("101", "presence", "102", 3_600);
    let says = |world: &mut World, what: &str| {
        let document = world.watching("101", seen).document();
        assert!(document.contains(what), "{document}");
    };
    says(&mut world, "<basic>open</basic>");
    says(&mut world, "<note>Available</note>");
    world.phone("102").manner = Manner::RingsOnly;
    world.dials("101", "102");
    world.passes(500);
    says(&mut world, "<note>Ringing</note>");
    let now = world.now;
    world.phone("102").answers_call(now);
    world.passes(500);
    says(&mut world, "<rpid:on-the-phone/>");
    let now = world.now;
    world.phone("102").hangs_up(now);
    world.passes(500);
    says(&mut world, "<note>Available</note>");
    let now = world.now;
    world.passes(1_000_000);
    world.phone("101").refreshes(now, seen, 3_600);
    world.passes(3_000_000);
    says(&mut world, "<basic>closed</basic>");
}

#[test]
fn a_publication_lives_is_refreshed_changed_and_removed() {
    let mut world = World::new(&["101", "102"], 402);
    let seen = world.watches("101", "presence", "102", 3_600);
    let (code, first) = publishes(&mut world, "102", publication(AWAY, 600, ""));
    assert_eq!(code, 200);
    assert_eq!(world.watching("101", seen).document(), AWAY);
    let (code, second) = publishes(&mut world, "102", publication("", 600, &first));
    assert!(code == 200 && second != first);
    assert_eq!(
        publishes(&mut world, "102", publication("", 600, &first)).0,
        412
    );
    let lunch = AWAY.replace("Away", "Lunch");
    let (code, third) = publishes(&mut world, "102", publication(&lunch, 600, &second));
    assert_eq!(code, 200);
    assert_eq!(world.watching("101", seen).document(), lunch);
    assert_eq!(
        publishes(&mut world, "102", publication("", 0, &third)).0,
        200
    );
    assert!(world.watching("101", seen).document().contains("Available"));

    // Nobody refreshes it: it is forgotten, and told so.
    publishes(&mut world, "102", publication(AWAY, 60, ""));
    assert_eq!(world.watching("101", seen).document(), AWAY);
    world.passes(61_000);
    assert!(world.watching("101", seen).document().contains("Available"));
}

#[test]
fn what_may_not_be_published_is_refused() {
    let mut world = World::new(&["101", "102"], 403);
    assert_eq!(
        publishes(&mut world, "101", publication(AWAY, 600, "")).0,
        403
    );
    assert_eq!(
        publishes(&mut world, "102", publication(AWAY, 30, "")).0,
        423
    );
    assert_eq!(
        publishes(&mut world, "102", publication("", 600, "")).0,
        400
    );
    assert_eq!(
        publishes(&mut world, "102", publication("", 600, "none")).0,
        412
    );
    assert_eq!(
        publishes(&mut world, "102", publication("<presence>", 600, "")).0,
        400
    );
    // Nobody is spoken for by another's document, nor is somebody who is not named.
    for entity in ["sip:101@pbx", "pres:100@pbx", "sip:pbx", "102", ""] {
        let other = AWAY.replace("sip:102@pbx", entity);
        let told = publishes(&mut world, "102", publication(&other, 600, ""));
        assert_eq!(told.0, 403, "{entity}");
    }
    let pres = AWAY.replace("sip:102@pbx", "pres:102@pbx");
    let (status, etag) = publishes(&mut world, "102", publication(&pres, 600, ""));
    assert_eq!(status, 200);
    assert_eq!(
        publishes(&mut world, "102", publication("", 0, &etag)).0,
        200
    );
    let large = AWAY.replace("Away", &"x".repeat(9_000));
    assert_eq!(
        publishes(&mut world, "102", publication(&large, 600, "")).0,
        413
    );
    let other = Watching {
        package: "dialog".into(),
        ..publication(AWAY, 600, "")
    };
    assert_eq!(publishes(&mut world, "102", other).0, 489);
    for _ in 0..5 {
        assert_eq!(
            publishes(&mut world, "102", publication(AWAY, 600, "")).0,
            200
        );
    }
    assert_eq!(
        publishes(&mut world, "102", publication(AWAY, 600, "")).0,
        503
    );
    world.passes(700_000);
    assert_eq!(world.switch.sizes(), EMPTY);
}

#[test]
fn an_extension_sees_where_its_own_phones_are() {
    let mut world = World::new(&["101"], 404);
    let seen = world.watches("101", "reg", "101", 3_600);
    let document = world.watching("101", seen).document();
    assert!(
        document.contains("<registration aor=\"sip:101@pbx\" id=\"r101\" state=\"active\">"),
        "{document}"
    );
    assert!(
        document.contains("<uri>sip:101@10.0.0.1:5060</uri>"),
        "{document}"
    );
    let now = world.now;
    world.passes(1_000_000);
    world.phone("101").refreshes(now, seen, 3_600);
    world.passes(3_000_000);
    let document = world.watching("101", seen).document();
    assert!(document.contains("state=\"init\""), "{document}");
}
