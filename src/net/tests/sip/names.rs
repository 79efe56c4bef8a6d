//! Where a provider is, asked of a tiny name server of the test's own; and STUN, by which phones ask where they are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use net::Settings;
use sip::Transport;
use tokio::net::UdpSocket;

use crate::house::{House, receive};

type Asked = Arc<Mutex<Vec<(String, RecordType)>>>;

/// A name server for one zone, and what it was asked.
struct Zone {
    at: SocketAddr,
    asked: Asked,
}

impl Zone {
    async fn serve(records: Vec<(&str, RData)>) -> Zone {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let asked = Asked::default();
        let mut book: HashMap<(String, RecordType), Vec<RData>> = HashMap::new();
        for (name, data) in records {
            let key = (name.to_owned(), data.record_type());
            book.entry(key).or_default().push(data);
        }
        let heard = asked.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let question = query.queries[0].clone();
                let key = (
                    question.name().to_utf8().to_ascii_lowercase(),
                    question.query_type(),
                );
                heard.lock().unwrap().push(key.clone());
                let mut answer =
                    Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
                answer.metadata.authoritative = true;
                answer.metadata.recursion_desired = true;
                answer.metadata.recursion_available = true;
                answer.add_query(question.clone());
                match book.get(&key) {
                    Some(found) => {
                        for data in found {
                            let name = question.name().clone();
                            answer.add_answer(Record::from_rdata(name, 600, data.clone()));
                        }
                    }
                    None => {
                        let root = || name("example.");
                        let soa = SOA::new(root(), root(), 1, 60, 60, 60, 60);
                        answer.metadata.response_code = ResponseCode::NXDomain;
                        answer.add_authority(Record::from_rdata(root(), 60, RData::SOA(soa)));
                    }
                }
                socket
                    .send_to(&answer.to_vec().unwrap(), from)
                    .await
                    .unwrap();
            }
        });
        Zone { at, asked }
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    async fn house(&self) -> House {
        let settings = Settings {
            name_servers: vec![self.at],
            ..Settings::default()
        };
        let listen = ["udp://127.0.0.1:0", "udp://[::1]:0", "tcp://127.0.0.1:0"];
        House::with(&listen, settings).await
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(target)))
}

fn a(last: u8) -> RData {
    RData::A(A::new(127, 0, 0, last))
}

fn naptr(order: u16, preference: u16, service: &str, to: &str) -> RData {
    let [flags, service]: [Box<[u8]>; 2] = [b"s".to_vec().into(), service.as_bytes().into()];
    RData::NAPTR(NAPTR::new(
        order,
        preference,
        flags,
        service,
        [].into(),
        name(to),
    ))
}

async fn places(house: &House, host: &str, transport: Option<Transport>) -> Vec<String> {
    let flows = house.transports.resolve(host, None, transport).await;
    let place = |flow: &sip::Flow| format!("{} {}", flow.transport, flow.remote);
    flows.iter().map(place).collect()
}

#[tokio::test]
async fn the_records_of_a_host_choose_transport_and_order() {
    let zone = Zone::serve(vec![
        (
            "pbx.example.",
            naptr(20, 10, "SIP+D2U", "_sip._udp.pbx.example."),
        ),
        (
            "pbx.example.",
            naptr(10, 20, "SIPS+D2T", "_sips._tcp.elsewhere.example."),
        ),
        (
            "pbx.example.",
            naptr(10, 10, "SIP+D2T", "_sip._tcp.pbx.example."),
        ),
        // Nothing that is spoken here to others.
        ("pbx.example.", naptr(5, 5, "SIP+D2W", "_ws.pbx.example.")),
        (
            "_sip._tcp.pbx.example.",
            srv(20, 0, 5070, "second.example."),
        ),
        ("_sip._tcp.pbx.example.", srv(10, 0, 5071, "first.example.")),
        ("_sip._udp.pbx.example.", srv(1, 1, 5072, "first.example.")),
        (
            "_sips._tcp.elsewhere.example.",
            srv(1, 1, 5073, "second.example."),
        ),
        ("first.example.", a(2)),
        ("second.example.", a(3)),
    ])
    .await;
    let house = zone.house().await;
    let expected = [
        "tcp 127.0.0.2:5071",
        "tcp 127.0.0.3:5070",
        "tls 127.0.0.3:5073",
        "udp 127.0.0.2:5072",
    ];
    assert_eq!(places(&house, "pbx.example", None).await, expected);
    let udp = places(&house, "pbx.example", Some(Transport::Udp)).await;
    assert_eq!(udp, ["udp 127.0.0.2:5072"]);
}

#[tokio::test]
async fn without_naptr_the_services_decide_and_without_those_the_host() {
    let zone = Zone::serve(vec![
        (
            "_sip._tcp.services.example.",
            srv(1, 1, 5070, "host.example."),
        ),
        (
            "_sips._tcp.services.example.",
            srv(1, 1, 5071, "host.example."),
        ),
        ("_sip._udp.closed.example.", srv(0, 0, 0, ".")),
        ("host.example.", a(4)),
        (
            "host.example.",
            RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 1)),
        ),
    ])
    .await;
    let house = zone.house().await;
    let found = places(&house, "services.example", None).await;
    assert_eq!(found, ["tcp 127.0.0.4:5070", "tcp [::1]:5070"]);
    let found = places(&house, "host.example", None).await;
    assert_eq!(found, ["udp 127.0.0.4:5060", "udp [::1]:5060"]);
    let found = places(&house, "closed.example", Some(Transport::Udp)).await;
    assert_eq!(found, [""; 0], "RFC 2782: decidedly not there");
}

#[tokio::test]
async fn answers_are_kept_and_so_is_that_there_are_none() {
    let zone = Zone::serve(vec![("host.example.", a(5))]).await;
    let house = zone.house().await;
    for host in ["host.example", "nobody.example"] {
        let first = places(&house, host, Some(Transport::Udp)).await;
        let asked = zone.count();
        assert!(asked > 0);
        assert_eq!(places(&house, host, Some(Transport::Udp)).await, first);
        assert_eq!(zone.count(), asked, "{host} was asked for again");
    }
}

#[tokio::test]
async fn a_phone_learns_its_address_by_stun() {
    let mut house = House::new(&["udp://127.0.0.1:0", "udp://[::1]:0"]).await;
    for number in [0, 1] {
        let ip = house.at(number).ip();
        let phone = UdpSocket::bind((ip, 0)).await.unwrap();
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        request.extend([7; 12]);
        phone.send_to(&request, house.at(number)).await.unwrap();
        // Nothing is told of it: whoever receives takes it on the way.
        let (answer, _) = tokio::select! {
            answer = receive(&phone) => answer,
            event = house.events.recv() => panic!("{event:?}"),
        };
        assert_eq!(answer[..2], [1, 1]);
        let port = u16::from_be_bytes([answer[26] ^ 0x21, answer[27] ^ 0x12]);
        assert_eq!(port, phone.local_addr().unwrap().port());
    }
}
