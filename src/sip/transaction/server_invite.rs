//! INVITE server machine: RFC 3261 §17.2.1 (figure 7) with the Accepted state of RFC 6026 §7.1.

use super::{Act, Event, Grow, Span, State, Step};

pub(super) fn step(state: State, event: Event) -> Step {
    match (state, event) {
        (State::Idle, Event::Start) => Some((State::Proceeding, &[])),
        (State::Proceeding, Event::Request | Event::Provisional) => {
            Some((State::Proceeding, &[Act::Send]))
        }
        // RFC 6026 §7.1: the 2xx is repeated by the dialog; repeats of the INVITE are absorbed for timer L.
        (State::Proceeding, Event::Success) => Some((
            State::Accepted,
            &[Act::Send, Act::Forget, Act::End(Span::Full)],
        )),
        // Timer G repeats on unreliable transports, timer H gives up on all.
        (State::Proceeding, Event::Failure) => Some((
            State::Completed,
            &[Act::Send, Act::Repeat(Grow::First), Act::End(Span::Full)],
        )),
        (State::Completed, Event::Request) => Some((State::Completed, &[Act::Send])),
        (State::Completed, Event::Repeat) => Some((
            State::Completed,
            &[Act::Send, Act::Repeat(Grow::DoubleToT2)],
        )),
        // Timer I: T4 to absorb further ACKs, nothing on reliable transports.
        (State::Completed, Event::Ack) => Some((
            State::Confirmed,
            &[Act::Still, Act::Forget, Act::End(Span::T4Unreliable)],
        )),
        (State::Completed | State::Confirmed | State::Accepted, Event::End) => {
            Some((State::Terminated, &[]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_repeats_until_its_ack() {
        let (state, acts) = step(State::Proceeding, Event::Failure).expect("figure 7");
        assert!(acts.contains(&Act::Repeat(Grow::First)));
        let (state, acts) = step(state, Event::Ack).expect("figure 7");
        assert_eq!(state, State::Confirmed);
        assert!(acts.contains(&Act::Still));
        assert!(step(state, Event::Request).is_none());
    }

    #[test]
    fn after_a_success_repeats_of_the_invite_are_silent() {
        let (state, _) = step(State::Proceeding, Event::Success).expect("RFC 6026");
        assert!(step(state, Event::Request).is_none());
        assert!(step(state, Event::Failure).is_none());
    }
}
