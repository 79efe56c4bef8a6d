//! Sets up calls through a running PBX (by SIP) or media proxy (rtpengine's ng protocol), streams RTP through them both ways
//! and tells what was lost, what was added in delay and jitter, and what it cost the server. One JSON line.
//!
//! `load --pid PID --sip 127.0.0.1:5060 [--dial 1000 --caller-port 5180 --callee-port 5170]` or `load --pid PID --ng
//! 127.0.0.1:2223`, then `[--calls 1500 --seconds 20 --from PCMU --to PCMU --threads 1]`. Loopback only: the server's RTP is
//! stamped by the kernel on arrival, so what this program is late to read counts for nothing.
//!
//! Not here: the PBX's configuration; `bench.py` makes it. Next: `traffic.rs` for the packets, `sip.rs` and `ng.rs` for the
//! calls.

mod cpu;
mod figures;
mod ng;
mod sip;
mod sockets;
mod traffic;

use media::Codec;
use std::net::SocketAddr;
use std::time::Duration;

/// What was asked for on the command line.
#[derive(Debug, Clone)]
pub struct Plan {
    pub pid: u32,
    pub server: SocketAddr,
    pub by_sip: bool,
    pub dial: String,
    pub caller_port: u16,
    pub callee_port: u16,
    pub calls: usize,
    pub seconds: u64,
    pub threads: usize,
    pub from: Codec,
    pub to: Codec,
}

/// A call that is set up: where the server wants the RTP of its two parties.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub ports: [u16; 2],
    /// The payload type each party sends and hears.
    pub types: [u8; 2],
}

/// Whoever sets calls up.
pub trait Caller {
    /// The next call; `rtp` are the ports of the two parties.
    fn call(&mut self, rtp: [u16; 2], rtcp: u16) -> Result<Call, String>;
    /// Answers what has to be answered, for so long.
    fn wait(&mut self, time: Duration);
    /// Ends all calls.
    fn hang_up(&mut self);
}

fn main() {
    let told = plan().and_then(|plan| run(&plan));
    match told {
        Ok(line) => println!("{line}"),
        Err(why) => {
            eprintln!("load: {why}");
            std::process::exit(1);
        }
    }
}

fn plan() -> Result<Plan, String> {
    let mut plan = Plan {
        pid: 0,
        server: SocketAddr::from(([127, 0, 0, 1], 5060)),
        by_sip: true,
        dial: "1000".to_owned(),
        caller_port: 5180,
        callee_port: 5170,
        calls: 100,
        seconds: 10,
        threads: 1,
        from: Codec::Pcmu,
        to: Codec::Pcmu,
    };
    let mut words = std::env::args().skip(1);
    while let Some(key) = words.next() {
        let value = words.next().ok_or(format!("{key} needs a value"))?;
        let number = || {
            value
                .parse::<usize>()
                .map_err(|_| format!("{key} {value} is no number"))
        };
        let port = || number().map(|n| n as u16);
        let codec = || Codec::from_name(&value).ok_or(format!("{value} is no codec"));
        match key.as_str() {
            "--pid" => plan.pid = number()? as u32,
            "--sip" | "--ng" => {
                plan.by_sip = key == "--sip";
                plan.server = value
                    .parse()
                    .map_err(|_| format!("{value} is no address"))?;
            }
            "--dial" => plan.dial = value,
            "--caller-port" => plan.caller_port = port()?,
            "--callee-port" => plan.callee_port = port()?,
            "--calls" => plan.calls = number()?,
            "--seconds" => plan.seconds = number()? as u64,
            "--threads" => plan.threads = number()?.max(1),
            "--from" => plan.from = codec()?,
            "--to" => plan.to = codec()?,
            _ => return Err(format!("{key} is unknown")),
        }
    }
    if !plan.server.ip().is_loopback() {
        return Err("loopback servers only".to_owned());
    }
    Ok(plan)
}

fn run(plan: &Plan) -> Result<String, String> {
    let wrong = |error: std::io::Error| error.to_string();
    let mut caller: Box<dyn Caller> = if plan.by_sip {
        Box::new(sip::Phones::new(plan).map_err(wrong)?)
    } else {
        Box::new(ng::Proxy::new(plan).map_err(wrong)?)
    };
    let mut ports = sockets::Ports::open(plan.threads).map_err(wrong)?;
    let mut calls = Vec::with_capacity(plan.calls);
    for number in 0..plan.calls {
        let rtp = ports.of_call(number);
        match caller.call(rtp, ports.rtcp()) {
            Ok(call) => calls.push(call),
            Err(why) => {
                caller.hang_up();
                return Err(format!("call {number}: {why}"));
            }
        }
    }
    let seen = traffic::run(plan, &mut ports, &calls, caller.as_mut());
    caller.hang_up();
    Ok(seen.map_err(wrong)?.to_json(plan))
}
