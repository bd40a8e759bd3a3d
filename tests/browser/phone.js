// Phones in a browser that do what the test says, and tell it what happens to them.
import JsSIP from "jssip";

const phones = {};

function tell(phone, event, more = {}) {
  return fetch("/event", { method: "POST", body: JSON.stringify({ phone, event, ...more }) });
}

function watch(name, session) {
  phones[name].session = session;
  session.on("confirmed", () => tell(name, "confirmed"));
  session.on("ended", ({ originator, cause }) => tell(name, "ended", { originator, cause }));
  session.on("failed", ({ originator, cause }) => tell(name, "failed", { originator, cause }));
}

const media = { mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } };

const commands = {
  register({ phone, url, domain, password }) {
    const ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(url)],
      uri: `sip:${phone}@${domain}`,
      password,
      session_timers: false,
    });
    phones[phone] = { ua };
    ua.on("registered", () => tell(phone, "registered"));
    ua.on("registrationFailed", ({ cause }) => tell(phone, "registrationFailed", { cause }));
    ua.on("newRTCSession", ({ originator, session }) => {
      watch(phone, session);
      if (originator === "remote") {
        tell(phone, "called", { from: session.remote_identity.uri.toString() });
        session.answer(media);
      }
    });
    ua.start();
  },
  call: ({ phone, to }) => phones[phone].ua.call(to, media),
  hangUp: ({ phone }) => phones[phone].session.terminate(),
};

async function obey() {
  for (;;) {
    const response = await fetch("/command");
    if (!response.ok) return;
    const { command, ...rest } = await response.json();
    try {
      commands[command](rest);
    } catch (error) {
      tell(rest.phone, "error", { cause: String(error) });
    }
  }
}

obey();
