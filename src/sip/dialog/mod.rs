//! Dialogs.
use crate::endpoint::{DialogId, Endpoint, Invite};
use crate::flow::Flow;
use crate::transaction::{Layer, Notice};
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    Ringing,
}
pub(crate) struct Dialogs {}
pub(crate) struct Dialog {}
impl Dialogs {
    pub(crate) fn new() -> Dialogs {
        Dialogs {}
    }
    pub(crate) fn len(&self) -> usize {
        0
    }
}
impl Dialog {
    pub(crate) fn cancel(&mut self, _: &mut Layer, _: Option<String>) {}
    pub(crate) fn ring(&mut self, _: &mut Layer, _: u16, _: Option<&[u8]>) {}
    pub(crate) fn answer(&mut self, _: &mut Layer, _: &[u8]) {}
    pub(crate) fn refuse(&mut self, _: &mut Layer, _: u16, _: &[(&str, String)]) {}
    pub(crate) fn bye(&mut self, _: &mut Layer, _: Option<String>) {}
    pub(crate) fn accept_reoffer(&mut self, _: &mut Layer, _: &[u8]) {}
    pub(crate) fn refuse_reoffer(&mut self, _: &mut Layer, _: u16) {}
    pub(crate) fn reinvite(&mut self, _: &mut Layer, _: &[u8]) {}
}
impl Endpoint {
    pub(crate) fn with(
        &mut self,
        _: Instant,
        _: DialogId,
        _: impl FnOnce(&mut Dialog, &mut Layer),
    ) {
    }
    pub(crate) fn start_call(&mut self, _: Invite) -> DialogId {
        DialogId(0)
    }
    pub(crate) fn take(&mut self, _: Flow, _: bytes::Bytes) {}
    pub(crate) fn tell(&mut self, _: Option<Notice>) {}
    pub(crate) fn ring_alarm(&mut self, _: crate::transaction::Alarm) {}
}
