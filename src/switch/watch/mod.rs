//! Who watches what in the office: subscriptions (RFC 6665). How they are kept and notified is `sip::subscribe`.

use crate::office::Office;
use sip::{SubscriptionEvent, SubscriptionId};

/// Something about one subscription.
pub(crate) fn event(office: &mut Office, id: SubscriptionId, event: &SubscriptionEvent) {
    match event {
        SubscriptionEvent::Asked { .. } => {
            // RFC 6665 §7.2.1: there is no package yet.
            office.sip.refuse_subscription(office.now, id, 489, &[]);
        }
        SubscriptionEvent::NotifyDue { .. }
        | SubscriptionEvent::Changed
        | SubscriptionEvent::Ended => {}
    }
}
