"use strict";
/* Logging in and out, and what one can do then. Text only, as in dashboard.js. */

let session = { logged_in: false, can_log_in: false, read: "open", token: null, until: null };

/* POST; the token of the session tells the node that it was this page which asked. */
async function order(path, given) {
  const response = await fetch(path, {
    method: "POST", cache: "no-store", signal: AbortSignal.timeout(30000), body: JSON.stringify(given),
    headers: { "Content-Type": "application/json", ...(session.token ? { "X-Form-Token": session.token } : {}) },
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    if (response.status === 401 && session.logged_in) await learnSession();
    throw new Error(answer.error || response.statusText || "the node refuses");
  }
  return answer;
}

const wordsOf = (error) =>
  (error instanceof TypeError || error.name === "TimeoutError" ? "this node does not answer" : error.message);

async function learnSession() {
  useSession(await ask("/api/session"));
}

function useSession(next) {
  const ended = session.logged_in && !next.logged_in;
  if (session.logged_in !== next.logged_in) byId("nodes").replaceChildren(); /* its columns are others now */
  session = next;
  byId("log-in").hidden = session.logged_in;
  byId("log-out").hidden = !session.logged_in;
  const shut = session.read === "login" || session.read === "metrics";
  byId("shut").hidden = !(shut && !session.logged_in);
  document.querySelector("main").hidden = shut && !session.logged_in;
  if (session.logged_in) byId("login").close();
  return ended;
}

/* Whether there is something to read; the session may have ended meanwhile. */
async function mayRead() {
  const over = session.logged_in && Date.now() / 1000 >= session.until;
  if (session.read === "open" && !over && mayRead.asked) return true;
  const before = session.logged_in;
  await learnSession();
  mayRead.asked = true;
  if (before && !session.logged_in) say("your session has ended: log in again to change something", "warn");
  return session.read === "open" || session.logged_in;
}

function say(text, kind) {
  byId("said").textContent = text;
  byId("said").className = kind || "";
  byId("said").hidden = !text;
}

/* -- logging in and out */

function showLogin() {
  const dialog = byId("login");
  if (dialog.open) return;
  byId("login-error").textContent = session.can_log_in ? "" : "there is no password yet: type voipctl web-password on the node's machine";
  const far = location.protocol === "http:" && !/^(localhost|127\.|\[::1\])/.test(location.hostname);
  byId("login-open").hidden = !far;
  byId("password").value = "";
  dialog.showModal();
  byId("password").focus();
}

async function logIn(event) {
  event.preventDefault();
  const button = byId("login-do");
  button.disabled = true;
  byId("login-error").textContent = "";
  try {
    useSession(await order("/api/login", { password: byId("password").value }));
    say("");
  } catch (error) {
    byId("login-error").textContent = wordsOf(error);
    byId("password").select();
  } finally {
    button.disabled = false;
  }
}

async function logOut() {
  try {
    useSession(await order("/api/logout", {}));
    say("you have logged out");
  } catch (error) {
    say(wordsOf(error), "bad");
  }
}

/* -- draining */

const serves = (node) => ["open", "shed", "full"].includes(node.state);
let wanted = null; /* what the dialog asks about: {node, on} */

function drainButton(node) {
  const on = node.state !== "drain";
  if (on && !serves(node)) return "–";
  const button = make("button", on ? "drain" : "undrain", "act");
  button.type = "button";
  button.dataset.node = node.name;
  button.addEventListener("click", () => askToDrain(node.name, on));
  return button;
}

function askToDrain(name, on) {
  const others = shownNodes.filter((node) => node.name !== name && serves(node));
  wanted = { node: name, on };
  byId("drain-title").textContent = on ? `Drain ${name}?` : `Let ${name} take requests again?`;
  byId("drain-text").textContent = on
    ? `${name} takes no new requests from now on. Its calls go on, and its phones are moved to other nodes when they register again.`
    : `${name} gets its part of new calls and registrations as soon as this is done.`;
  byId("drain-warning").textContent = on && !others.length ? "No other node serves now: nobody will take new calls." : "";
  byId("drain-error").textContent = "";
  byId("drain-do").textContent = on ? "drain" : "undrain";
  byId("drain-do").disabled = false;
  byId("drain").showModal();
}

async function drain(event) {
  event.preventDefault();
  byId("drain-do").disabled = true;
  byId("drain-error").textContent = "";
  try {
    say((await order("/api/drain", wanted)).done, "good");
    byId("drain").close();
    turn();
  } catch (error) {
    byId("drain-error").textContent = wordsOf(error);
    byId("drain-do").disabled = false;
  }
}

/* Called once everything is there. */
function listenToButtons() {
  byId("log-in").addEventListener("click", showLogin);
  byId("shut-log-in").addEventListener("click", showLogin);
  byId("log-out").addEventListener("click", logOut);
  byId("login-form").addEventListener("submit", logIn);
  byId("drain-form").addEventListener("submit", drain);
  for (const button of document.querySelectorAll("dialog button.cancel")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
}
