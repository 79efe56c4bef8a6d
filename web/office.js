// The live office: asks the API every two seconds, and shows what it says as text, never as markup.
"use strict";

const EVERY_MS = 2000;
const KEY = "offhook-key";
const el = (id) => document.getElementById(id);
let timer = 0;
// Counts keys entered and forgotten: an answer to a question of an earlier one is thrown away.
let visit = 0;

class Refused extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

async function ask(path, key) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const response = await fetch(`/api/v1${path}`, { headers });
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

function show(calls, registrations) {
  el("call-count").textContent = calls.length;
  const call = (c) => [c.from, c.to, c.dialed, c.state, clock(c.answered_at ?? c.started_at)];
  fill(el("calls"), calls.map(call), 5, "Nobody is calling.");
  el("registration-count").textContent = registrations.length;
  const phone = (r) => [r.extension, r.user_agent || r.contact, r.source, r.transport, clock(r.expires_at)];
  fill(el("registrations"), registrations.map(phone), 5, "No phone is registered.");
}

function trouble(text) {
  el("trouble").textContent = text;
  el("trouble").hidden = text === "";
}

async function health() {
  const { version, database, records_waiting: waiting } = await ask("/system/health");
  const words = [`version ${version}`];
  if (database !== "ok") words.push("the database is away");
  if (waiting > 0) words.push(`${waiting} call records not written yet`);
  el("health").textContent = words.join(", ");
}

function leave() {
  clearTimeout(timer);
  visit += 1;
  sessionStorage.removeItem(KEY);
  el("office").hidden = true;
  el("enter").hidden = false;
  show([], []);
}

async function refresh(key, mine) {
  try {
    const [calls, registrations] = await Promise.all([all("/calls", key), all("/registrations", key), health()]);
    if (mine !== visit) return;
    sessionStorage.setItem(KEY, key);
    show(calls, registrations);
    el("enter").hidden = true;
    el("office").hidden = false;
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
  refresh(key, visit);
}

el("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = el("key").value.trim();
  el("key").value = "";
  if (key) enter(key);
});
el("leave").addEventListener("click", () => {
  leave();
  trouble("");
});

const kept = sessionStorage.getItem(KEY);
if (kept) enter(kept);
else health().catch(() => trouble("The switch does not answer."));
