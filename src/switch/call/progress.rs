//! What a transferrer's phone is told of its transfer: NOTIFYs with `message/sipfrag` in the dialog of its REFER.
//!
//! One NOTIFY at a time, so that none overtakes another; while one is on its way only the newest of what follows waits.
//! Not here: what became of the transfer (`transfer`).

use crate::office::Office;
use sip::{Ask, DialogId, TransactionId};

/// The implicit subscription of one REFER (RFC 3515 §2.4.4).
#[derive(Debug)]
pub(crate) struct Progress {
    dialog: DialogId,
    /// The `id` of its Event header; none for the first REFER of a dialog.
    id: Option<u32>,
    state: State,
    /// The status that waits for its turn.
    next: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// A NOTIFY is on its way.
    Telling(TransactionId),
    /// The last one is.
    Ending(TransactionId),
    /// The subscription is over.
    Over,
}

/// What the answer to a NOTIFY means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It was not about this transfer, or there is more to tell.
    Nothing,
    /// The phone knows how it ended, or does not want to know.
    All,
}

impl Progress {
    pub(crate) fn new(dialog: DialogId, id: Option<u32>) -> Self {
        Self {
            dialog,
            id,
            state: State::Idle,
            next: None,
        }
    }

    /// Tells the phone how far the party it sent on is: a status as the INVITE to the target would have brought it. A
    /// final one ends the subscription.
    pub(crate) fn tell(&mut self, office: &mut Office, status: u16) {
        match self.state {
            State::Idle => self.send(office, status),
            State::Telling(_) => self.next = Some(status),
            State::Ending(_) | State::Over => {}
        }
    }

    /// The same at once, for the dialog ends: whatever is on its way.
    pub(crate) fn last_word(&mut self, office: &mut Office, status: u16) {
        match self.state {
            State::Idle | State::Telling(_) => self.send(office, status),
            State::Ending(_) | State::Over => {}
        }
    }

    /// The phone answered a NOTIFY, or did not in time.
    pub(crate) fn told(
        &mut self,
        office: &mut Office,
        transaction: TransactionId,
        status: u16,
    ) -> Heard {
        match self.state {
            State::Telling(sent) if sent == transaction => {}
            State::Ending(sent) if sent == transaction => {
                self.state = State::Over;
                return Heard::All;
            }
            _ => return Heard::Nothing,
        }
        // RFC 6665 §4.2.2: 481 ends the subscription, and so does silence. A NOTIFY that was refused for another reason
        // does not make the next one needless.
        if matches!(status, 408 | 481 | 503) {
            self.state = State::Over;
            return Heard::All;
        }
        self.state = State::Idle;
        if let Some(next) = self.next.take() {
            self.send(office, next);
        }
        if self.is_over() {
            // There was no way to tell it: nothing more will be heard.
            return Heard::All;
        }
        Heard::Nothing
    }

    /// Whether the phone has been told the end, or will not be.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    fn send(&mut self, office: &mut Office, status: u16) {
        let last = status >= 200;
        // RFC 3515 §2.4.6: one who refers more than once in a dialog tells its REFERs apart by `id`.
        let event = match self.id {
            Some(id) => format!("refer;id={id}"),
            None => "refer".to_owned(),
        };
        // RFC 3515 §2.4.7: after the final status there is nothing more to come.
        let state = if last {
            "terminated;reason=noresource"
        } else {
            "active;expires=180"
        };
        let text = format!("SIP/2.0 {status} {}\r\n", sip::status::reason(status));
        let ask = Ask {
            method: "NOTIFY".to_owned(),
            headers: vec![
                ("Event".to_owned(), event),
                ("Subscription-State".to_owned(), state.to_owned()),
            ],
            body: Some(("message/sipfrag;version=2.0".to_owned(), text.into_bytes())),
        };
        self.state = match office.sip.ask(office.now, self.dialog, ask) {
            Some(transaction) if last => State::Ending(transaction),
            Some(transaction) => State::Telling(transaction),
            None => State::Over,
        };
    }
}
