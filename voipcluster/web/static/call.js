"use strict";
/* One call: how each direction of its media arrives, now and over time, and why it is at its node. Text only, as in dashboard.js. */

let openedCall = null;

const percent = (value) => (typeof value === "number" ? `${(100 * value).toFixed(1)} %` : "–");
const inMilliseconds = (value) => (typeof value === "number" ? `${(1000 * value).toFixed(1)} ms` : "–");

function score(row) {
  if (typeof row.mos !== "number") return "–";
  const kind = row.mos >= 4 ? "good" : row.mos >= 3.1 ? "warn" : "bad"; /* satisfied, some are not, many are not: G.107 Annex B */
  const cell = make("span", row.mos.toFixed(2), kind);
  cell.title = `R ${row.r}, ${row.delay} ms from mouth to ear`;
  return cell;
}

function lossCell(row) {
  return make("span", percent(row.loss), typeof row.loss !== "number" ? "soft" : row.loss >= 0.03 ? "bad" : row.loss >= 0.01 ? "warn" : "");
}

const DIRECTION_COLUMNS = [
  ["from", (row) => row.from, "name"],
  ["to", (row) => row.to, "name"],
  ["packets", (row) => row.packets, "right"],
  ["octets", (row) => row.octets, "right"],
  ["lost", (row) => row.lost, "right"],
  ["loss", lossCell, "right"],
  ["jitter", (row) => inMilliseconds(row.jitter), "right"],
  ["round trip", (row) => inMilliseconds(row.round_trip), "right"],
  ["MOS", score, "right"],
  ["phone's MOS", (row) => (row.measured ? row.measured.mos_cq : null), "right"],
];

function streamParts(stream) {
  const codec = stream.codec ? `${stream.codec}/${stream.rate}` : "codec not known";
  const notes = [];
  if (stream.held) notes.push("on hold");
  if (stream.protected) notes.push("its RTCP is encrypted: only packets are known");
  if (typeof stream.round_trip === "number") notes.push(`${inMilliseconds(stream.round_trip)} from end to end and back`);
  const table = make("table");
  fill(table, DIRECTION_COLUMNS, stream.directions || [], "");
  const parts = [make("h3", `${stream.kind}, ${stream.protocol}, ${codec}`), make("p", notes.join("; "))];
  if (stream.trouble) parts.push(make("p", `${stream.trouble}: nothing comes from ${stream.missing || "either side"}`, "bad"));
  const strangers = (stream.directions || []).reduce((sum, way) => sum + (way.strangers || 0), 0);
  if (stream.trouble && strangers) {
    parts.push(make("p", `${strangers} packets came from where the relay does not expect them, and were dropped`, "bad"));
  }
  return [...parts, table];
}

function showCall(call) {
  const state = call.state === "ended" ? `ended after ${duration(call.duration)}: ${orDash(call.reason)}` : `${call.state}, ${duration(call.duration)}`;
  byId("call-facts").textContent = `${orDash(call.from)} to ${orDash(call.to)} at node ${orDash(call.node)}; ${state}`;
  const streams = call.streams || [];
  const parts = streams.length ? streams.flatMap(streamParts) : [make("p", call.streams ? "no media is relayed" : "its node does not tell how it sounds")];
  const next = make("div"), box = byId("call-media");
  next.append(...parts);
  if (!box.firstChild || !box.firstChild.isEqualNode(next)) box.replaceChildren(next); /* a selection outlasts the next answer */
  drawCourse(streams);
}

async function refreshCall() {
  const callId = openedCall;
  if (callId === null || !byId("call").open) return;
  const ladder = Ladder.refresh(callId, () => callId === openedCall);
  try {
    const calls = await ask(`/api/calls?call_id=${encodeURIComponent(callId)}`);
    if (callId !== openedCall) return; /* another one was opened meanwhile */
    const live = calls.find((call) => call.state !== "ended") || calls[calls.length - 1];
    if (live) showCall(live);
    else byId("call-media").replaceChildren(make("p", "this call is not remembered any more"));
  } catch (error) {
    /* of this call alone, such as that its node does not answer: the page goes on */
    if (callId === openedCall) byId("call-media").replaceChildren(make("p", wordsOf(error), "bad"));
  }
  await ladder;
}

async function openCall(callId) {
  openedCall = callId;
  byId("call-id").textContent = callId;
  byId("call-facts").textContent = "";
  byId("call-media").replaceChildren(make("p", "asking the nodes"));
  byId("call-hops").replaceChildren();
  Ladder.clear();
  byId("call-plot").hidden = true;
  if (!byId("call").open) byId("call").showModal();
  await Promise.all([refreshCall(), explain(callId)]);
}

async function explain(callId) {
  const hops = byId("call-hops");
  try {
    const answer = await ask(`/api/explain/${encodeURIComponent(callId)}`);
    if (callId !== openedCall) return;
    hops.replaceChildren(...answer.flatMap(explainHop));
    if (!answer.length) hops.replaceChildren(make("p", "no placement of this call is remembered"));
  } catch (error) {
    if (callId === openedCall) hops.replaceChildren(make("p", error.message, "bad"));
  }
}

function explainHop(hop, index) {
  const milliseconds = (value) => (typeof value === "number" ? `${Math.round(1000 * value)} ms` : "–");
  const number = (value) => (typeof value === "number" ? value.toFixed(2) : "–");
  const target = hop.chosen && hop.chosen !== hop.node ? ` to ${hop.chosen}` : "";
  const candidates = hop.candidates || [];
  const table = make("table");
  if (candidates.length) fill(table, [
    ["candidate", nodeOf],
    ["state", (row) => row.state],
    ["workload", (row) => number(row.workload), "right"],
    ["wait", (row) => milliseconds(row.wait), "right"],
    ["room", (row) => (row.room >= 0 ? `${Math.round(row.room)}/s` : "–"), "right"],
    ["age", (row) => reportAge(row.age), "right"],
    ["reason", (row) => row.reason, "long"],
  ], candidates, "");
  candidates.forEach((row, at) => {
    if (row.node === hop.chosen) table.tBodies[0].rows[at].className = "chosen";
  });
  const plan = hop.share >= 0
    ? `, the plan gives ${Math.round(100 * hop.share)} % away${hop.fresh ? "" : ", reports too old to compare"}` : "";
  return [
    make("h3", `${index + 1}. ${hop.node}: ${hop.outcome}${target}`),
    make("p", `${orDash(hop.reason)}; policy ${hop.policy}, own workload ${number(hop.own)}, `
      + `gate ${number(hop.gate)}, own wait ${milliseconds(hop.delay)}${plan}`),
    table,
  ];
}
