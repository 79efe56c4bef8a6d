//! INVITE client machine: RFC 3261 §17.1.1 (figure 5) with the Accepted state of RFC 6026 §7.2.

use super::{Act, Event, Grow, Span, State, Step};

pub(super) fn step(state: State, event: Event) -> Step {
    match (state, event) {
        // §17.1.1.2: timer A is for unreliable transports, timer B for all.
        (State::Idle, Event::Start) => Some((
            State::Calling,
            &[Act::Send, Act::Repeat(Grow::First), Act::End(Span::Full)],
        )),
        (State::Calling, Event::Repeat) => {
            Some((State::Calling, &[Act::Send, Act::Repeat(Grow::Double)]))
        }
        (State::Calling | State::Proceeding, Event::End) => {
            Some((State::Terminated, &[Act::Report]))
        }
        // No timer watches Proceeding: a phone may ring. The dialog keeps its own (RFC 3261 §16.6 timer C).
        (State::Calling, Event::Provisional) => {
            Some((State::Proceeding, &[Act::Still, Act::Endless, Act::Pass]))
        }
        (State::Proceeding, Event::Provisional) => Some((State::Proceeding, &[Act::Pass])),
        // RFC 6026 §8.4: timer M, to take the 2xx of other forks and repeats.
        (State::Calling | State::Proceeding, Event::Success) => Some((
            State::Accepted,
            &[Act::Still, Act::Forget, Act::End(Span::Full), Act::Pass],
        )),
        (State::Accepted, Event::Success) => Some((State::Accepted, &[Act::Again])),
        // Timer D: at least 32 s, nothing on reliable transports. The ACK belongs to this transaction (§17.1.1.3).
        (State::Calling | State::Proceeding, Event::Failure) => Some((
            State::Completed,
            &[
                Act::Still,
                Act::Ack,
                Act::Pass,
                Act::End(Span::FullUnreliable),
            ],
        )),
        (State::Completed, Event::Failure) => Some((State::Completed, &[Act::Send])),
        (State::Completed | State::Accepted, Event::End) => Some((State::Terminated, &[])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_opens_the_accepted_state_and_repeats_are_told_apart() {
        let (state, acts) = step(State::Proceeding, Event::Success).expect("figure 5");
        assert_eq!(state, State::Accepted);
        assert!(acts.contains(&Act::Pass));
        let (state, acts) = step(state, Event::Success).expect("RFC 6026");
        assert_eq!((state, acts), (State::Accepted, &[Act::Again][..]));
        assert!(step(state, Event::Failure).is_none());
    }

    #[test]
    fn every_repeated_failure_is_acknowledged_but_told_once() {
        let (state, acts) = step(State::Calling, Event::Failure).expect("figure 5");
        assert!(acts.contains(&Act::Ack) && acts.contains(&Act::Pass));
        assert_eq!(
            step(state, Event::Failure),
            Some((State::Completed, &[Act::Send][..]))
        );
    }

    #[test]
    fn ringing_is_endless_here() {
        let (state, acts) = step(State::Calling, Event::Provisional).expect("figure 5");
        assert!(acts.contains(&Act::Endless));
        assert!(step(state, Event::Repeat).is_none());
    }
}
