//! The media plane's threads. A worker (`worker.rs`) owns its sockets (`sockets.rs`) and one `media::Engine`; this file
//! is the desk in front of them: which worker a stream belongs to, and prompts turned into clips before a worker
//! hears of them.

mod lane;
mod outlet;
mod passage;
mod priority;
mod rooms;
mod sockets;
mod worker;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use media::{Clip, Codec, Command, Event, PlayId, RoomId, Source, StreamId};
use tokio::sync::mpsc;

use crate::files::{Job, Loader};
use lane::{Lane, Order};
use rooms::Rooms;
use worker::Worker;

/// All media threads. A cheap handle; they end when the last handle is dropped.
#[derive(Clone)]
pub struct Media {
    desk: Arc<Desk>,
}

struct Desk {
    lanes: Vec<Lane>,
    /// Held while a command is passed on, so that what is known here and what a worker is told have one order.
    streams: Mutex<HashMap<StreamId, Known>>,
    rooms: Mutex<Rooms>,
    loader: Loader,
}

/// What has to be known of a stream to find it and to give it a prompt.
struct Known {
    /// Its worker.
    lane: usize,
    codec: Option<Codec>,
    waiting: Option<Waiting>,
    room: Option<RoomId>,
    /// What is to be said to its room.
    announcing: Option<Waiting>,
}

/// A prompt that is being loaded, or that waits for the stream to be negotiated.
struct Waiting {
    play: PlayId,
    name: Arc<str>,
    repeat: bool,
}

impl Known {
    fn on(lane: usize) -> Known {
        Known {
            lane,
            codec: None,
            waiting: None,
            room: None,
            announcing: None,
        }
    }
}

impl Waiting {
    /// `None` for what need not be loaded.
    fn of(play: PlayId, source: &Source, repeat: bool) -> Option<Waiting> {
        let Source::Prompt(name) = source else {
            return None;
        };
        let name = name.as_str().into();
        Some(Waiting { play, name, repeat })
    }
}

impl Media {
    /// Starts `workers` threads (at least one) that play the files under `sounds` and tell `events`. An event the
    /// channel has no room for is kept and told later; only digits and silences beyond some thousands are lost.
    ///
    /// # Errors
    /// When the system gives no thread, epoll or eventfd.
    pub fn start(
        workers: usize,
        sounds: PathBuf,
        events: mpsc::Sender<Event>,
    ) -> io::Result<Media> {
        let mut lanes = Vec::new();
        for number in 0..workers.max(1) {
            let (lane, orders) = lane::lane()?;
            Worker::start(number, orders, events.clone())?;
            lanes.push(lane);
        }
        let desk = Arc::new_cyclic(|desk: &std::sync::Weak<Desk>| {
            let desk = desk.clone();
            let done = move |job: Job, clip: Option<Arc<Clip>>| {
                if let Some(desk) = desk.upgrade() {
                    desk.loaded(&job, clip);
                }
            };
            Desk {
                lanes,
                streams: Mutex::default(),
                rooms: Mutex::default(),
                loader: Loader::start(sounds, done),
            }
        });
        Ok(Media { desk })
    }

    /// Obeys `command` soon; never waits, from any thread. Commands of one call are obeyed in their order. A prompt is
    /// loaded first: until then nothing is heard, and what cannot be played ends with `PlayEnded { finished: false }`.
    pub fn command(&self, command: Command) {
        self.commands([command]);
    }

    /// As [`command`](Media::command), for several: a worker is woken once for all of its share.
    pub fn commands(&self, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.desk.command(command);
        }
        self.desk.ring();
    }
}

impl Desk {
    fn command(&self, command: Command) {
        let mut streams = self.streams();
        let stream = command.stream();
        match &command {
            Command::Open { .. } => {
                streams.insert(stream, Known::on(self.first_lane(stream)));
            }
            Command::Negotiated { negotiated, .. } => {
                if let Some(known) = streams.get_mut(&stream) {
                    known.codec = Some(negotiated.codec);
                    self.load(stream, known);
                }
            }
            Command::Join { a, b } => {
                self.forget_music(&mut streams, [*a, *b]);
                let both = [*a, *b].into_iter();
                both.for_each(|stream| self.leave_room(&mut streams, stream));
                self.bring_together(&mut streams, *a, *b);
            }
            Command::Play {
                play,
                source,
                repeat,
                ..
            } => {
                self.forget(&mut streams, stream);
                if let (Some(waiting), Some(known)) = (
                    Waiting::of(*play, source, *repeat),
                    streams.get_mut(&stream),
                ) {
                    // What plays now ends now, though the file may take a moment.
                    self.pass(known.lane, Order::Engine(Command::StopPlay { stream }));
                    known.waiting = Some(waiting);
                    return self.load(stream, known);
                }
            }
            Command::StopPlay { .. } => self.forget(&mut streams, stream),
            Command::Close { .. } => {
                self.forget(&mut streams, stream);
                self.leave_room(&mut streams, stream);
                let lane = self.lane_of(&streams, stream);
                streams.remove(&stream);
                return self.pass(lane, Order::Engine(command));
            }
            Command::Enter { room, .. } => {
                self.forget_music(&mut streams, [stream, stream]);
                self.enter_room(&mut streams, stream, *room);
            }
            Command::Announce { play, source, .. } => {
                if let (Some(waiting), Some(known)) =
                    (Waiting::of(*play, source, false), streams.get_mut(&stream))
                {
                    return self.load_announcement(stream, known, waiting);
                }
            }
            Command::Part { .. } | Command::Echo { .. } => self.leave_room(&mut streams, stream),
            Command::Seat { .. }
            | Command::Report { .. }
            | Command::Press { .. }
            | Command::Pressed { .. } => {}
        }
        self.pass(self.lane_of(&streams, stream), Order::Engine(command));
    }

    /// The worker of a stream that is opened: that of the others of its call.
    fn first_lane(&self, stream: StreamId) -> usize {
        usize::try_from(stream.call() % self.lanes.len() as u64).unwrap_or_default()
    }

    fn lane_of(&self, streams: &HashMap<StreamId, Known>, stream: StreamId) -> usize {
        let known = streams.get(&stream).map(|known| known.lane);
        known.unwrap_or_else(|| self.first_lane(stream))
    }

    /// Streams of two calls may meet: `b` goes to the worker of `a`.
    fn bring_together(&self, streams: &mut HashMap<StreamId, Known>, a: StreamId, b: StreamId) {
        let lane = self.lane_of(streams, a);
        self.bring(streams, b, lane);
    }

    fn bring(&self, streams: &mut HashMap<StreamId, Known>, b: StreamId, lane: usize) {
        if let Some(known) = streams.get_mut(&b).filter(|known| known.lane != lane) {
            let (exit, entrance) = passage::passage();
            self.pass(known.lane, Order::Leave(b, exit));
            self.pass(lane, Order::Arrive(entrance));
            known.lane = lane;
        }
    }

    /// Ends a prompt that has not begun.
    fn forget(&self, streams: &mut HashMap<StreamId, Known>, stream: StreamId) {
        if let Some(known) = streams.get_mut(&stream)
            && let Some(waiting) = known.waiting.take()
        {
            self.end(known.lane, stream, waiting.play);
        }
    }

    /// To be joined ends what would be played without end, and so it does when that has not begun.
    fn forget_music(&self, streams: &mut HashMap<StreamId, Known>, joined: [StreamId; 2]) {
        for stream in joined {
            let waiting = streams
                .get(&stream)
                .and_then(|known| known.waiting.as_ref());
            if waiting.is_some_and(|waiting| waiting.repeat) {
                self.forget(streams, stream);
            }
        }
    }

    fn end(&self, lane: usize, stream: StreamId, play: PlayId) {
        let ended = Event::PlayEnded {
            stream,
            play,
            finished: false,
        };
        self.pass(lane, Order::Tell(ended));
    }

    /// Asks for the waiting prompt, if any, in the codec of the stream, if there is one yet.
    fn load(&self, stream: StreamId, known: &mut Known) {
        let (Some(waiting), Some(codec)) = (&known.waiting, known.codec) else {
            return;
        };
        let job = Job {
            stream,
            play: waiting.play,
            name: waiting.name.clone(),
            codec,
        };
        if !self.loader.ask(job) {
            tracing::warn!(name = %waiting.name, "too many prompts wait to be loaded: one is left out");
            self.end(known.lane, stream, waiting.play);
            known.waiting = None;
        }
    }

    /// The loader is done. Nothing is played when the prompt was stopped, replaced or asked in another codec since.
    fn loaded(&self, job: &Job, clip: Option<Arc<Clip>>) {
        let mut streams = self.streams();
        let Some(known) = streams.get_mut(&job.stream) else {
            return;
        };
        let announced = known.announcing.take_if(|it| it.play == job.play);
        let announcement = announced.is_some();
        if known.codec != Some(job.codec) && !announcement {
            return;
        }
        let awaited = |known: &mut Known| known.waiting.take_if(|it| it.play == job.play);
        let Some(waiting) = announced.or_else(|| awaited(known)) else {
            return;
        };
        match clip {
            Some(clip) if announcement => {
                let announce = Command::Announce {
                    stream: job.stream,
                    play: waiting.play,
                    source: Source::Clip(clip),
                };
                self.pass(known.lane, Order::Engine(announce));
            }
            Some(clip) => {
                let play = Command::Play {
                    stream: job.stream,
                    play: waiting.play,
                    source: Source::Clip(clip),
                    repeat: waiting.repeat,
                };
                self.pass(known.lane, Order::Engine(play));
            }
            None => self.end(known.lane, job.stream, waiting.play),
        }
        self.ring();
    }

    fn ring(&self) {
        for lane in &self.lanes {
            lane.ring();
        }
    }

    fn pass(&self, lane: usize, order: Order) {
        if let Some(lane) = self.lanes.get(lane) {
            lane.push(order);
        }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamId, Known>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
