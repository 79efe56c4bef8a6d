//! Client machine of all other requests: RFC 3261 §17.1.2 (figure 6).

use super::{Act, Event, Grow, Span, State, Step};

pub(super) fn step(state: State, event: Event) -> Step {
    match (state, event) {
        (State::Idle, Event::Start) => Some((
            State::Trying,
            &[Act::Send, Act::Repeat(Grow::First), Act::End(Span::Full)],
        )),
        (State::Trying, Event::Repeat) => {
            Some((State::Trying, &[Act::Send, Act::Repeat(Grow::DoubleToT2)]))
        }
        // §17.1.2.2: in Proceeding timer E is T2.
        (State::Proceeding, Event::Repeat) => {
            Some((State::Proceeding, &[Act::Send, Act::Repeat(Grow::T2)]))
        }
        (State::Trying | State::Proceeding, Event::End) => {
            Some((State::Terminated, &[Act::Report]))
        }
        (State::Trying | State::Proceeding, Event::Provisional) => {
            Some((State::Proceeding, &[Act::Pass]))
        }
        // Timer K: T4, nothing on reliable transports.
        (State::Trying | State::Proceeding, Event::Success | Event::Failure) => Some((
            State::Completed,
            &[
                Act::Still,
                Act::Forget,
                Act::Pass,
                Act::End(Span::T4Unreliable),
            ],
        )),
        (State::Completed, Event::End) => Some((State::Terminated, &[])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_final_answer_is_told_and_repeats_are_absorbed() {
        let (state, acts) = step(State::Trying, Event::Success).expect("figure 6");
        assert!(acts.contains(&Act::Pass));
        assert!(step(state, Event::Success).is_none());
        assert!(step(state, Event::Repeat).is_none());
        assert_eq!(step(state, Event::End), Some((State::Terminated, &[][..])));
    }

    #[test]
    fn silence_is_reported_even_after_a_provisional() {
        let (state, _) = step(State::Trying, Event::Provisional).expect("figure 6");
        assert_eq!(
            step(state, Event::End),
            Some((State::Terminated, &[Act::Report][..]))
        );
    }
}
