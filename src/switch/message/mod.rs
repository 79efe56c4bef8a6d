//! Text messages between extensions (RFC 3428): to every phone of the called one, or kept until one registers (`kept`).
//! Inside a call they go to the other party's phone (`inside`). Trunks send and get none.

pub(crate) mod inside;
pub(crate) mod kept;

use crate::admission::{self, Answer};
use crate::identity::name_addr;
use crate::office::Office;
use crate::registrar::way::{self, Way};
use crate::target::user_part;
use crate::timers::Timer;
use directory::StoredMessage;
use sip::{DialogId, Flow, HeaderId, Message, OutRequest, TransactionId};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// The longest body. RFC 3428 §8 wants short ones.
const MAX_BODY: usize = 8_192;
/// How long one is kept when its sender does not say, and at most.
const KEEP_S: u32 = 7 * 86_400;
/// A sender waits this long for a phone; then we take the message over.
const PATIENCE: Duration = Duration::from_secs(5);
/// A sender may send so many at once, then one each second.
const BURST: u32 = 30;
/// Messages on their way, and senders of late.
const MAX_JOBS: usize = 2_000;
const MAX_SENDERS: usize = 20_000;

/// Messages on their way.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pub(crate) kept: kept::Kept,
    jobs: HashMap<u64, Job>,
    /// What our requests to phones are about.
    sent: HashMap<TransactionId, Purpose>,
    /// Who asked what we asked inside another dialog.
    pub(super) relayed: BTreeMap<(DialogId, TransactionId), TransactionId>,
    senders: HashMap<String, (Instant, u32)>,
    count: u64,
}

/// One message to the phones of an extension.
#[derive(Debug)]
struct Job {
    message: StoredMessage,
    /// The sender's request, until it is answered.
    asker: Option<TransactionId>,
    /// Phones that have not answered.
    open: usize,
    taken: bool,
    /// What a phone said that will never take it.
    refused: Option<u16>,
    /// Whether it may wait for another time.
    keep: bool,
}

/// Why a message was sent to a phone.
#[derive(Debug)]
enum Purpose {
    Job(u64),
    /// It was kept for this extension, under this id.
    Kept(String, i64),
}

/// A MESSAGE outside dialogs; `None`: it is answered later.
pub(crate) fn request(
    office: &mut Office,
    transaction: TransactionId,
    request: &Message,
    flow: Flow,
) -> Option<Answer> {
    match judge(office, request, &flow) {
        Err(answer) => Some(answer),
        Ok(message) => begin(office, transaction, request, message),
    }
}

fn judge(office: &mut Office, request: &Message, flow: &Flow) -> Result<StoredMessage, Answer> {
    let user = request
        .from()
        .and_then(|from| from.uri.user)
        .unwrap_or_default();
    let trunk = office.trunks.of_source(&office.directory, flow);
    if trunk.is_some() && !office.registrar.knows(&user, flow) {
        return Err(Answer::status(403));
    }
    let sender = admission::authenticate(office, request, flow)?;
    acceptable(request)?;
    let uri = request
        .request_uri()
        .and_then(|uri| sip::Uri::parse(&uri).ok());
    let extension = uri.and_then(|uri| uri.user).unwrap_or_default();
    if !office.directory.extensions.contains_key(&extension) {
        return Err(Answer::status(404));
    }
    if !may_send(office, &sender) || office.messages.jobs.len() >= MAX_JOBS {
        return Err(busy());
    }
    let known = office.directory.extensions.get(&sender);
    let sender_name = known.map(|e| e.name.clone()).unwrap_or_default();
    let now = office.wall(office.now);
    let seconds = request.expires().unwrap_or(KEEP_S).min(KEEP_S);
    office.messages.count += 1;
    Ok(StoredMessage {
        id: (now << 20) | i64::try_from(office.messages.count & 0xf_ffff).unwrap_or(0),
        extension,
        sender,
        sender_name,
        content_type: content_type(request),
        body: request.body().to_vec(),
        sent_at_ms: now,
        expires_at_ms: now + i64::from(seconds) * 1_000,
    })
}

/// Whether a phone of ours may send this, inside a call or outside.
fn acceptable(request: &Message) -> Result<(), Answer> {
    if request.body().len() > MAX_BODY {
        return Err(Answer::status(413));
    }
    let refused = |name, value: &str| {
        let headers = vec![(name, value.to_owned())];
        Err(Answer {
            status: 415,
            headers,
        })
    };
    // RFC 3261 §20.15: there is no telling what a body without a type is.
    if !request.body().is_empty() && content_type(request).is_empty() {
        return refused("Accept", "text/plain, message/cpim, */*");
    }
    let mut encodings = request.values(HeaderId::ContentEncoding);
    if encodings.any(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return refused("Accept-Encoding", "identity");
    }
    Ok(())
}

/// With its parameters.
fn content_type(request: &Message) -> String {
    let value = request.header(HeaderId::ContentType).unwrap_or_default();
    value.chars().take(200).collect()
}

fn busy() -> Answer {
    Answer {
        status: 503,
        headers: vec![("Retry-After", "10".to_owned())],
    }
}

/// Takes one from what `sender` may send.
fn may_send(office: &mut Office, sender: &str) -> bool {
    let now = office.now;
    let senders = &mut office.messages.senders;
    if senders.len() >= MAX_SENDERS {
        let full = Duration::from_secs(u64::from(BURST));
        senders.retain(|_, (since, _)| now.duration_since(*since) < full);
    }
    let (since, used) = senders.entry(sender.to_owned()).or_insert((now, 0));
    let back = u32::try_from(now.duration_since(*since).as_secs()).unwrap_or(u32::MAX);
    if back > 0 {
        *since = now;
        *used = used.saturating_sub(back);
    }
    let may = *used < BURST;
    *used += u32::from(may);
    may
}

/// Sends it to every phone, or keeps it when there is none.
fn begin(
    office: &mut Office,
    transaction: TransactionId,
    request: &Message,
    message: StoredMessage,
) -> Option<Answer> {
    // RFC 3994 §3: whether somebody types is of no interest later.
    let typing = message
        .content_type
        .to_ascii_lowercase()
        .starts_with("application/im-iscomposing+xml");
    // RFC 3428 §4: Expires 0 is for now or never.
    let keep = !typing && request.expires() != Some(0);
    // RFC 5626 §5.3: each phone once, however many flows it has.
    let phones = way::phones(office, &message.extension).into_iter();
    let phones: Vec<Way> = phones
        .filter_map(|phone| phone.ways.into_iter().next())
        .collect();
    if phones.is_empty() {
        let status = match (keep, keep && kept::keep(office, message)) {
            (false, _) => 480,
            (true, true) => 202,
            (true, false) => return Some(busy()),
        };
        return Some(Answer::status(status));
    }
    office.messages.count += 1;
    let id = office.messages.count;
    let job = Job {
        message: message.clone(),
        asker: Some(transaction),
        open: phones.len(),
        taken: false,
        refused: None,
        keep,
    };
    office.messages.jobs.insert(id, job);
    office.arm(PATIENCE, Timer::Message(id));
    for phone in phones {
        send(office, &message, phone, Purpose::Job(id));
    }
    None
}

fn send(office: &mut Office, message: &StoredMessage, way: Way, purpose: Purpose) {
    let host = office.host_for(&way.flow);
    let body = (message.content_type.clone(), message.body.clone());
    let request = OutRequest {
        flow: way.flow,
        method: "MESSAGE".to_owned(),
        to: format!("<sip:{}@{host}>", user_part(&message.extension)),
        uri: way.uri,
        // RFC 3428 §11.1: who sent it is who proved it, not who it says.
        from: name_addr(&message.sender_name, &message.sender, &host),
        call_id: None,
        cseq: None,
        headers: vec![("Date".to_owned(), date(message.sent_at_ms))],
        body: (!message.content_type.is_empty()).then_some(body),
        credentials: None,
        route: way.route,
    };
    let transaction = office.sip.request(office.now, request);
    office.messages.sent.insert(transaction, purpose);
}

/// Whether a phone that answers so will never take the message.
fn is_final(status: u16) -> bool {
    // A phone that is away, busy or asks who we are may be another another time.
    !matches!(status, 200..=299 | 401 | 407 | 408 | 430 | 480 | 481 | 486 | 491 | 500..=599)
}

/// A phone answered a message of ours. `false`: the transaction is none of ours.
pub(crate) fn response(office: &mut Office, transaction: TransactionId, status: u16) -> bool {
    match office.messages.sent.remove(&transaction) {
        None => return false,
        Some(Purpose::Kept(extension, id)) => kept::answered(office, (&extension, id), status),
        Some(Purpose::Job(id)) => answered(office, id, status),
    }
    true
}

fn answered(office: &mut Office, id: u64, status: u16) {
    let Some(job) = office.messages.jobs.get_mut(&id) else {
        return;
    };
    job.open -= 1;
    if status < 300 {
        job.taken = true;
    } else if is_final(status) {
        job.refused = Some(status);
    }
    let (taken, over) = (job.taken, job.open == 0);
    let asker = job.asker.take_if(|_| taken);
    if let Some(asker) = asker {
        office.sip.respond(office.now, asker, 200, &[]);
    }
    if over && let Some(job) = office.messages.jobs.remove(&id) {
        end(office, job);
    }
}

/// Every phone has answered, or none will.
fn end(office: &mut Office, job: Job) {
    if job.taken {
        return;
    }
    let status = match job.refused {
        Some(status) => status.clamp(400, 699),
        None if !job.keep => 480,
        None if kept::keep(office, job.message) => 202,
        None => 503,
    };
    match job.asker {
        Some(asker) => office.sip.respond(office.now, asker, status, &[]),
        None if status == 503 => office.warn(None, "a message was lost: too many are kept"),
        None => {}
    }
}

/// No phone took it soon: we answer for it, before its sender sends it again (RFC 3428 §7: 202).
pub(crate) fn due(office: &mut Office, id: u64) {
    let Some(job) = office.messages.jobs.get(&id) else {
        return;
    };
    if !job.keep || !kept::has_room(office, &job.message.extension) {
        return;
    }
    let job = office.messages.jobs.get_mut(&id);
    if let Some(asker) = job.and_then(|job| job.asker.take()) {
        office.sip.respond(office.now, asker, 202, &[]);
    }
}

/// RFC 3261 §20.17: `Sat, 13 Nov 2010 23:29:00 GMT`, of Unix milliseconds.
fn date(ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = ms.div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days from 1 March of the year 0, in eras of 400 years: leap days then come last.
    let since = days + 719_468;
    let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let name = |names: &[&'static str], at: i64| {
        let at = usize::try_from(at).unwrap_or(0);
        names.get(at).copied().unwrap_or_default()
    };
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days.rem_euclid(7)),
        name(&MONTHS, month - 1),
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_date_is_written_as_sip_wants_it() {
        for (ms, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_289_690_940_999, "Sat, 13 Nov 2010 23:29:00 GMT"),
            (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_102_444_799_000, "Thu, 31 Dec 2099 23:59:59 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] {
            assert_eq!(super::date(ms), text);
        }
    }
}
