// The live office: asks the API every two seconds, and shows what it says as text, never as markup. Extensions and
// trunks change seldom: they are asked for every tenth time only.
"use strict";

const EVERY_MS = 2000;
const SELDOM = 10;
const RECORDS = 20;
const KEY = "offhook-key";
const el = (id) => document.getElementById(id);
let timer = 0;
// Counts keys entered and forgotten: an answer to a question of an earlier one is thrown away.
let visit = 0;
let rounds = 0;
let entered = "";

class Refused extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

async function ask(path, key, sent) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const request = { headers };
  if (sent) {
    headers["Content-Type"] = "application/json";
    Object.assign(request, { method: "POST", body: JSON.stringify(sent) });
  }
  const response = await fetch(`/api/v1${path}`, request);
  const body = await response.json();
  if (!response.ok) throw new Refused(response.status, body.detail);
  return body;
}

// Every page of a list.
async function all(path, key) {
  const items = [];
  let next = null;
  do {
    const after = next === null ? "" : `&after=${encodeURIComponent(next)}`;
    const page = await ask(`${path}?limit=500${after}`, key);
    items.push(...page.items);
    next = page.next;
  } while (next !== null);
  return items;
}

function fill(body, rows, columns, nothing) {
  const cell = (text, className) => {
    const td = document.createElement("td");
    td.textContent = text;
    if (className) td.className = className;
    return td;
  };
  const lines = rows.map((row) => {
    const tr = document.createElement("tr");
    tr.append(...row.map((text, i) => cell(text, i === columns - 1 ? "number" : "")));
    return tr;
  });
  if (lines.length === 0) {
    const td = cell(nothing, "quiet");
    td.colSpan = columns;
    const tr = document.createElement("tr");
    tr.append(td);
    lines.push(tr);
  }
  body.replaceChildren(...lines);
}

const clock = (time) => new Date(time).toLocaleTimeString();
const dayAndClock = (time) => new Date(time).toLocaleString();
const seconds = (number) => `${number.toFixed(1)} s`;

function there(phone) {
  switch (phone.reachability) {
    case "reachable": return phone.rtt_ms === null ? "yes" : `yes, ${Math.round(phone.rtt_ms)} ms`;
    case "unreachable": return `no, since ${clock(phone.unreachable_since)}`;
    default: return "";
  }
}

function show(calls, registrations) {
  el("call-count").textContent = calls.length;
  const call = (c) => [c.from, c.to, c.dialed, c.state, clock(c.answered_at ?? c.started_at)];
  fill(el("calls"), calls.map(call), 5, "Nobody is calling.");
  el("registration-count").textContent = registrations.length;
  const phone = (r) => [r.extension, r.user_agent || r.contact, r.source, r.transport, there(r), clock(r.expires_at)];
  fill(el("registrations"), registrations.map(phone), 6, "No phone is registered.");
}

function showRecords(records) {
  const record = (r) => [
    dayAndClock(r.started_at), r.from, r.to, r.reason || r.cause, seconds(r.ring_s), r.answered_at === null ? "" : seconds(r.talk_s),
  ];
  fill(el("records"), records.map(record), 6, "Nobody has called yet.");
}

function showOffice(extensions, trunks) {
  el("extension-count").textContent = extensions.length;
  const extension = (e) => [e.number, e.name, e.codecs.join(", "), e.max_contacts];
  fill(el("extensions"), extensions.map(extension), 4, "There is no extension yet.");
  const trunk = (t) => [t.name, t.host, Object.keys(t.numbers).join(", "), [t.state, t.state_why].filter(Boolean).join(": ")];
  fill(el("trunks"), trunks.map(trunk), 4, "There is no trunk.");
}

function trouble(text) {
  el("trouble").textContent = text;
  el("trouble").hidden = text === "";
}

async function health(key, mine) {
  const { version, records_waiting: waiting, problems, dialplan_errors: errors } = await ask("/system/health", key);
  // What the key opened is not shown once it is forgotten.
  if (mine !== visit) return;
  const words = [`version ${version}`];
  if (waiting > 0) words.push(`${waiting} call records not written yet`);
  el("health").textContent = words.join(", ");
  const places = (errors ?? []).map((e) => `${[e.file, e.line, e.column].filter(Boolean).join(":")}: ${e.why}`);
  el("problems").replaceChildren(...[...problems, ...places].map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}

function leave() {
  clearTimeout(timer);
  visit += 1;
  entered = "";
  sessionStorage.removeItem(KEY);
  el("office").hidden = true;
  el("leave").hidden = true;
  el("enter").hidden = false;
  el("problems").replaceChildren();
  show([], []);
  showRecords([]);
  showOffice([], []);
}

async function office(key, mine) {
  const [extensions, trunks] = await Promise.all([all("/extensions", key), all("/trunks", key)]);
  if (mine === visit) showOffice(extensions, trunks);
}

// What comes from the database.
async function stored(key, mine) {
  const records = await ask(`/call-records?limit=${RECORDS}`, key);
  if (mine === visit) showRecords(records.items);
  if (rounds % SELDOM === 0) await office(key, mine);
  rounds += 1;
}

async function refresh(key, mine) {
  try {
    // Alone at first: a wrong key is told once.
    const calls = await all("/calls", key);
    const [registrations] = await Promise.all([all("/registrations", key), health(key, mine)]);
    if (mine !== visit) return;
    sessionStorage.setItem(KEY, key);
    show(calls, registrations);
    el("enter").hidden = true;
    el("leave").hidden = false;
    el("office").hidden = false;
    await stored(key, mine);
    if (mine !== visit) return;
    trouble("");
  } catch (error) {
    if (mine !== visit) return;
    if (error instanceof Refused && error.status === 401) {
      leave();
      trouble(error.message);
      return;
    }
    trouble(error instanceof Refused ? error.message : "The switch does not answer. What is shown may be out of date.");
  }
  timer = setTimeout(refresh, EVERY_MS, key, mine);
}

function enter(key) {
  clearTimeout(timer);
  visit += 1;
  rounds = 0;
  entered = key;
  refresh(key, visit);
}

async function makeExtension() {
  const [number, name, password] = ["new-number", "new-name", "new-password"].map((id) => el(id).value);
  const told = (text, className) => {
    el("new-told").textContent = text;
    el("new-told").className = className;
  };
  told("", "");
  try {
    await ask("/extensions", entered, { number: number.trim(), name: name.trim(), password });
    el("new-extension").reset();
    told(`Extension ${number.trim()} is there: a phone may register.`, "quiet");
    await office(entered, visit);
  } catch (error) {
    told(error instanceof Refused ? error.message : "The switch does not answer.", "bad");
  }
}

el("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = el("key").value.trim();
  el("key").value = "";
  if (key) enter(key);
});
el("new-extension").addEventListener("submit", (event) => {
  event.preventDefault();
  makeExtension();
});
el("leave").addEventListener("click", () => {
  leave();
  trouble("");
});

const kept = sessionStorage.getItem(KEY);
if (kept) enter(kept);
else health(undefined, visit).catch(() => trouble("The switch does not answer."));
