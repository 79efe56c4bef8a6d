//! The far end of a dialog, early or not: how it is addressed and how far both have counted. RFC 3261 §12.

use super::{Dialog, Phase};
use crate::message::{HeaderId, Message, NameAddr};
use crate::transaction::{Draft, Layer};

pub(super) struct Peer {
    /// To of our requests, tag included once there is one.
    pub(super) remote: String,
    /// RFC 3261 §12.1: the remote target, a URI.
    pub(super) target: String,
    pub(super) routes: Vec<String>,
    pub(super) local_seq: u32,
    pub(super) remote_seq: Option<u32>,
}

impl Peer {
    pub(super) fn next_seq(&mut self) -> u32 {
        self.local_seq = self.local_seq.saturating_add(1);
        self.local_seq
    }

    /// RFC 3261 §12.2.1.2, §12.2.2: a Contact in a target refresh moves the target.
    pub(super) fn refresh_target(&mut self, message: &Message) {
        if let Some(contact) = message.contact() {
            self.target = contact.uri_text;
        }
    }

    /// RFC 3261 §12.1.2: what a response to our INVITE says about who sent it.
    pub(super) fn take_response(&mut self, response: &Message) {
        if let Some(to) = response.header(HeaderId::To) {
            self.remote = to.into_owned();
        }
        self.refresh_target(response);
        // The route set is the Record-Route in reverse.
        self.routes = response.record_routes();
        self.routes.reverse();
    }
}

impl Dialog {
    /// A request inside the dialog (RFC 3261 §12.2.1.1), to the fork of `tag` while there are several. The bytes go to the
    /// dialog's flow whatever the route says: the peer is reached where it was reached before, NAT or not.
    pub(super) fn draft(&mut self, layer: &mut Layer, method: &str, tag: Option<&str>) -> Draft {
        let number = self.far_mut(tag).next_seq();
        self.draft_numbered(layer, (method, number), tag)
    }

    pub(super) fn draft_numbered(
        &self,
        layer: &mut Layer,
        what: (&str, u32),
        tag: Option<&str>,
    ) -> Draft {
        let (method, number) = what;
        let peer = self.far(tag);
        let loose = |route: &String| NameAddr::parse(route).is_ok_and(|r| r.uri.params.has("lr"));
        let mut routes = peer.routes.clone();
        let mut uri = peer.target.clone();
        if let Some(first) = peer.routes.first().filter(|first| !loose(first))
            && let Ok(strict) = NameAddr::parse(first)
        {
            // A strict router is the Request-URI; the target goes last.
            routes.remove(0);
            routes.push(format!("<{uri}>"));
            uri = strict.uri_text;
        }
        let mut draft = layer.draft(self.flow, method, &uri);
        for route in routes {
            draft = draft.header("Route", route);
        }
        draft
            .header("From", &self.local)
            .header("To", &peer.remote)
            .header("Call-ID", &self.call_id)
            .header("CSeq", format!("{number} {method}"))
    }

    /// The far end, or the fork of `tag` as long as nobody won.
    pub(super) fn far(&self, tag: Option<&str>) -> &Peer {
        match (&self.phase, tag) {
            (Phase::Calling(calling), Some(tag)) => {
                calling.fork(tag).map_or(&self.peer, |fork| &fork.peer)
            }
            _ => &self.peer,
        }
    }

    pub(super) fn far_mut(&mut self, tag: Option<&str>) -> &mut Peer {
        match (&mut self.phase, tag) {
            (Phase::Calling(calling), Some(tag)) => match calling.fork_mut(tag) {
                Some(fork) => &mut fork.peer,
                None => &mut self.peer,
            },
            _ => &mut self.peer,
        }
    }
}
