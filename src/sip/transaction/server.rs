//! Server machine of all other requests: RFC 3261 §17.2.2 (figure 8).

use super::{Act, Event, Span, State, Step};

pub(super) fn step(state: State, event: Event) -> Step {
    match (state, event) {
        // Not in figure 8: a request that is never answered must not stay for ever. RFC 4320 §4.2 forbids a late 408.
        (State::Idle, Event::Start) => Some((State::Trying, &[Act::End(Span::Full)])),
        (State::Trying | State::Proceeding, Event::End) => Some((State::Terminated, &[])),
        (State::Trying | State::Proceeding, Event::Provisional) => {
            Some((State::Proceeding, &[Act::Send]))
        }
        // Timer J: 64·T1, nothing on reliable transports.
        (State::Trying | State::Proceeding, Event::Success | Event::Failure) => Some((
            State::Completed,
            &[Act::Send, Act::End(Span::FullUnreliable)],
        )),
        (State::Proceeding | State::Completed, Event::Request) => Some((state, &[Act::Send])),
        (State::Completed, Event::End) => Some((State::Terminated, &[])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_get_the_last_answer_again() {
        assert!(step(State::Trying, Event::Request).is_none());
        let (state, _) = step(State::Trying, Event::Success).expect("figure 8");
        assert_eq!(
            step(state, Event::Request),
            Some((State::Completed, &[Act::Send][..]))
        );
        assert!(step(state, Event::Failure).is_none());
    }
}
