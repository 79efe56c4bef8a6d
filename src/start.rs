//! Starts the rooms from the bottom up and ties them together.

use crate::browsers::Browsers;
use crate::config::Config;
use crate::journal::Journal;
use crate::run::{StartError, check_realm, in_words, open_store};
use crate::shift::{Edges, Shift};
use api::{Api, Live};
use dialplan::{Dialplan, Runner};
use directory::Directory;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use store::{Store, Traces, Writer};
use switch::{Event, Switch};
use tokio::sync::mpsc;

/// How many events may wait for the Switch; over it the API answers 503.
const QUEUE: usize = 16_384;

/// Everything that runs.
pub(crate) struct Started {
    pub(crate) shift: Shift,
    pub(crate) http: tokio::task::JoinHandle<()>,
    pub(crate) events: mpsc::Sender<Event>,
    /// Held as long as the PBX runs: it reloads the dialplan.
    pub(crate) _watch: dialplan::Watch,
    /// Held as long as the PBX runs: a second one on the same folder is refused.
    pub(crate) _lock: File,
}

pub(crate) async fn start(config: &Config) -> Result<Started, StartError> {
    let (lock, store) = open_data(config).await?;
    let plan = Arc::new(open_dialplan(config)?);
    let (transports, incoming, certificates) = bind_sip(config).await?;
    let listener = listen_http(config).await?;
    let (events, queue) = mpsc::channel(QUEUE);
    let (media_events, media_queue) = mpsc::channel(QUEUE);
    let live = Arc::new(Live::new());
    let websocket = Arc::new(Browsers::new(transports.websockets(), &config.http));
    let traces = traces(config)?;
    let reader = traces.as_ref().map(Traces::reader);
    let edges = Edges {
        transports,
        media: net::Media::start(half(), config.data.dir.join("sounds"), media_events)?,
        runner: runner(&plan, &events),
        writer: writer(config, &store, &live),
        traces,
        live: Arc::clone(&live),
        webhook: crate::push::open(config)?,
        events: events.clone(),
    };
    let (settings, journal) = settings(config)?;
    let directory = first_events(&store, &events).await?;
    let shift = Shift::start(
        new_switch(settings),
        edges,
        crate::shift::Queues {
            net: incoming,
            media: media_queue,
            events: queue,
        },
        journal,
    );
    let watch = watch(&plan)?;
    // The last thing that can fail: a key that is kept has to be told.
    let (admin_key, new_key) = keys(&store).await?;
    let api = Api {
        store,
        events: events.clone(),
        live,
        traces: reader,
        dialplan: Arc::new(Scripts(plan)),
        numbers: Arc::new(numbers(config, &directory)),
        realm: config.sip.realm.clone(),
        admin_key,
        max_calls: config.sip.max_calls,
        version: env!("CARGO_PKG_VERSION"),
        certificate: Arc::new(move || certificate_state(certificates.clone())),
        websocket: Some(websocket),
        limits: api::Limits::default(),
    };
    let http = tokio::spawn(api::serve(listener, api));
    greet(config, new_key.as_deref());
    Ok(Started {
        shift,
        http,
        events,
        _watch: watch,
        _lock: lock,
    })
}

/// What the Switch is told, and where what happens to it is written down.
fn settings(config: &Config) -> Result<(switch::Config, Option<Journal>), StartError> {
    let settings = switch_config(config)?;
    let journal = journal(config, &settings)?;
    Ok((settings, journal))
}

/// The data folder, ours alone, and what is in it.
async fn open_data(config: &Config) -> Result<(File, Store), StartError> {
    let lock = lock(config)?;
    let store = open_store(config).await?;
    check_realm(config, &store).await?;
    dialplan::unpack(&config.data.dir)?;
    Ok((lock, store))
}

async fn bind_sip(
    config: &Config,
) -> Result<
    (
        net::Transports,
        net::Incoming,
        Option<Arc<net::Certificates>>,
    ),
    StartError,
> {
    let certificates = certificates(config)?;
    let settings = net_settings(config, certificates.as_ref());
    let (transports, incoming) = net::Transports::bind(&config.listeners(), settings).await?;
    Ok((transports, incoming, certificates))
}

fn net_settings(config: &Config, tls: Option<&Arc<net::Certificates>>) -> net::Settings {
    if let Some(certificates) = tls {
        tokio::spawn(keep_fresh(Arc::clone(certificates)));
    }
    let peers = Arc::<net::Peers>::default();
    net::Settings {
        tls: tls.map(|certificates| certificates.server_config(&peers)),
        peers,
        limits: net::StreamLimits {
            per_source: config.sip.connections_per_source,
            ..net::StreamLimits::default()
        },
        dscp: config.sip.dscp.parse().unwrap_or_default(),
        name_servers: config.dns.addresses().flatten().collect(),
        origins: config.sip.websocket_origins.clone().into(),
    }
}

/// The administrator's key of this run, when the environment gives one; else the one just made, on a first start.
async fn keys(store: &Store) -> Result<(Option<String>, Option<String>), StartError> {
    let given = std::env::var("OFFHOOK_ADMIN_KEY").ok();
    match given.filter(|key| !key.is_empty()) {
        Some(key) => Ok((Some(key), None)),
        None => Ok((None, store.first_admin_key().await?)),
    }
}

async fn listen_http(config: &Config) -> Result<tokio::net::TcpListener, StartError> {
    let trouble = |e: std::io::Error| StartError::Http {
        address: config.http.listen.to_string(),
        why: in_words(&e),
    };
    tokio::net::TcpListener::bind(config.http.listen)
        .await
        .map_err(trouble)
}

/// Half the cores for media: the other half is for calls, scripts and the API.
fn half() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2))
}

fn runner(plan: &Arc<Dialplan>, events: &mpsc::Sender<Event>) -> Runner {
    let events = events.clone();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let asks = move |event| {
        // The Switch always drains its queue, so a script thread waits here for moments only.
        let _stopping = events.blocking_send(event);
    };
    Runner::start(Arc::clone(plan), threads, asks)
}

fn writer(config: &Config, store: &Store, live: &Live) -> Writer {
    let writer = Writer::start(store.clone(), config.data.dir.join("unsent-records.jsonl"));
    let backlog = writer.watch();
    live.watch_records(move || backlog.records());
    writer
}

fn traces(config: &Config) -> std::io::Result<Option<Traces>> {
    if !config.trace.enabled {
        return Ok(None);
    }
    let folder = config.data.dir.join("trace");
    Traces::start(folder, config.trace.limits()).map(Some)
}

fn lock(config: &Config) -> Result<File, StartError> {
    let path = config.data.dir.display().to_string();
    let trouble = |e: std::io::Error| StartError::DataDir {
        path: path.clone(),
        why: in_words(&e),
    };
    crate::run::make_private(&config.data.dir).map_err(trouble)?;
    let file = File::create(config.data.dir.join("lock")).map_err(trouble)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::DataDirTaken { path }),
        Err(std::fs::TryLockError::Error(e)) => Err(trouble(e)),
    }
}

/// The PBX starts whatever the scripts are worth: emergency calls need none.
fn open_dialplan(config: &Config) -> Result<Dialplan, StartError> {
    let dir = config.data.dir.join("dialplan");
    let (plan, problems) = Dialplan::open(&dir, dialplan::Limits::default()).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        StartError::Dialplan(lines.join("\n"))
    })?;
    for problem in &problems {
        tracing::error!(%problem, "the dialplan is refused");
    }
    match plan.standing() {
        dialplan::Standing::Current => {}
        dialplan::Standing::Old => {
            tracing::error!("the dialplan that served last is in force instead");
        }
        dialplan::Standing::None => {
            tracing::error!("no dialplan is in force: all calls but emergency calls end with 500");
        }
    }
    Ok(plan)
}

/// In debug builds `OFFHOOK_PANIC_ON` names the number whose calls panic: see [`Switch::panic_on`].
fn new_switch(settings: switch::Config) -> Switch {
    #[cfg_attr(
        not(debug_assertions),
        expect(unused_mut, reason = "for the debug build")
    )]
    let mut switch = Switch::new(settings);
    #[cfg(debug_assertions)]
    if let Ok(number) = std::env::var("OFFHOOK_PANIC_ON") {
        switch.panic_on(number);
    }
    switch
}

/// What TLS listeners show; nothing without such a listener.
fn certificates(config: &Config) -> Result<Option<Arc<net::Certificates>>, StartError> {
    if !config.listeners().iter().any(net::Listen::is_tls) {
        return Ok(None);
    }
    let trouble = |e: net::tls::TlsError| StartError::Tls(e.to_string());
    let (certificate, key) = match (&config.tls.certificate, &config.tls.private_key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => {
            let host = config.sip.external_host.iter();
            let names: Vec<String> = host
                .map(|host| host.trim_matches(['[', ']']).to_owned())
                .chain(["localhost".to_owned()])
                .collect();
            net::tls::self_signed(&config.data.dir, &names).map_err(trouble)?
        }
    };
    let further = config.tls.folders.iter().map(|folder| net::Pair {
        certificate: folder.join("fullchain.pem"),
        key: folder.join("privkey.pem"),
    });
    let pairs = [net::Pair { certificate, key }].into_iter().chain(further);
    net::Certificates::load(pairs.collect())
        .map(Some)
        .map_err(trouble)
}

/// Files that change are read again, and on SIGHUP all are.
async fn keep_fresh(certificates: Arc<net::Certificates>) {
    let watch = tokio::spawn(Arc::clone(&certificates).watch());
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let Ok(mut hangup) = hangup else { return };
    while hangup.recv().await.is_some() {
        let again = Arc::clone(&certificates);
        // Told in the log by itself.
        let _told = tokio::task::spawn_blocking(move || again.reload()).await;
    }
    watch.abort();
}

/// As `/system/health` tells it.
fn certificate_state(certificates: Option<Arc<net::Certificates>>) -> api::Certificate {
    let state = certificates.map(|c| c.state()).unwrap_or_default();
    api::Certificate {
        expires_at_ms: state.expires_at_ms,
        refused: state.refused,
    }
}

fn journal(config: &Config, settings: &switch::Config) -> Result<Option<Journal>, StartError> {
    let Some(path) = &config.log.journal else {
        return Ok(None);
    };
    let journal = Journal::create(path, settings);
    journal.map(Some).map_err(|e| StartError::journal(path, &e))
}

pub(crate) fn switch_config(config: &Config) -> Result<switch::Config, StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| std::io::Error::other(e.to_string()))?;
    let unix = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Ok(switch::Config {
        realm: config.sip.realm.clone(),
        seed,
        origin: Instant::now(),
        origin_unix_ms: i64::try_from(unix.as_millis()).unwrap_or(0),
        external_host: config.external_host(),
        external_media: config.rtp.external_address,
        local_networks: config.local_networks(),
        phones: config.phones.settings(&config.push),
        nat_keepalive: Duration::from_secs(config.sip.nat_keepalive_s),
        session_expires: Duration::from_secs(config.sip.session_expires_s),
        min_se: Duration::from_secs(config.sip.min_se_s),
        rtp_port_min: config.rtp.port_min,
        rtp_port_max: config.rtp.port_max,
        rtp_timeout: Duration::from_secs(config.rtp.timeout_s),
        rtp_hold_timeout: Duration::from_secs(config.rtp.hold_timeout_s),
        music_on_hold: config.media.music_on_hold.clone(),
        outbound_prefix: config.dialplan.outbound_prefix.clone(),
        emergency: config.emergency.numbers.clone(),
        trace: config.trace.enabled,
        calls: config.calls.settings(),
        defence: config.defence.settings(),
        max_calls: config.sip.max_calls,
    })
}

/// What the Switch has to know before the first message: the office as configured, and who was registered.
async fn first_events(
    store: &Store,
    events: &mpsc::Sender<Event>,
) -> Result<Arc<Directory>, StartError> {
    let now_ms = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let now_ms = i64::try_from(now_ms).unwrap_or(0);
    let directory = Arc::new(store.snapshot().await?);
    // In this order: who watches is told at once how things are.
    for event in [
        Event::Directory(Arc::clone(&directory)),
        Event::RestoredBans(store.bans().await?),
        Event::RestoredMessages(store.messages(now_ms).await?),
        Event::Restored(store.registrations(now_ms).await?),
        Event::MessageSummaries(store.message_summaries().await?),
        Event::RestoredSubscriptions(store.subscriptions(now_ms).await?),
    ] {
        let _kept = events.send(event).await;
    }
    Ok(directory)
}

/// Extensions that the Switch would pass over, and numbers that lead to none.
fn numbers(config: &Config, directory: &Directory) -> api::Numbers {
    let emergency = config.emergency.numbers.clone();
    api::Numbers::new(
        emergency,
        config.dialplan.outbound_prefix.clone(),
        directory,
    )
}

/// The watch logs by itself what comes of a change.
fn watch(plan: &Arc<Dialplan>) -> std::io::Result<dialplan::Watch> {
    dialplan::watch(Arc::clone(plan), |_| {})
}

fn greet(config: &Config, new_key: Option<&str>) {
    let http = config.http.listen;
    println!("Offhook {} is up.", env!("CARGO_PKG_VERSION"));
    println!("  API:  http://{http}/api/v1   (browse it at http://{http}/api/docs)");
    println!("  SIP:  {}", config.sip.listen.join("  "));
    if let Some(key) = new_key {
        println!("  The administrator's API key, shown this once: {key}");
    }
    println!("  Make an extension:");
    println!("    curl -H 'Authorization: Bearer KEY' -H 'Content-Type: application/json' \\");
    println!(
        "      -d '{{\"number\":\"101\",\"password\":\"at least 12 characters\"}}' http://{http}/api/v1/extensions"
    );
    println!("  Then register a phone: user 101, that password, this machine's address as server.");
}

/// The dialplan as the API sees it.
struct Scripts(Arc<Dialplan>);

impl api::Dialplan for Scripts {
    fn files(&self) -> BTreeMap<String, String> {
        self.0.files()
    }

    fn replace(&self, files: BTreeMap<String, String>) -> Result<(), Vec<api::ScriptProblem>> {
        self.0.replace(files).map_err(problems)
    }

    fn standing(&self) -> api::Standing {
        match self.0.standing() {
            dialplan::Standing::Current => api::Standing::Ok,
            dialplan::Standing::Old => api::Standing::Old,
            dialplan::Standing::None => api::Standing::None,
        }
    }

    fn refused(&self) -> Vec<api::ScriptProblem> {
        problems(self.0.refused())
    }

    fn reload(&self) -> Result<(), Vec<api::ScriptProblem>> {
        self.0.reload().map_err(problems)
    }
}

fn problems(errors: Vec<dialplan::ScriptError>) -> Vec<api::ScriptProblem> {
    let one = |e: dialplan::ScriptError| api::ScriptProblem {
        file: e.file,
        line: e.line,
        column: e.column,
        why: e.why,
    };
    errors.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_start_that_fails_gives_out_no_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.data.dir = folder.path().join("data");
        config.sip.listen = vec!["udp://127.0.0.1:0".into()];
        config.http.listen = ([127, 0, 0, 1], 0).into();
        config.log.journal = Some(folder.path().join("missing/journal"));
        let Err(error) = start(&config).await else {
            panic!("a journal in a folder that is not there");
        };
        assert_eq!(error.key(), "[log] journal");
        assert!(error.to_string().contains("missing/journal"), "{error}");
        let store = open_store(&config).await.expect("the store");
        let (_, new_key) = keys(&store).await.expect("the store answers");
        assert!(
            new_key.is_some(),
            "the key of the start that failed is lost"
        );
    }
}
