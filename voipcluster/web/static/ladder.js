"use strict";
/* What was said in a call, as a ladder in SVG: a column for everybody who took part, an arrow for each message. Text only, as in dashboard.js. */

const Ladder = (() => {
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const TIME = 72, LEAST = 150, NARROW = 104, WHOLE = 560, HEAD = 40, ROW = 27, LINE = 17; /* px */
  const MOST = 500; /* rows: a call that says more is for voipctl */
  const LETTER = 7.3; /* px of a letter in the type of labels, about; one too wide is cut off */
  let shown = "";

  function shape(parent, tag, attributes, text, kind) {
    const element = document.createElementNS(NAMESPACE, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
    if (text !== undefined) element.textContent = text;
    if (kind) element.setAttribute("class", kind);
    parent.append(element);
    return element;
  }

  /* As much of a text as there is room for. */
  function cut(text, room) {
    const letters = Math.max(3, Math.floor(room / LETTER));
    return text.length <= letters ? text : `${text.slice(0, letters - 1)}…`;
  }

  function inLines(text, letters) {
    const lines = [""];
    for (const word of text.split(/\s+/)) {
      const last = lines[lines.length - 1];
      if (last && last.length + word.length >= letters) lines.push(word);
      else lines[lines.length - 1] = last ? `${last} ${word}` : word;
    }
    return lines.map((line) => (line.length > letters ? `${line.slice(0, letters - 1)}…` : line));
  }

  const seconds = (row) => `+${Number(row.after).toFixed(3)}`;

  function labelOf(step) {
    const method = String(step.cseq).split(" ")[1] || "";
    const of = method && !String(step.label).startsWith(method) ? ` (${method})` : "";
    return `${step.label}${of}${step.repeat ? " again" : ""}${step.unseen ? " lost?" : ""}`;
  }

  function drawStep(svg, step, at, y) {
    const from = at[step.from], to = at[step.to];
    const label = labelOf(step);
    const kind = step.unseen ? "lost" : step.repeat ? "again" : /^[3-6]/.test(step.label) ? "refusal" : "";
    const group = shape(svg, "g", {}, undefined, `step ${kind}`);
    shape(group, "title", {}, `${seconds(step)} s, ${step.transport}: ${label}; CSeq ${step.cseq}`);
    if (from === to) {
      shape(group, "path", { d: `M${from} ${y - 6} h14 v8 h-10` });
      shape(group, "text", { x: from + 20, y: y + 2 }, cut(label, LEAST));
      return;
    }
    const way = to > from ? 1 : -1;
    shape(group, "path", { d: `M${from} ${y} H${to}` });
    shape(group, "path", { d: `M${to} ${y} l${-7 * way} -4 v8 z` }, undefined, "tip");
    const room = Math.abs(to - from) - 16;
    const whole = `${label} ${step.transport}`;
    shape(group, "text", { x: (from + to) / 2, y: y - 5, "text-anchor": "middle" }, cut(whole.length * LETTER <= room ? whole : label, room));
  }

  function draw(trace) {
    const who = trace.participants;
    const rows = [...trace.steps, ...trace.events].sort((one, other) => one.at - other.at).slice(-MOST);
    /* on a phone as narrow as can still be read, since what is on the right is out of sight */
    const room = byId("call-ladder").clientWidth || WHOLE, least = room < WHOLE ? NARROW : LEAST;
    const gap = Math.max(least, Math.min(260, (Math.min(room, 832) - TIME) / Math.max(1, who.length)));
    const width = Math.max(TIME + gap * who.length, Math.min(WHOLE, room));
    const at = who.map((_, number) => TIME + gap * (number + 0.5));
    const svg = document.createElementNS(NAMESPACE, "svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "the messages of this call, one below the other");
    const columns = shape(svg, "g", {}, undefined, "columns");
    let y = who.length ? HEAD : 4;
    for (const row of rows) {
      const step = row.from !== undefined;
      const lines = step ? [] : inLines(`${row.node}: ${row.text}`, Math.floor((Math.min(width, room) - TIME - 8) / LETTER));
      y += step ? ROW : LINE + 4; /* the time of an arrow stands somewhat below it */
      shape(svg, "text", { x: TIME - 10, y: step ? y + 4 : y, "text-anchor": "end" }, seconds(row), "time");
      if (step) drawStep(svg, row, at, y);
      lines.forEach((line, number) => {
        y += number ? LINE : 0;
        shape(svg, "text", { x: TIME + 4, y }, line, "event");
      });
    }
    who.forEach((one, number) => {
      const name = shape(columns, "text", { x: at[number], y: 16, "text-anchor": "middle" }, cut(one.node ? `node ${one.name}` : one.name, gap - 8),
        one.node ? "node" : "");
      shape(name, "title", {}, one.name);
      shape(columns, "path", { d: `M${at[number]} 24 V${y + 12}` });
    });
    svg.setAttribute("width", String(width));
    svg.setAttribute("height", String(y + 18));
    return svg;
  }

  function notes(trace) {
    const parts = [];
    if (!trace.steps.length) parts.push(make("p", "No message of it was traced; voipctl trace on keeps those to come."));
    if (trace.silent.length) parts.push(make("p", `Missing is what these nodes know, which do not answer: ${trace.silent.join(", ")}`, "bad"));
    return parts;
  }

  /* Anew only when something has changed, so that a selection and the scroll position outlast the next answer. */
  function show(trace) {
    const said = JSON.stringify(trace);
    if (said === shown) return;
    shown = said;
    byId("call-ladder").replaceChildren(draw(trace), ...notes(trace));
  }

  async function refresh(callId, isStill) {
    let parts;
    try {
      const trace = await ask(`/api/trace/${encodeURIComponent(callId)}`);
      if (isStill()) show(trace);
      return;
    } catch (error) {
      parts = [make("p", error.message)];
    }
    if (isStill()) {
      shown = "";
      byId("call-ladder").replaceChildren(...parts);
    }
  }

  function clear() {
    shown = "";
    byId("call-ladder").replaceChildren();
  }

  return { refresh, show, clear };
})();
