//! The one loop around the Switch: events in, commands out, timers when they are due. It has a thread of its own.

use crate::journal::Journal;
use api::Live;
use bytes::Bytes;
use dialplan::Runner;
use directory::Traced;
use net::{Incoming, Media, NetEvent, Transports, Webhook};
use sip::Flow;
use std::sync::Arc;
use std::time::Instant;
use store::{Traces, Writer};
use switch::{CallId, Command, Event, Notice, ScriptEnd, Switch};
use tokio::sync::{mpsc, oneshot};

/// The most events taken before the timers are looked at again.
const BATCH: usize = 64;

/// Whom commands go to.
pub(crate) struct Edges {
    pub(crate) transports: Transports,
    pub(crate) media: Media,
    pub(crate) runner: Runner,
    pub(crate) writer: Writer,
    pub(crate) traces: Option<Traces>,
    pub(crate) live: Arc<Live>,
    /// Wakes sleeping phones.
    pub(crate) webhook: Option<Webhook>,
    /// For what the resolver finds and the webhook does.
    pub(crate) events: mpsc::Sender<Event>,
}

/// Where events come from.
pub(crate) struct Queues {
    pub(crate) net: Incoming,
    pub(crate) media: mpsc::Receiver<media::Event>,
    pub(crate) events: mpsc::Receiver<Event>,
}

/// The running loop.
pub(crate) struct Shift {
    pub(crate) thread: Ending,
    /// Told when a stop is complete; closed when the loop has ended otherwise.
    pub(crate) stopped: oneshot::Receiver<()>,
}

/// Ends the loop.
pub(crate) struct Ending {
    end: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Option<Writer>>,
}

impl Ending {
    /// Ends the loop, waits for it and gives back the writer with what is still unwritten.
    pub(crate) async fn finish(self) -> Option<Writer> {
        // The loop may have ended already.
        let _ended = self.end.send(());
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        match joined {
            Ok(Ok(writer)) => writer,
            Ok(Err(_)) | Err(_) => {
                tracing::error!("the call loop ended by a panic");
                None
            }
        }
    }
}

impl Shift {
    /// Starts the loop. Names are resolved on the caller's runtime.
    pub(crate) fn start(
        switch: Switch,
        edges: Edges,
        queues: Queues,
        journal: Option<Journal>,
    ) -> Shift {
        let (told, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let main = tokio::runtime::Handle::current();
        let work = Work {
            switch,
            edges,
            journal,
            main,
            stopped: Some(told),
            turn: Turn::default(),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => Some(runtime.block_on(work.run(queues, ended))),
                Err(error) => {
                    tracing::error!(%error, "the call loop cannot start");
                    None
                }
            }
        });
        Shift {
            thread: Ending { end, thread },
            stopped,
        }
    }
}

struct Work {
    switch: Switch,
    edges: Edges,
    journal: Option<Journal>,
    main: tokio::runtime::Handle,
    stopped: Option<oneshot::Sender<()>>,
    turn: Turn,
}

/// What a turn of the loop has to hand over at its end. Media first: who is told of a port may send to it at once.
/// Together, because each hand-over may wake a thread.
#[derive(Default)]
struct Turn {
    media: Vec<media::Command>,
    sends: Vec<(Flow, Bytes)>,
    traced: Vec<Traced>,
}

impl Work {
    async fn run(mut self, mut queues: Queues, mut ended: oneshot::Receiver<()>) -> Writer {
        if let Err(error) = queues.net.watch() {
            tracing::error!(%error, "no datagrams can be received");
            return self.edges.writer;
        }
        loop {
            let deadline = self.switch.deadline();
            let sleep = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = &mut ended => return self.edges.writer,
                Some(event) = queues.media.recv() => self.take(Event::Media(event)),
                Some(event) = queues.events.recv() => self.take(event),
                Some(event) = queues.net.recv() => self.take(from_net(event)),
                () = sleep => {}
            }
            let more = self.drain(&mut queues);
            let now = Instant::now();
            if self.switch.deadline().is_some_and(|at| at <= now) {
                self.note(now, None);
                self.switch.expire(now);
                self.carry_out();
            }
            self.hand_over();
            if more {
                // Which sockets have something is only known anew after the runtime had its turn.
                tokio::task::yield_now().await;
            }
        }
    }

    fn hand_over(&mut self) {
        if !self.turn.media.is_empty() {
            self.edges.media.commands(self.turn.media.drain(..));
        }
        for (flow, bytes) in self.turn.sends.drain(..) {
            self.edges.transports.send(flow, bytes);
        }
        match &self.edges.traces {
            Some(traces) if !self.turn.traced.is_empty() => traces.add(&mut self.turn.traced),
            _ => self.turn.traced.clear(),
        }
    }

    /// Takes what waits without going to sleep between. Whether there may be more.
    fn drain(&mut self, queues: &mut Queues) -> bool {
        for _ in 0..BATCH {
            let mut any = false;
            if let Ok(event) = queues.media.try_recv() {
                self.take(Event::Media(event));
                any = true;
            }
            if let Ok(event) = queues.events.try_recv() {
                self.take(event);
                any = true;
            }
            if let Some(event) = queues.net.try_recv() {
                self.take(from_net(event));
                any = true;
            }
            if !any {
                return false;
            }
        }
        true
    }

    fn take(&mut self, event: Event) {
        let now = Instant::now();
        self.note(now, Some(&event));
        if let Event::Directory(directory) = &event {
            let peers = crate::provider::tls_peers(directory);
            self.edges.transports.peers().set(peers);
        }
        self.switch.handle(now, event);
        self.carry_out();
    }

    fn note(&mut self, now: Instant, event: Option<&Event>) {
        if let Some(journal) = &mut self.journal {
            journal.add(now, event);
        }
    }

    /// Hands over what the Switch wants, until it wants nothing more.
    fn carry_out(&mut self) {
        let mut overloaded = Vec::new();
        loop {
            self.carry_out_once(&mut overloaded);
            let Some(call) = overloaded.pop() else { return };
            // Not by the queue to ourselves: the busier we are, the likelier it is full, and the caller waits.
            let end = ScriptEnd::Overloaded;
            let (now, full) = (Instant::now(), Event::ScriptEnded { call, end });
            self.note(now, Some(&full));
            self.switch.handle(now, full);
        }
    }

    /// What the Switch has at hand; calls whose script nobody has time for are added to `overloaded`.
    fn carry_out_once(&mut self, overloaded: &mut Vec<CallId>) {
        while let Some(command) = self.switch.poll() {
            match command {
                Command::Send { flow, bytes } => self.turn.sends.push((flow, bytes)),
                Command::Close { flow } => self.edges.transports.close(flow),
                Command::Resolve {
                    query,
                    trunk,
                    host,
                    port,
                    transport,
                } => {
                    let (transports, events) =
                        (self.edges.transports.clone(), self.edges.events.clone());
                    self.main.spawn(async move {
                        let flows = transports
                            .resolve_trunk(&trunk, &host, port, transport)
                            .await;
                        // Nobody receives only while the PBX stops.
                        let _stopping = events.send(Event::Resolved { query, flows }).await;
                    });
                }
                Command::Media(command) => self.turn.media.push(command),
                Command::StartScript {
                    call,
                    entry,
                    session,
                } => {
                    if !self.edges.runner.start_script(call, entry, *session) {
                        overloaded.push(call);
                    }
                }
                Command::Resume { call, outcome } => self.edges.runner.resume(call, outcome),
                Command::StopScript { call } => self.edges.runner.stop(call),
                Command::Record(record) => self.edges.writer.record(*record),
                Command::KeepRegistration(registration) => self.edges.writer.keep(*registration),
                Command::DropRegistration { extension, binding } => {
                    self.edges.writer.drop_registration(extension, binding);
                }
                Command::Trace(message) => self.turn.traced.push(message),
                Command::KeepBan(ban) => self.edges.writer.keep_ban(ban),
                Command::DropBan { id } => self.edges.writer.drop_ban(id),
                Command::KeepSubscription(one) => self.edges.writer.keep_subscription(*one),
                Command::DropSubscription { id } => self.edges.writer.drop_subscription(id),
                Command::KeepMessage(message) => self.edges.writer.keep_message(*message),
                Command::DropMessage { id } => self.edges.writer.drop_message(id),
                Command::Push(note) => {
                    crate::push::send(self.edges.webhook.as_ref(), &self.edges.events, *note);
                }
                Command::Notice(notice) => self.tell(&notice),
            }
        }
    }

    fn tell(&mut self, notice: &Notice) {
        self.edges.live.apply(notice);
        match notice {
            Notice::Call(call) => {
                tracing::info!(call = %call.call, from = call.from, to = call.to, state = ?call.state, "call")
            }
            Notice::Measured { call, legs } => {
                tracing::debug!(%call, legs = legs.len(), "measured");
            }
            Notice::CallEnded { call, cause } => tracing::info!(%call, cause, "call ended"),
            Notice::Conference(room) => {
                let (name, parties) = (&room.name, room.members.len());
                tracing::debug!(name, parties, "conference");
            }
            Notice::ConferenceEnded { name } => tracing::debug!(name, "conference ended"),
            Notice::Registered(r) => {
                tracing::debug!(extension = r.extension, source = r.source, "registered")
            }
            Notice::Unregistered { extension, .. } => tracing::info!(extension, "unregistered"),
            Notice::Reach {
                extension,
                binding,
                reach,
            } => {
                tracing::debug!(extension, binding, ?reach, "phone");
            }
            Notice::Push { extension, failure } => match failure {
                None => tracing::debug!(extension, "push notification sent"),
                Some(why) => tracing::warn!(extension, why, "push notification failed"),
            },
            Notice::Trunk { name, state } => tracing::info!(trunk = name, ?state, "trunk"),
            Notice::TrunkGone { name } => tracing::info!(trunk = name, "trunk removed"),
            Notice::Banned(ban) => {
                let (network, extension, reason) = (&ban.network, &ban.extension, &ban.reason);
                tracing::warn!(network, extension, reason, "banned");
            }
            Notice::BanLifted { id } => tracing::info!(id, "a ban is over"),
            Notice::Emergency { call, from, number } => {
                tracing::warn!(%call, from, number, "emergency call")
            }
            Notice::Warning { call, text } => {
                tracing::warn!(call = call.map(tracing::field::display), "{text}")
            }
            Notice::Panicked { call, what } => {
                tracing::error!(
                    call = call.map(tracing::field::display),
                    what,
                    "the handling of one event failed; its call was ended"
                );
            }
            Notice::Stopped => {
                if let Some(stopped) = self.stopped.take() {
                    // The main task may have given up waiting.
                    let _late = stopped.send(());
                }
            }
        }
    }
}

fn from_net(event: NetEvent) -> Event {
    match event {
        NetEvent::Message { flow, bytes } => Event::Sip { flow, bytes },
        NetEvent::FlowClosed(flow) => Event::FlowClosed { flow },
        NetEvent::Proven { flow, trunks } => Event::Proven { flow, trunks },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use directory::{Codec, Directory, Trunk, TrunkAuth, TrunkTransport};
    use std::net::SocketAddr;
    use std::path::Path;

    /// A loop whose dialplan takes no script, and whose queue to itself is full; the receiver is to be held.
    async fn overloaded(folder: &Path) -> (Work, mpsc::Receiver<Event>) {
        let mut config = Config::default();
        config.data.dir = folder.to_owned();
        let store = crate::run::open_store(&config).await.expect("a store");
        let listen = ["udp://127.0.0.1:0".parse().expect("a listener")];
        let (transports, _) = net::Transports::bind(&listen, net::Settings::default())
            .await
            .expect("bound");
        let (events, queue) = mpsc::channel(1);
        events.try_send(Event::Stop).expect("room for one");
        let limits = dialplan::Limits {
            scripts: 0,
            ..dialplan::Limits::default()
        };
        dialplan::unpack(folder).expect("unpacked");
        let (plan, _) = dialplan::Dialplan::open(&folder.join("dialplan"), limits).expect("good");
        let (media_events, _) = mpsc::channel(1);
        let edges = Edges {
            transports,
            media: Media::start(1, folder.join("sounds"), media_events).expect("started"),
            runner: Runner::start(Arc::new(plan), 1, |_| {}),
            writer: Writer::start(store, folder.join("unsent")),
            traces: None,
            live: Arc::new(Live::new()),
            webhook: None,
            events,
        };
        let settings = crate::start::switch_config(&config).expect("settings");
        let work = Work {
            switch: Switch::new(settings),
            edges,
            journal: None,
            main: tokio::runtime::Handle::current(),
            stopped: None,
            turn: Turn::default(),
        };
        (work, queue)
    }

    fn provider() -> Trunk {
        Trunk {
            name: "provider".into(),
            host: "192.0.2.10".into(),
            port: None,
            transport: TrunkTransport::Udp,
            auth: TrunkAuth::Address,
            username: None,
            codecs: vec![Codec::Pcma],
            numbers: [("4930".to_owned(), "101".to_owned())].into(),
            match_port: false,
            tls: directory::TrunkTls::default(),
            trust_identity: false,
            reliable_provisionals: directory::Reliability::Supported,
            srtp: directory::Srtp::Off,
            dtmf: directory::DtmfMode::default(),
        }
    }

    fn invite(flow: &Flow) -> Bytes {
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
        format!(
            "INVITE sip:4930@{local} SIP/2.0\r\nVia: SIP/2.0/UDP {remote};branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: <sip:1@{remote}>;tag=1\r\nTo: <sip:4930@{local}>\r\nCall-ID: 1@{remote}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:1@{remote}>\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}",
            local = flow.local,
            remote = flow.remote,
            length = sdp.len(),
        )
        .into()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_caller_for_whom_there_is_no_time_is_told_though_the_queue_is_full() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut work, _queue) = overloaded(folder.path()).await;
        let directory = Directory::new(Vec::new(), vec![(provider(), None)]);
        work.take(Event::Directory(Arc::new(directory)));
        let flow = Flow {
            transport: sip::Transport::Udp,
            local: SocketAddr::from(([127, 0, 0, 1], 5060)),
            remote: SocketAddr::from(([192, 0, 2, 10], 5060)),
            id: 0,
        };
        let bytes = invite(&flow);
        work.take(Event::Sip { flow, bytes });
        let said: Vec<String> = work
            .turn
            .sends
            .iter()
            .map(|(_, b)| String::from_utf8_lossy(b).into())
            .collect();
        assert!(
            said.iter().any(|text| text.starts_with("SIP/2.0 503 ")),
            "{said:?}"
        );
        assert_eq!(work.switch.sizes().calls, 0);
    }
}
