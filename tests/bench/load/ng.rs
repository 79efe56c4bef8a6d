//! Calls by the ng protocol of rtpengine: a cookie and a bencoded dictionary, over UDP.

use crate::sip::{audio, sdp};
use crate::{Call, Caller, Plan};
use media::Codec;
use std::io;
use std::net::UdpSocket;
use std::time::Duration;

pub struct Proxy {
    socket: UdpSocket,
    plan: Plan,
    run: u32,
    calls: usize,
    cookie: u64,
}

fn text(value: &str) -> String {
    format!("{}:{value}", value.len())
}

/// A dictionary of texts, in the order given.
fn dictionary(items: &[(&str, String)]) -> String {
    let items: String = items.iter().map(|(key, value)| text(key) + value).collect();
    format!("d{items}e")
}

impl Proxy {
    pub fn new(plan: &Plan) -> io::Result<Proxy> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(plan.server)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Proxy {
            socket,
            plan: plan.clone(),
            run: std::process::id(),
            calls: 0,
            cookie: 0,
        })
    }

    fn ask(&mut self, what: &str) -> Result<String, String> {
        self.cookie += 1;
        let cookie = format!("{}_{} ", self.run, self.cookie);
        let wrong = |error: io::Error| error.to_string();
        self.socket
            .send(format!("{cookie}{what}").as_bytes())
            .map_err(wrong)?;
        let mut buffer = [0; 16_384];
        loop {
            let length = self.socket.recv(&mut buffer).map_err(wrong)?;
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if let Some(answer) = answer.strip_prefix(&cookie) {
                return Ok(answer.to_owned());
            }
        }
    }

    /// Offer or answer; the SDP that comes back.
    fn exchange(&mut self, command: &str, body: &str, call: usize) -> Result<String, String> {
        let Plan { from, to, .. } = self.plan;
        let mut items = vec![
            ("command", text(command)),
            ("call-id", text(&format!("load-{}-{call}", self.run))),
            ("from-tag", text("a")),
            ("sdp", text(body)),
            ("ICE", text("remove")),
            (
                "flags",
                format!("l{}{}e", text("trust-address"), text("port-latching")),
            ),
        ];
        if command == "answer" {
            items.push(("to-tag", text("b")));
        } else if from != to {
            let list = |codec: Codec| format!("l{}e", text(codec.name()));
            let codec = dictionary(&[("mask", list(from)), ("transcode", list(to))]);
            items.push(("codec", codec));
        }
        let answer = self.ask(&dictionary(&items))?;
        let after = answer.split_once("3:sdp").map(|(_, after)| after);
        let (length, rest) = after
            .and_then(|after| after.split_once(':'))
            .ok_or(answer.clone())?;
        let length: usize = length.parse().map_err(|_| answer.clone())?;
        rest.get(..length).map(str::to_owned).ok_or(answer)
    }
}

impl Caller for Proxy {
    fn call(&mut self, rtp: [u16; 2], rtcp: u16) -> Result<Call, String> {
        let Plan { from, to, .. } = self.plan;
        let number = self.calls;
        self.calls += 1;
        let own = from.static_pt().unwrap_or(111);
        let offered = self.exchange("offer", &sdp(from, own, rtp[0], rtcp), number)?;
        let (far, far_type) = audio(&offered, to).ok_or(offered)?;
        let answered = self.exchange("answer", &sdp(to, far_type, rtp[1], rtcp), number)?;
        let (near, near_type) = audio(&answered, from).ok_or(answered)?;
        Ok(Call {
            ports: [near, far],
            types: [near_type, far_type],
        })
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn hang_up(&mut self) {
        for call in 0..self.calls {
            let items = [
                ("command", text("delete")),
                ("call-id", text(&format!("load-{}-{call}", self.run))),
                ("from-tag", text("a")),
            ];
            // What is left over is taken down by its own time-out.
            let _ = self.ask(&dictionary(&items));
        }
    }
}
