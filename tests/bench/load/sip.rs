//! Calls by SIP: a caller and a callee on a UDP socket each, who know just enough of RFC 3261 for a quiet loopback.

use crate::{Call, Caller, Plan};
use media::Codec;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A call has this long to be set up.
const PATIENCE: Duration = Duration::from_secs(10);
/// RFC 3261 §17.1.1.2: T1.
const AGAIN: Duration = Duration::from_millis(500);
/// Between calls, so that neither side has to keep up with a burst.
const PACE: Duration = Duration::from_millis(4);

pub struct Phones {
    caller: UdpSocket,
    callee: UdpSocket,
    server: SocketAddr,
    plan: Plan,
    run: u32,
    calls: Vec<Dialog>,
}

/// What a BYE needs.
struct Dialog {
    call_id: String,
    from: String,
    to: String,
    target: String,
}

/// A message that came.
struct Message(String);

impl Message {
    fn header<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.headers(name).next()
    }

    fn headers<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let lines = self.0.split("\r\n").take_while(|line| !line.is_empty());
        lines.filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then_some(value.trim())
        })
    }

    fn status(&self) -> Option<u16> {
        self.0.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    fn is(&self, method: &str) -> bool {
        self.0.starts_with(method) && self.0.as_bytes().get(method.len()) == Some(&b' ')
    }

    fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// The RTP port an SDP names, and the payload type it gives a codec.
pub fn audio(sdp: &str, codec: Codec) -> Option<(u16, u8)> {
    let mut line = sdp
        .lines()
        .find_map(|line| line.strip_prefix("m=audio "))?
        .split(' ');
    let port = line.next()?.parse().ok()?;
    let mapped = sdp.lines().find_map(|line| {
        let (pt, name) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        let name = name.split('/').next()?;
        name.eq_ignore_ascii_case(codec.name())
            .then(|| pt.parse().ok())?
    });
    Some((port, mapped.or(codec.static_pt())?))
}

/// An SDP with one codec.
pub fn sdp(codec: Codec, payload_type: u8, rtp: u16, rtcp: u16) -> String {
    let channels = if codec == Codec::Opus { "/2" } else { "" };
    format!(
        "v=0\r\no=load 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {rtp} RTP/AVP {payload_type}\r\n\
         a=rtpmap:{payload_type} {}/{}{channels}\r\na=ptime:20\r\na=rtcp:{rtcp}\r\na=sendrecv\r\n",
        codec.name(),
        codec.clock_rate()
    )
}

impl Phones {
    pub fn new(plan: &Plan) -> io::Result<Phones> {
        let open = |port| {
            let socket = UdpSocket::bind(("127.0.0.1", port))?;
            socket.set_read_timeout(Some(Duration::from_millis(2)))?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Phones {
            caller: open(plan.caller_port)?,
            callee: open(plan.callee_port)?,
            server: plan.server,
            plan: plan.clone(),
            run: std::process::id(),
            calls: Vec::new(),
        })
    }

    fn send(&self, socket: &UdpSocket, text: &str) {
        // What is lost is sent again.
        let _ = socket.send_to(text.as_bytes(), self.server);
    }

    fn hear(socket: &UdpSocket) -> Option<Message> {
        let mut buffer = [0; 8_192];
        let (length, _) = socket.recv_from(&mut buffer).ok()?;
        String::from_utf8(buffer[..length].to_vec())
            .ok()
            .map(Message)
    }

    fn request(&self, method: &str, dialog: &Dialog, (cseq, body): (u32, &str)) -> String {
        let Dialog {
            call_id,
            from,
            to,
            target,
        } = dialog;
        let port = self.plan.caller_port;
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        // RFC 3261 §17.1.1.3: the ACK of a 200 is a transaction of its own.
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id}{method};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:load@127.0.0.1:{port}>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn answer(&self, socket: &UdpSocket, request: &Message, (status, body): (&str, &str)) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "Call-ID", "CSeq"] {
            for value in request.headers(name) {
                text += &format!("{name}: {value}\r\n");
            }
        }
        let to = request.header("To").unwrap_or_default();
        let tag = if to.contains(";tag=") {
            ""
        } else {
            ";tag=callee"
        };
        let port = self.plan.callee_port;
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        text += &format!(
            "To: {to}{tag}\r\nContact: <sip:callee@127.0.0.1:{port}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send(socket, &text);
    }

    /// The callee's turn: what it agreed on with the server, when this was the INVITE.
    fn callee(&self, (rtp, rtcp): (u16, u16)) -> Option<(u16, u8)> {
        let request = Self::hear(&self.callee)?;
        if request.is("INVITE") {
            let agreed = audio(request.body(), self.plan.to);
            let body = agreed.map(|(_, pt)| sdp(self.plan.to, pt, rtp, rtcp));
            let status = if body.is_some() {
                "200 OK"
            } else {
                "488 Not Acceptable Here"
            };
            self.answer(&self.callee, &request, (status, &body.unwrap_or_default()));
            return agreed;
        }
        if request.status().is_none() && !request.is("ACK") {
            self.answer(&self.callee, &request, ("200 OK", ""));
        }
        None
    }

    /// The caller's turn: a final answer.
    fn caller(&self) -> Option<Message> {
        let message = Self::hear(&self.caller)?;
        match message.status() {
            None if !message.is("ACK") => {
                self.answer(&self.caller, &message, ("200 OK", ""));
                None
            }
            Some(200..) => Some(message),
            _ => None,
        }
    }
}

impl Caller for Phones {
    fn call(&mut self, rtp: [u16; 2], rtcp: u16) -> Result<Call, String> {
        std::thread::sleep(PACE);
        let plan = &self.plan;
        let own = plan.from.static_pt().unwrap_or(111);
        let mut dialog = Dialog {
            call_id: format!("load-{}-{}", self.run, self.calls.len()),
            from: format!(
                "<sip:load@127.0.0.1:{}>;tag=load{}",
                plan.caller_port,
                self.calls.len()
            ),
            to: format!("<sip:{}@{}>", plan.dial, plan.server),
            target: format!("sip:{}@{}", plan.dial, plan.server),
        };
        let invite = self.request("INVITE", &dialog, (1, &sdp(plan.from, own, rtp[0], rtcp)));
        let begun = Instant::now();
        let mut again = begun;
        let (mut agreed, mut answered) = (None, None);
        while agreed.is_none() || answered.is_none() {
            if begun.elapsed() > PATIENCE {
                return Err("nobody answered".to_owned());
            }
            if answered.is_none() && Instant::now() >= again {
                self.send(&self.caller, &invite);
                again += AGAIN;
            }
            agreed = self.callee((rtp[1], rtcp)).or(agreed);
            let finals = self.caller();
            let own = finals.filter(|m| m.header("Call-ID") == Some(&dialog.call_id));
            answered = own.or(answered);
            if let Some(refusal) = answered.as_ref().filter(|m| m.status() != Some(200)) {
                return Err(refusal.0.lines().next().unwrap_or_default().to_owned());
            }
        }
        let answered = answered.ok_or("no answer")?;
        let contact = answered.header("Contact").unwrap_or_default();
        dialog.target = contact
            .trim_start_matches('<')
            .split('>')
            .next()
            .unwrap_or_default()
            .to_owned();
        dialog.to = answered.header("To").unwrap_or_default().to_owned();
        self.send(&self.caller, &self.request("ACK", &dialog, (1, "")));
        let (port, payload_type) =
            audio(answered.body(), plan.from).ok_or("no audio in the answer")?;
        let (far, far_type) = agreed.ok_or("the callee was not offered its codec")?;
        self.calls.push(dialog);
        Ok(Call {
            ports: [port, far],
            types: [payload_type, far_type],
        })
    }

    fn wait(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            // The server may ask whether they are there.
            self.callee((9, 9));
            self.caller();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn hang_up(&mut self) {
        for number in 0..self.calls.len() {
            if let Some(dialog) = self.calls.get(number) {
                self.send(&self.caller, &self.request("BYE", dialog, (2, "")));
            }
            self.callee((9, 9));
            self.caller();
        }
        self.wait(Duration::from_millis(500));
    }
}
