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

// What a phone sends: its tone and, when asked for, a picture that moves. JsSIP stops the tracks at the end of a call.
function source({ hz, video }) {
  const context = new AudioContext();
  const tone = context.createOscillator();
  const out = context.createMediaStreamDestination();
  tone.frequency.value = hz;
  tone.connect(out);
  tone.start();
  if (video) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [160, 120];
    const pen = canvas.getContext("2d");
    let n = 0;
    setInterval(() => { pen.fillStyle = `hsl(${n++ % 360} 90% 50%)`; pen.fillRect(0, 0, 160, 120); }, 50);
    canvas.captureStream(20).getTracks().forEach((track) => out.stream.addTrack(track));
  }
  return out.stream;
}

const media = (phone) => ({
  mediaStream: source(phones[phone]),
  mediaConstraints: { audio: true, video: Boolean(phones[phone].video) },
  pcConfig: { iceServers: [] },
});

// What a phone hears: the strongest frequency of the first audio track that came, in Hz.
function ear(session) {
  const track = session.connection.getReceivers().map((r) => r.track).find((t) => t.kind === "audio");
  const stream = new MediaStream([track]);
  const player = new Audio(); // without one that plays it, WebAudio gets nothing of a remote track
  player.srcObject = stream;
  player.play();
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 8192;
  context.createMediaStreamSource(stream).connect(analyser);
  return () => {
    const levels = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(levels);
    const peak = levels.indexOf(Math.max(...levels));
    return levels[peak] < -60 ? 0 : (peak * context.sampleRate) / analyser.fftSize;
  };
}

const commands = {
  register({ phone, url, domain, password, hz = 440, video = "" }) {
    const ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(url)],
      uri: `sip:${phone}@${domain}`,
      password,
      session_timers: false,
    });
    phones[phone] = { ua, hz, video };
    ua.on("registered", () => tell(phone, "registered"));
    ua.on("registrationFailed", ({ cause }) => tell(phone, "registrationFailed", { cause }));
    ua.on("newRTCSession", ({ originator, session }) => {
      watch(phone, session);
      if (originator === "remote") {
        tell(phone, "called", { from: session.remote_identity.uri.toString() });
        session.answer(media(phone));
      }
    });
    ua.start();
  },
  call: ({ phone, to }) => phones[phone].ua.call(to, media(phone)),
  hangUp: ({ phone }) => phones[phone].session.terminate(),
  hold: ({ phone }) => phones[phone].session.hold({}, () => tell(phone, "held")),
  resume: ({ phone }) => phones[phone].session.unhold({}, () => tell(phone, "resumed")),
  restartIce({ phone }) {
    const options = { rtcOfferConstraints: { iceRestart: true } };
    phones[phone].session.renegotiate(options, () => tell(phone, "restarted"));
  },
  async look({ phone }) {
    const { session } = phones[phone];
    phones[phone].ear ??= new Map();
    if (!phones[phone].ear.has(session)) phones[phone].ear.set(session, ear(session));
    const found = { hz: phones[phone].ear.get(session)(), state: session.connection.iceConnectionState };
    for (const report of (await session.connection.getStats()).values()) {
      if (report.type === "inbound-rtp") {
        found[report.kind] = report.packetsReceived;
        if (report.kind === "video") found.frames = report.framesDecoded;
      }
      if (report.type === "outbound-rtp" && report.kind === "video") {
        Object.assign(found, { pli: report.pliCount, nack: report.nackCount, fir: report.firCount });
      }
      if (report.type === "candidate-pair" && report.nominated) found.remote = report.remoteCandidateId;
      if (report.type === "remote-inbound-rtp" && report.kind === "audio") found.roundTrip = report.roundTripTime;
    }
    for (const report of (await session.connection.getStats()).values()) {
      if (report.id === found.remote) found.remote = `${report.address}:${report.port}`;
    }
    tell(phone, "seen", found);
  },
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
