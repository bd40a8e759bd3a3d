"use strict";
/* Asks this node's JSON once a second and shows it. What comes from the network only ever becomes text. */

const PERIOD = 1000; // ms
const MOST_ROWS = 200;
const byId = (id) => document.getElementById(id);
const plot = new Plot(byId("plot"));
let names = [];
let shownNodes = [];
let turns = 0;
let levels = { threshold: 0.75, hard_limit: 0.95 };
let started = null;

function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

const orDash = (value) => (value === undefined || value === null || value === "" ? "–" : String(value));
const two = (number) => String(number).padStart(2, "0");

function duration(seconds) {
  if (typeof seconds !== "number") return "–";
  const s = Math.floor(seconds);
  const hours = Math.floor(s / 3600);
  const minutes = Math.floor(s / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/*
 * Show rows in a table. A column is [title, cell(row) as text or element, class]. Only cells that have changed are
 * replaced, so that a click or the keyboard's focus outlasts the next answer.
 */
function fill(table, columns, rows, none) {
  if (!table.tHead) {
    const head = table.createTHead().insertRow();
    for (const [title, , kind] of columns) head.append(make("th", title, kind === "right" ? kind : ""));
    table.createTBody();
  }
  const body = table.tBodies[0];
  const shown = rows.slice(0, MOST_ROWS);
  if (body.rows.length && body.rows[0].cells[0].className === "empty") body.deleteRow(0);
  while (body.rows.length > shown.length) body.deleteRow(-1);
  shown.forEach((row, at) => fillRow(body.rows[at] || newRow(body, columns), columns, row));
  if (!shown.length) {
    const place = body.insertRow().insertCell();
    place.colSpan = columns.length;
    place.className = "empty";
    place.textContent = none;
  }
}

function newRow(body, columns) {
  const line = body.insertRow();
  for (const [title, , kind] of columns) {
    const place = line.insertCell();
    place.className = kind || "";
    place.dataset.title = title;
  }
  return line;
}

function fillRow(line, columns, row) {
  columns.forEach(([, cell], at) => {
    const content = cell(row);
    const next = content instanceof Node ? content : document.createTextNode(orDash(content));
    const place = line.cells[at];
    if (!place.firstChild || !place.firstChild.isEqualNode(next)) place.replaceChildren(next);
  });
}

function showMore(id, count) {
  byId(id).hidden = count <= MOST_ROWS;
  byId(id).textContent = `and ${count - MOST_ROWS} more`;
}

const STATE_KINDS = { open: "good", shed: "warn", full: "bad", drain: "warn", unknown: "bad", stopped: "warn" };
const stateKind = (state) => STATE_KINDS[String(state).toLowerCase()] || "soft";

function nodeName(node) {
  const cell = make("span");
  const swatch = make("span", "", "swatch");
  swatch.style.background = nodeColour(names, node.name);
  cell.append(swatch, orDash(node.name));
  return cell;
}

function workloadBar(node) {
  if (typeof node.workload !== "number") return "–";
  const bar = make("div", "", "load");
  const track = make("div", "", "track");
  const level = node.workload >= levels.hard_limit ? "bad" : node.workload >= levels.threshold ? "warn" : "";
  const filled = make("div", "", `fill ${level}`);
  filled.style.width = `${Math.min(100, Math.max(0, node.workload * 100))}%`;
  track.append(filled);
  bar.append(track, make("span", node.workload.toFixed(2)));
  bar.title = Object.entries(node.components || {}).map(([name, value]) => `${name} ${Number(value).toFixed(2)}`).join("\n");
  return bar;
}

function reportAge(age) {
  if (typeof age !== "number" || age < 0) return "–";
  return age < 60 ? `${age.toFixed(1)} s` : duration(age);
}

const NODE_COLUMNS = [
  ["node", nodeName, "name"],
  ["role", (node) => node.role],
  ["state", (node) => make("span", orDash(node.state) + (node.stopping ? ", will stop" : ""), `state ${stateKind(node.state)}`)],
  ["workload", workloadBar, "half"],
  ["calls", (node) => node.calls, "right"],
  ["handed over", (node) => node.handed_over, "right"],
  ["registrations", (node) => node.registrations, "right"],
  ["report age", (node) => reportAge(node.report_age), "right"],
];

const nodeColumns = () => (session.logged_in ? [...NODE_COLUMNS, ["", drainButton, "right"]] : NODE_COLUMNS);

const AUDIO = {
  both: ["both ways", "good"], caller: ["caller only", "warn"], callee: ["callee only", "warn"], none: ["silent", "bad"],
};

function audio(call) {
  const [text, kind] = AUDIO[call.audio] || [orDash(call.audio), "soft"];
  return make("span", text, kind);
}

function party(key) {
  return (call) => {
    const button = make("button", orDash(call[key]).replace(/^sips?:/, ""), "link");
    button.type = "button";
    button.title = "how it sounds, and why this node";
    button.dataset.call = call.call_id; /* two calls of the same people are two buttons */
    button.addEventListener("click", () => openCall(call.call_id));
    return button;
  };
}

/* Who proved a password; mostly of the domain that the address beside it has, too. */
function userName(call) {
  const element = make("span", orDash(call.user).replace(/@.*/s, ""));
  if (call.user) element.title = call.user;
  return element;
}

const CALL_COLUMNS = [
  ["from", party("from"), "wide half"],
  ["to", party("to"), "wide"],
  ["node", nodeOf],
  ["client", (call) => [call.transport, call.client].filter(Boolean).join(" "), "half"],
  ["user", userName, "wide"],
  ["gateway", (call) => [call.gateway_in, call.gateway_out].filter(Boolean).join(" → "), "wide"],
  ["state", (call) => call.state],
  ["duration", (call) => duration(call.duration), "right"],
  ["audio heard", audio],
];

function nodeOf(row) {
  return nodeName({ name: row.node });
}

const REGISTRATION_COLUMNS = [
  ["address", (row) => row.aor, "long"],
  ["contact", (row) => row.contact, "long"],
  ["node", nodeOf],
  ["source", (row) => [row.transport, row.source].filter(Boolean).join(" "), "half"],
  ["expires in", (row) => duration(row.expires), "right"],
  ["user agent", (row) => row.user_agent, "long"],
];

const GATEWAY_KINDS = { up: "good", down: "bad", closed: "warn", disabled: "warn" };

const gatewayState = (row) => make("span", orDash(row.state), `state ${GATEWAY_KINDS[row.state] || "soft"}`);

const GATEWAY_COLUMNS = [
  ["gateway", (row) => row.name, "name"],
  ["kind", (row) => row.kind],
  ["state", gatewayState],
  ["channels", (row) => (row.most ? `${row.channels}/${row.most}` : row.channels), "right"],
  ["seizures", (row) => row.seizures, "right"],
  ["answered", (row) => (typeof row.asr === "number" ? `${Math.round(row.asr * 100)} %` : "–"), "right"],
  ["refused", (row) => row.refused, "right"],
  ["last cause", (row) => row.last_cause, "long"],
  ["why", (row) => [row.reason, row.registration].filter(Boolean).join("; "), "long"],
];

async function showGateways() {
  const rows = await ask("/api/gateways");
  byId("gateways-box").hidden = !rows.length;
  fill(byId("gateways"), GATEWAY_COLUMNS, rows, "no gateway is declared");
  showMore("gateways-more", rows.length);
  showMissing("gateways-missing", (rows.length && rows[0].silent) || [], "what others count is");
}

/* What the node answers, and the names of those whose part of it is missing, since they did not answer it. */
async function answerOf(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  const answer = await response.json();
  if (response.status === 401) mayRead.asked = false; /* it was closed meanwhile */
  if (!response.ok) throw new Error(answer.error || response.statusText);
  return [answer, (response.headers.get("Voipcluster-Silent") || "").split(", ").filter(Boolean)];
}

const ask = async (path) => (await answerOf(path))[0];

function showMissing(id, nodes, what) {
  const many = nodes.length > 1;
  byId(id).hidden = !nodes.length;
  byId(id).textContent = nodes.length ? `${what} missing: node${many ? "s" : ""} ${nodes.join(", ")} ${many ? "do" : "does"} not answer` : "";
}

function showStatus(status) {
  const nodes = status.nodes;
  shownNodes = nodes;
  names = nodes.map((node) => node.name);
  if (typeof status.threshold === "number") levels.threshold = status.threshold;
  if (typeof status.hard_limit === "number") levels.hard_limit = status.hard_limit;
  const sum = (key) => nodes.reduce((total, node) => total + (node[key] || 0), 0);
  const serving = nodes.filter((node) => ["open", "shed", "full"].includes(node.state)).length;
  byId("cluster").textContent = status.cluster ? `${status.cluster}${status.node ? ` · seen from ${status.node}` : ""}` : "";
  byId("total-nodes").textContent = `${serving} of ${nodes.length}`;
  byId("total-calls").textContent = sum("calls");
  byId("total-registrations").textContent = status.registrations ?? sum("registrations");
  byId("total-handed").textContent = sum("handed_over");
  fill(byId("nodes"), nodeColumns(), nodes, "no node is known");
}

function showCalls(calls, silent, total) {
  const both = calls.filter((call) => call.audio === "both").length;
  /* of many calls the node tells some */
  byId("total-audio").textContent = calls.length < total ? `${both} of ${calls.length}` : both;
  fill(byId("calls"), CALL_COLUMNS, calls, "no call in progress");
  showMore("calls-more", Math.max(calls.length, total));
  showMissing("calls-missing", silent, "calls are");
}

function showHistory(history) {
  /* A node that was started anew has a history that does not go on from ours. */
  if (started !== null && history.started !== undefined && history.started !== started) plot.clear();
  started = history.started ?? null;
  plot.add(history);
  plot.draw(names, [["threshold", levels.threshold], ["hard limit", levels.hard_limit]]);
}

/* Rarely, since there may be many. */
async function showRegistrations(total = 0) {
  if (!byId("registrations-box").open || turns % 5) return;
  const aor = byId("find-aor").value.trim();
  const rows = await ask(`/api/registrations${aor ? `?aor=${encodeURIComponent(aor)}` : ""}`);
  if (aor !== byId("find-aor").value.trim()) return;
  fill(byId("registrations"), REGISTRATION_COLUMNS, rows, "nobody is registered");
  showMore("registrations-more", aor ? rows.length : Math.max(rows.length, total));
}

async function turn() {
  const live = byId("live");
  try {
    if (!(await mayRead())) {
      live.className = "";
      live.textContent = "closed";
      return;
    }
    document.querySelector("main").hidden = false;
    const since = plot.last === null ? "" : `?since=${plot.last}`;
    const [status, [calls, silent], history] = await Promise.all([
      ask("/api/status"), answerOf("/api/calls"), ask(`/api/history${since}`),
    ]);
    showStatus(status);
    showCalls(calls, silent, status.nodes.reduce((total, node) => total + (node.calls || 0), 0));
    showHistory(history);
    await Promise.all([showGateways(), showRegistrations(status.registrations ?? 0), refreshCall()]);
    live.className = "good";
    live.textContent = "live";
  } catch (error) {
    live.className = "bad";
    live.textContent = wordsOf(error);
  }
}

async function run() {
  for (;;) {
    if (!document.hidden) await turn();
    turns += 1;
    await new Promise((resolve) => setTimeout(resolve, PERIOD));
  }
}

function findNow() {
  turns = 0;
  showRegistrations().catch((error) => say(wordsOf(error), "bad"));
}

listenToButtons();
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  findNow();
});
byId("find-aor").addEventListener("search", findNow);
byId("registrations-box").addEventListener("toggle", findNow);

run();
/* The address of the page with #call=CALL-ID can be passed on to somebody else. */
function openNamedCall() {
  if (!location.hash.startsWith("#call=")) return;
  try {
    openCall(decodeURIComponent(location.hash.slice("#call=".length)));
  } catch (error) {
    say("the address of this page names no call", "warn"); /* such as a % that nothing follows */
  }
}
addEventListener("hashchange", openNamedCall);
openNamedCall();
