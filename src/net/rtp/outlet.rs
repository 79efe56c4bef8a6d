//! The way of events out of a worker: never waits, and loses nothing a call depends on.

use std::collections::VecDeque;

use media::Event;
use tokio::sync::mpsc::{Sender, error::TrySendError};

/// Events kept while the switch is late; beyond that digits, silences and reports are dropped, the rest is bounded by the
/// number of streams and playbacks.
const KEPT: usize = 4096;

pub(super) struct Outlet {
    events: Sender<Event>,
    kept: VecDeque<Event>,
}

impl Outlet {
    pub(super) fn new(events: Sender<Event>) -> Outlet {
        Outlet {
            events,
            kept: VecDeque::with_capacity(KEPT),
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        let full = self.kept.len() >= KEPT;
        match event {
            Event::Dtmf { .. }
            | Event::InfoDue { .. }
            | Event::Silent { .. }
            | Event::Report { .. }
                if full => {}
            Event::Dtmf { .. }
            | Event::InfoDue { .. }
            | Event::Silent { .. }
            | Event::Report { .. }
            | Event::BindFailed { .. }
            | Event::PlayEnded { .. }
            | Event::Closed { .. } => self.kept.push_back(event),
        }
        self.flush();
    }

    /// Sends what there is room for. Whether nothing is left.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(event) = self.kept.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.kept.push_front(event);
                    return false;
                }
                // Nobody is left to be told.
                Err(TrySendError::Closed(_)) => self.kept.clear(),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::StreamId;

    #[test]
    fn a_closed_stream_is_told_however_late_the_switch_is() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let mut outlet = Outlet::new(sender);
        let stream = StreamId(1);
        for _ in 0..KEPT + 10 {
            outlet.tell(Event::Silent { stream, for_ms: 1 });
        }
        outlet.tell(Event::Closed {
            stream,
            stats: Box::default(),
        });
        let mut last = None;
        let mut told = 0;
        while let Ok(event) = receiver.try_recv() {
            told += 1;
            last = Some(event);
            outlet.flush();
        }
        assert!(matches!(last, Some(Event::Closed { .. })));
        assert_eq!(told, KEPT + 2);
    }
}
