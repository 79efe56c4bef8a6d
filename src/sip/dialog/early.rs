//! The early dialogs of a call of ours: each fork that rings has a target, a route set and numbers of its own, and may
//! ring reliably. RFC 3261 §12.1.2, RFC 3262 §4. Who rings reliably here is `prack.rs`.

use super::invite::Calling;
use super::peer::Peer;
use super::{Dialog, Phase, allows_update};
use crate::endpoint::Ask;
use crate::message::{HeaderId, Message};
use crate::transaction::Layer;

/// Early dialogs of one call that we take requests from.
pub(super) const MAX_EARLY: usize = 8;

/// One early dialog that said more than that it rings: it rang reliably, or asked something.
pub(super) struct Fork {
    pub(super) tag: String,
    pub(super) peer: Peer,
    /// Whether it takes UPDATE, as its reliable response said.
    pub(super) updates: bool,
    /// RSeq of its last response that we acknowledged.
    rseq: Option<u32>,
    /// It answered our offer reliably (RFC 3262 §5): either side may offer anew.
    pub(super) settled: bool,
}

impl Calling {
    pub(super) fn fork(&self, tag: &str) -> Option<&Fork> {
        self.forks.iter().find(|fork| fork.tag == tag)
    }

    pub(super) fn fork_mut(&mut self, tag: &str) -> Option<&mut Fork> {
        self.forks.iter_mut().find(|fork| fork.tag == tag)
    }

    fn fork_or_new(&mut self, tag: &str, number: u32) -> Option<&mut Fork> {
        if self.fork(tag).is_none() {
            if self.forks.len() >= MAX_EARLY {
                return None;
            }
            self.forks.push(Fork {
                tag: tag.to_owned(),
                peer: Peer {
                    remote: format!("{};tag={tag}", self.request.to),
                    target: self.request.uri.clone(),
                    routes: self.request.route.clone(),
                    local_seq: number,
                    remote_seq: None,
                },
                updates: false,
                rseq: None,
                settled: false,
            });
        }
        self.fork_mut(tag)
    }
}

impl Dialog {
    /// The number of the last request of who sent `request`: each fork counts for itself.
    pub(super) fn remote_seq_of(&mut self, request: &Message) -> &mut Option<u32> {
        let number = self.peer.local_seq;
        if let Phase::Calling(calling) = &mut self.phase {
            let from = request.from();
            let tag = from.as_ref().and_then(|from| from.tag());
            if let Some(fork) = calling.fork_or_new(tag.unwrap_or_default(), number) {
                return &mut fork.peer.remote_seq;
            }
        }
        &mut self.peer.remote_seq
    }

    /// Whether a provisional response is worth telling. RFC 3262 §4: a reliable one is acknowledged in order, once; one
    /// that came before, or before its turn, does not count.
    pub(super) fn take_provisional(&mut self, layer: &mut Layer, response: &Message) -> bool {
        let Some(rseq) = reliable(response) else {
            return true;
        };
        let number = response.cseq().map_or(0, |(number, _)| number);
        let to = response.to();
        let tag = to.as_ref().and_then(|to| to.tag());
        let room = self.has_room_for_prack(layer);
        let Phase::Calling(calling) = &mut self.phase else {
            return false;
        };
        let offered = !calling.request.sdp.is_empty();
        let fork = tag.and_then(|tag| calling.fork_or_new(tag, number));
        let Some(fork) = fork.filter(|fork| room && follows(fork.rseq, rseq)) else {
            return false;
        };
        if fork.rseq.replace(rseq).is_none() {
            fork.peer.take_response(response);
        }
        fork.peer.refresh_target(response);
        if let Some(updates) = allows_update(response) {
            fork.updates = updates;
        }
        fork.settled |= offered && !response.body().is_empty();
        let tag = fork.tag.clone();
        let prack = Ask {
            method: "PRACK".to_owned(),
            headers: vec![("RAck".to_owned(), format!("{rseq} {number} INVITE"))],
            body: None,
        };
        self.prack(layer, prack, tag);
        self.go_on(layer);
        true
    }

    /// The fork of a call of ours that a change may go to: the one heard last of those that take one now.
    pub(super) fn open_fork(&self, offers: bool) -> Option<String> {
        let Phase::Calling(calling) = &self.phase else {
            return None;
        };
        let open = |fork: &&Fork| fork.updates && (fork.settled || !offers);
        calling
            .forks
            .iter()
            .rev()
            .find(open)
            .map(|fork| fork.tag.clone())
    }

    /// The fork of `tag` answered: what it was sent and what it said counts on, the others are over.
    pub(super) fn settle_forks(&mut self, layer: &mut Layer, forks: Vec<Fork>, tag: &str) {
        let winner = forks.into_iter().find(|fork| fork.tag == tag);
        self.peer.remote_seq = winner.as_ref().and_then(|fork| fork.peer.remote_seq);
        if let Some(fork) = winner {
            self.peer.local_seq = self.peer.local_seq.max(fork.peer.local_seq);
            self.updates = fork.updates;
        }
        self.leave_errands(layer, tag);
        self.leave_change(layer, tag);
    }
}

/// RFC 3262 §4: only what requires 100rel and is numbered is reliable.
fn reliable(response: &Message) -> Option<u32> {
    let rseq = response.header(HeaderId::RSeq)?;
    let required = |tag: std::borrow::Cow<'_, str>| tag.eq_ignore_ascii_case("100rel");
    if response.status() == Some(100) || !response.values(HeaderId::Require).any(required) {
        return None;
    }
    rseq.trim().parse().ok()
}

fn follows(last: Option<u32>, rseq: u32) -> bool {
    last.is_none_or(|last| last.checked_add(1) == Some(rseq))
}
