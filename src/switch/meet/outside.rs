//! A REFER outside any call: a program or phone asks us to ring its extension and then the target.
//!
//! Refused unless the configuration allows it. Then it is what an administrator starts with `POST /calls`, under the
//! rights of the extension that proves to have sent it.

use super::extension;
use super::refer::{self, Wanted};
use crate::Switch;
use crate::admission::Answer;
use sip::{Flow, HeaderId, Message, TransactionId};

impl Switch {
    pub(crate) fn referred_outside(
        &mut self,
        transaction: TransactionId,
        request: &Message,
        flow: Flow,
    ) {
        let answer = match self.start_for(request, flow) {
            Ok((from, to)) => {
                let id = self.office.new_call_id();
                self.originate(id, (from, to), None);
                // RFC 4488 §4: as it was asked for.
                Answer {
                    status: 202,
                    headers: vec![("Refer-Sub", "false".to_owned())],
                }
            }
            Err(answer) => answer,
        };
        let office = &mut self.office;
        office
            .sip
            .respond(office.now, transaction, answer.status, &answer.headers);
    }

    /// Who calls whom.
    fn start_for(&mut self, request: &Message, flow: Flow) -> Result<(String, String), Answer> {
        let office = &mut self.office;
        if !office.config.calls.refer_outside {
            return Err(Answer::status(403));
        }
        let from = extension(office, request, &flow)?;
        let refer = refer::read(office, request, (&from, Some(&flow))).map_err(Answer::status)?;
        let Wanted::Number(to) = refer.wanted else {
            return Err(Answer::status(603));
        };
        let silent = refer.silent
            || request
                .values(HeaderId::Require)
                .any(|option| option.eq_ignore_ascii_case("norefersub"));
        if !silent {
            // RFC 3261 §21.4.15: there would be no dialog to tell the progress in.
            return Err(Answer {
                status: 421,
                headers: vec![("Require", "norefersub".to_owned())],
            });
        }
        Ok((from, to))
    }
}
