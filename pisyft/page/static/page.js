// The classroom page. Shows what the server sends, in sections; a section that comes again replaces the earlier one.
// Whatever comes is text: it goes into the page by textContent and setAttribute only.

const SVG = "http://www.w3.org/2000/svg";
const PALETTE = 8; // colours; the next eight Pis have them again, with dashes
const MANY = 4; // Pis with all there is to tell of them; of more, each card says less
const IN_ROW = 5; // of a strip, at most
const SILENT_MS = 7000; // the server says something every two seconds
const RETRY_MS = 1500;
const HOT_CELSIUS = 75; // a Pi slows down at 80

const state = { pis: {} };
let serverAhead = 0; // milliseconds between the server's clock and this one
let lastHeard = 0;
let source = null;

// Small helpers

const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a string child is text. */
function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "pi" && value !== null) {
      element.style.setProperty("--pi", `var(--pi-${value % PALETTE})`);
      if (value >= PALETTE) element.setAttribute("data-dash", Math.floor(value / PALETTE));
    } else if (name === "style") Object.entries(value).forEach((each) => element.style.setProperty(...each));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

/** Set the text of an element, without touching it where nothing changes. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const now = () => Date.now() + serverAhead;
const percent = (part) => (part === null || part === undefined ? "–" : `${(100 * part).toFixed(1)}%`);
const number = (value) => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
const shortClock = (seconds) => clock(seconds).slice(0, 5);
const count = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;
const list = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return count(Math.floor(whole / 86400), "day");
}

/** The place of a Pi among all, which is its colour everywhere. */
function place(pi) {
  const all = [...new Set([...(state.classroom?.pis ?? []), ...(state.run?.workers ?? [])])];
  return Math.max(0, all.indexOf(pi));
}

// Header

function showHeader() {
  const { classroom, run, history, tests } = state;
  if (!classroom) return;
  say(byId("classroom"), classroom.name);
  document.title = `${classroom.name} · PiSyft`;
  const pis = classroom.pis.map((pi) => state.pis[pi]).filter(Boolean);
  const paused = pis.filter((pi) => pi.online && pi.paused).length;
  const online = pis.filter((pi) => pi.online).length - paused;
  figure("online", String(online), ` of ${classroom.pis.length}${paused ? `, ${paused} paused` : ""}`);
  if (run?.state === "none" || !run?.rounds) figure("round", "–");
  else figure("round", String(state.round?.number ?? 0), ` of ${run.rounds}`);
  const accuracy = tests?.after?.accuracy ?? history?.at(-1)?.accuracy;
  figure("accuracy", accuracy === undefined ? "–" : percent(accuracy));
  const newest = newestRelease();
  figure("released", newest ? `v${newest}` : "–");
  const [text, kind] = statusLine();
  say(byId("status"), text);
  byId("status").className = `status ${kind}`;
}

function figure(name, value, unit = "") {
  const element = byId(`figure-${name}`);
  if (element.textContent !== value + unit) element.replaceChildren(value, ...(unit ? [h("small", {}, unit)] : []));
}

const PHASES = {
  testing: "Every Pi tests the best model on names it has held out",
  "training alone": "Every Pi trains alone, to see what it gains from the others",
  releasing: "The model goes to the Pis",
  "training in one place": "The same model is trained in one place, to compare",
};

function statusLine() {
  const { run, round, release, tests } = state;
  if (!run || run.state === "none") return ["Waiting for the first round", ""];
  if (run.state === "stopped") return [`The training has stopped: ${run.reason}`, "bad"];
  if (run.state === "finished") {
    const reached = tests?.after ? `, ${percent(tests.after.accuracy)} on names held out` : "";
    let ending = "";
    if (release?.version) {
      const who = release.away.length ? `all but ${list(release.away)}` : "every Pi";
      ending = `; released to ${who} as version ${release.version}`;
    } else if (release) ending = `; not released: ${release.reasons.join("; ")}`;
    return [`Finished: round ${run.best_round} was best${reached}${ending}`, release?.version ? "good" : ""];
  }
  const silent = now() / 1000 - run.heard;
  // In a round something is heard every second; what comes after the rounds tells only that it begins.
  if (silent > (run.phase === "rounds" ? 45 : 900)) return [`Nothing heard of the training for ${span(silent)}`, "bad"];
  if (run.phase !== "rounds") return [PHASES[run.phase] ?? run.phase, ""];
  if (round?.given_up) {
    const again = round.given_up.again_after_seconds;
    if (again === null) return ["The round is given up", "bad"];
    const left = Math.ceil(again - (now() / 1000 - run.heard));
    return [`The round is given up, and tried again ${left > 0 ? `in ${left} s` : "now"}`, "bad"];
  }
  return [round ? `Training: ${WORDS[round.protocol]?.title ?? "a new round"}` : "The first model is tested", ""];
}

// Cards

function showPis() {
  const { classroom } = state;
  if (!classroom) return;
  const n = classroom.pis.length;
  document.body.toggleAttribute("data-many", n > MANY);
  setLayout();
  const highest = Math.max(1, ...Object.values(state.pis).flatMap((pi) => pi.by_language ?? []));
  // As long as a release goes round, nobody lacks it.
  const newest = state.run?.state === "running" && state.run.phase === "releasing" ? 0 : newestRelease();
  const shown = classroom.pis.map((id) => {
    const pi = state.pis[id] ?? { id, address: "", online: null };
    // Most changes are about one Pi: the cards of the others stay as they are.
    const key = JSON.stringify([pi, trainingOf(id), state.run?.state, isInRound(id), place(id), highest, newest]);
    if (cards.get(id)?.key !== key) cards.set(id, { key, element: card(pi, highest, newest) });
    return cards.get(id).element;
  });
  const box = byId("pis");
  // Rows of a strip that are as long as each other, but for the last.
  box.style.setProperty("--in-row", Math.ceil(n / Math.ceil(n / IN_ROW)) || 1);
  if (shown.length !== box.children.length || shown.some((each, index) => each !== box.children[index])) box.replaceChildren(...shown);
}

const cards = new Map();
const trainingOf = (pi) => (state.run?.state === "running" ? state.round?.training?.[pi] : null);
const newestRelease = () => Math.max(0, state.release?.version ?? 0, ...Object.values(state.pis).map((pi) => pi.released ?? 0));

function card(pi, highest, newest) {
  const known = pi.by_language !== undefined;
  const kind = pi.online === null ? "" : !pi.online ? "offline" : pi.paused ? "paused" : "online";
  const since = kind && kind !== "paused" ? h("span", { class: "since" }, ` since ${shortClock(pi.since)}`) : null;
  const badge = [kind || "not asked yet", since];
  const training = trainingOf(pi.id);
  const doing = whatItDoes(pi, training);
  const element = h(
    "article",
    { class: `card ${kind}`, "data-pi": pi.id, "data-online": String(pi.online), "data-since": pi.since, pi: place(pi.id) },
    h("header", {}, h("h3", {}, pi.id), h("span", { class: `badge ${kind}` }, ...badge)),
    h("p", { class: "model" }, (pi.board?.model || pi.address).replace(/ Rev [\d.]+$/, "")),
    h("p", { class: "doing" }, doing, doing.startsWith("Training:") ? h("span", { class: "unit" }, " names") : null),
  );
  if (state.run?.state === "running") {
    const done = !training ? 0 : training.finished ? 1 : Math.min(1, training.names / training.of);
    const bar = h("div");
    bar.style.width = `${(100 * done).toFixed(1)}%`;
    element.append(h("div", { class: "meter", role: "img", "aria-label": `${Math.round(100 * done)}% of its names` }, bar));
  }
  if (pi.problem) element.append(h("p", { class: "problem", title: pi.problem }, pi.problem));
  if (known) element.append(languages(pi, highest), facts(pi, newest));
  return element;
}

const DOING = {
  idle: "Waiting",
  training: "Training",
  testing: "Testing the model",
  "taking a release": "Taking the release",
  "in a round": "In the round",
};

function whatItDoes(pi, training) {
  if (pi.online === null) return "Asking it";
  if (!pi.online) return "Cannot be reached";
  if (pi.paused) return "Paused by its owner";
  if (training?.finished && pi.doing === "training") return "Trained";
  if (training && !training.finished) return `Training: ${number(Math.min(training.names, training.of))} of ${number(training.of)}`;
  if (pi.doing === "idle" && isInRound(pi.id)) return DOING["in a round"];
  return DOING[pi.doing] ?? pi.doing ?? "Waiting";
}

/** Whether the round that is under way waits for it, or it for the round. */
function isInRound(pi) {
  const { round, run } = state;
  return run?.state === "running" && run.phase === "rounds" && round && round.participants.includes(pi) && !round.contributors && !round.given_up && !round.lost[pi];
}

function facts(pi, newest) {
  const board = pi.board ?? {};
  const entries = [];
  const fact = (label, value, kind = "") => entries.push(h("span", { class: kind }, h("i", {}, `${label} `), h("b", {}, value)));
  const total = pi.by_language.reduce((sum, each) => sum + each, 0);
  const spoken = count(pi.by_language.filter(Boolean).length, "language");
  entries.push(h("span", { class: "names" }, h("b", {}, number(total)), total === 1 ? " name" : " names", h("i", {}, ` in ${spoken}`)));
  if (typeof board.temperature_celsius === "number") {
    const hot = board.temperature_celsius >= HOT_CELSIUS;
    fact(hot ? "hot:" : "", `${board.temperature_celsius.toFixed(0)} °C`, hot ? "hot" : "");
  }
  if (board.memory_bytes) {
    fact("memory free", `${gigabytes(board.memory_available_bytes)} of ${gigabytes(board.memory_bytes)} GB`, "memory");
  }
  if (!pi.released) fact("model", "none yet");
  else fact("model", `v${pi.released}${pi.released < newest ? `, lacks v${newest}` : ""}`, pi.released < newest ? "hot" : "");
  return h("p", { class: "facts" }, entries);
}

const gigabytes = (bytes) => (bytes / 2 ** 30).toFixed(1);

/** Names by language: the same languages in the same order and on the same scale for all Pis. */
function languages(pi, highest) {
  const names = pi.languages;
  const held = pi.by_language;
  const wide = 340, high = 44, step = wide / names.length;
  const short = shortened(names);
  const bars = names.map((language, index) => {
    const size = held[index] ? Math.max(2, (high * held[index]) / highest) : 0;
    const place = { x: (index * step + step * 0.12).toFixed(2), width: (step * 0.76).toFixed(2), rx: 1.5 };
    return s(
      "g", {},
      s("title", {}, `${language}: ${held[index]}`),
      held[index] ? s("rect", { ...place, y: (high - size).toFixed(2), height: size.toFixed(2) }) : s("rect", { ...place, class: "none", y: high - 2, height: 2 }),
      s("text", { x: (index * step + step / 2).toFixed(2), y: high + 13 }, short[index]),
    );
  });
  return h(
    "div", { class: "languages" },
    s("svg", { viewBox: `0 0 ${wide} ${high + 17}`, preserveAspectRatio: "none", role: "img", "aria-label": names.map((language, index) => `${language} ${held[index]}`).join(", ") }, bars),
  );
}

/** Two letters of each language: its first, and the next one by which it differs from the others that begin alike. */
function shortened(names) {
  return names.map((name) => {
    const alike = names.filter((each) => each !== name && each.slice(0, 2) === name.slice(0, 2));
    const at = [...name].findIndex((letter, index) => index > 0 && alike.every((each) => each[index] !== letter));
    return name[0] + (name[at] ?? "");
  });
}

// The round

const TRAIN_SENTENCE = "Every Pi trains on its own names. They stay where they are.";
const WORDS = {
  additive: {
    title: "additive secret sharing",
    steps: { join: "Agree", share: "Share", train: "Train", upload: "Partial sums" },
    sentences: {
      join: "The Pis agree on who takes part, and on the model that everybody starts from.",
      share: "Every Pi gives each other Pi a random share. In the sum of all, these shares cancel.",
      train: TRAIN_SENTENCE,
      upload: "Every Pi hands in the sum of the shares that it holds. By itself that is a heap of random numbers.",
      sum: "The partial sums add up to the mean of what all Pis have learned. Nobody has seen what a single one did.",
    },
  },
  masks: {
    title: "zero-sum masks",
    steps: { join: "Keys", share: "Sealed shares", train: "Train", upload: "Masked models", confirm: "Who is there", unmask: "Masks off" },
    sentences: {
      join: "Every Pi shows two public keys. With each other's keys, two Pis agree on a mask that one adds and the other subtracts.",
      share: "Every Pi seals shares of its secrets for the others, in case it vanishes. The laptop carries them and cannot open them.",
      train: TRAIN_SENTENCE,
      upload: "Every Pi hands in what it has learned under its masks: random numbers, until all are added up.",
      confirm: "The Pis sign who has handed in nothing, so that nobody can tell them different stories.",
      unmask: "The Pis hand out what takes the masks off the sum, and off nothing else.",
      sum: "The masks have cancelled: this is the mean of what the Pis have learned. Nobody has seen what a single one did.",
    },
  },
  plain: {
    title: "adding up in the clear, which hides nothing",
    steps: { join: "Agree", train: "Train", upload: "In the clear" },
    sentences: {
      join: "The Pis agree on who takes part. In this round nothing is hidden: for teaching only.",
      train: TRAIN_SENTENCE,
      upload: "Every Pi hands in what it has learned, as it is. The laptop sees every single model.",
      sum: "The laptop has added up what it has seen of every Pi.",
    },
  },
};

/** For each step of the round: who has taken it. */
function progress(round) {
  return round.steps.map((step) => ({
    step,
    by: step === "train"
      ? Object.keys(round.training).filter((pi) => round.training[pi].finished)
      : round.answered[step] ?? [],
  }));
}

function currentStep(round, done) {
  if (round.contributors) return "sum";
  const left = round.participants.filter((pi) => round.given_up || !round.lost[pi]);
  return done.find(({ by }) => left.some((pi) => !by.includes(pi)))?.step ?? "sum";
}

let drawn = null; // what the picture was drawn for

function showRound() {
  const { round, run, classroom } = state;
  if (!round || !round.participants.length) {
    drawn = null;
    const waiting = run?.state === "running"
      ? [h("strong", {}, "The first model is tested"), "Then the first round begins."]
      : run?.state === "stopped"
        ? [h("strong", {}, "The training has stopped"), "It came to no round. Why is above; when that is mended, train again:", command(classroom)]
        : classroom?.begins
          ? [h("strong", {}, "Waiting for the first round"), "Training begins in a moment."]
          : [h("strong", {}, "Waiting for the first round"), "Everything here fills as soon as somebody trains:", command(classroom)];
    byId("round-picture").replaceChildren(h("div", { class: "empty" }, waiting));
    byId("steps").replaceChildren();
    say(byId("sentence"), "");
    say(byId("round-heading"), "The round");
    return;
  }
  const heading = `Round ${round.number}${run?.rounds ? ` of ${run.rounds}` : ""}: ${WORDS[round.protocol]?.title ?? round.protocol}`;
  say(byId("round-heading"), heading);
  const done = progress(round);
  const current = currentStep(round, done);
  const key = JSON.stringify([round.protocol, allInRound(round)]);
  if (drawn !== key) {
    byId("round-picture").replaceChildren(drawRound(round));
    drawn = key;
  }
  updateRound(round, current);
  showSteps(round, done, current);
}

/** What to type to train. Breaks at spaces only, so that nobody copies half an option. */
function command(classroom) {
  return h("code", {}, (classroom?.hint ?? "").split(" ").flatMap((word, index) => [index ? " " : null, h("span", {}, word)]));
}

/** Participants, and those that were left out after the round began. */
const allInRound = (round) => {
  const workers = state.run?.workers ?? [];
  return workers.filter((pi) => round.participants.includes(pi) || round.lost[pi] || state.pis[pi]?.online === false || state.pis[pi]?.paused);
};

const WIDE = 640;

/** Where everybody stands: the Pis on an ellipse, the sum in its middle. */
function layout(pis) {
  const n = pis.length;
  const radius = n <= 4 ? 50 : n <= 7 ? 40 : n <= 12 ? 30 : 20;
  const reach = { x: WIDE / 2 - radius - (n <= 4 ? 24 : n <= 7 ? 40 : 105), y: n === 2 ? 0 : n <= 12 ? 205 : 235 };
  const label = 60;
  const middle = { x: WIDE / 2, y: n === 2 ? 150 : reach.y + radius + label };
  const first = n === 2 ? Math.PI : -Math.PI / 2;
  const at = {};
  pis.forEach((pi, index) => {
    const angle = first + (2 * Math.PI * index) / n;
    at[pi] = { x: middle.x + reach.x * Math.cos(angle), y: middle.y + reach.y * Math.sin(angle) };
  });
  const lowest = Math.max(...pis.map((pi) => at[pi].y));
  return { radius, at, middle, high: Math.max(lowest + radius + label, n === 2 ? 300 : 0) };
}

/** Where a Pi's name stands, seen from the Pi: away from the lines, and where many are in a ring, beside it. */
function labelPlace(at, middle, radius, n) {
  const aside = at.x - middle.x;
  if (n > 7 && Math.abs(aside) > 0.35 * Math.hypot(aside, at.y - middle.y)) {
    return { x: Math.sign(aside) * (radius + 16), y: 0, anchor: aside > 0 ? "start" : "end" };
  }
  return { x: 0, y: at.y < middle.y - 20 ? -radius - 36 : radius + 31, anchor: "middle" };
}

function drawRound(round) {
  const pis = allInRound(round);
  const { radius, at, middle, high } = layout(pis);
  const hub = pis.length > 12 ? 44 : 58;
  const svg = s("svg", { class: pis.length > 12 ? "crowd" : null, viewBox: `0 0 ${WIDE} ${high}`, role: "img", "aria-labelledby": "sentence" });
  const behind = s("g"), front = s("g");
  if (round.protocol === "additive" && pis.length <= 12) {
    for (const from of pis) for (const to of pis) if (from !== to) behind.append(shareLine(from, to, at, radius));
  }
  if (round.protocol === "masks" && pis.length <= 12) {
    pis.forEach((a, index) => pis.slice(index + 1).forEach((b) => {
      const [x1, y1, x2, y2] = between(at[a], at[b], radius + 8, radius + 8);
      const bend = bent(x1, y1, x2, y2, pis.length === 2 ? 0.42 : 0);
      behind.append(s("path", { class: "mask", fill: "none", d: bend, "data-a": a, "data-b": b }));
    }));
  }
  for (const pi of pis) {
    const [x1, y1, x2, y2] = between(at[pi], middle, radius + 9, hub + 17);
    const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI;
    behind.append(s(
      "g", { class: "part", "data-of": pi, pi: place(pi) },
      s("line", { x1, y1, x2, y2 }),
      s("path", { class: "head", d: "M0 -9 L15 0 L0 9 Z", transform: `translate(${x2} ${y2}) rotate(${angle})`, stroke: "none" }),
    ));
    const around = 2 * Math.PI * radius;
    const label = labelPlace(at[pi], middle, radius, pis.length);
    front.append(s(
      "g", { class: "node", "data-node": pi, pi: place(pi), transform: `translate(${at[pi].x} ${at[pi].y})` },
      s("circle", { class: "disc", r: radius }),
      s("circle", { class: "ring", r: radius, transform: "rotate(-90)", "stroke-dasharray": around, "stroke-dashoffset": around }),
      s("circle", { class: "inner", r: radius - 8 }),
      s("text", { class: "letter" }, pi.slice(0, 1).toUpperCase()),
      s("text", { class: "name", x: label.x, y: label.y, "text-anchor": label.anchor }, pi.length > 14 ? `${pi.slice(0, 13)}…` : pi),
      s("text", { class: "note", x: label.x, y: label.y + 22, "text-anchor": label.anchor }),
    ));
  }
  front.append(s(
    "g", { class: "sum", transform: `translate(${middle.x} ${middle.y})` },
    s("circle", { r: hub }),
    s("text", { class: "sigma", y: -9 }, "Σ"),
    s("text", { class: "count", y: 30 }),
  ));
  svg.append(behind, front);
  return svg;
}

/** The end points of a line between two places, shortened at both ends. */
function between(a, b, fromA, fromB) {
  const long = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const x = (b.x - a.x) / long, y = (b.y - a.y) / long;
  return [a.x + x * fromA, a.y + y * fromA, b.x - x * fromB, b.y - y * fromB].map((each) => Math.round(each * 10) / 10);
}

/** A curve that bends to its left by a part of its length. */
function bent(x1, y1, x2, y2, by) {
  const x = (x1 + x2) / 2 + (y2 - y1) * by, y = (y1 + y2) / 2 - (x2 - x1) * by;
  return `M${x1} ${y1} Q${x.toFixed(1)} ${y.toFixed(1)} ${x2} ${y2}`;
}

function shareLine(from, to, at, radius) {
  const [x1, y1, x2, y2] = between(at[from], at[to], radius + 8, radius + 14);
  const by = Object.keys(at).length === 2 ? 0.42 : 0.09;
  const end = { x: (x1 + x2) / 2 + (y2 - y1) * by, y: (y1 + y2) / 2 - (x2 - x1) * by };
  const angle = (Math.atan2(y2 - end.y, x2 - end.x) * 180) / Math.PI;
  return s(
    "g", { class: "share", "data-from": from, "data-to": to, pi: place(from) },
    s("path", { d: bent(x1, y1, x2, y2, by) }),
    s("path", { class: "head", stroke: "none", d: "M-6 -6 L7 0 L-6 6 Z", transform: `translate(${x2} ${y2}) rotate(${angle})` }),
  );
}

function updateRound(round, current) {
  const svg = byId("round-picture").querySelector("svg");
  const answered = (step, pi) => (round.answered[step] ?? []).includes(pi);
  const handedIn = round.answered.upload ?? [];
  for (const node of svg.querySelectorAll(".node")) {
    const pi = node.getAttribute("data-node");
    const training = round.training[pi];
    const out = !round.participants.includes(pi) || (round.lost[pi] && !handedIn.includes(pi));
    const part = training ? (training.finished ? 1 : Math.min(1, training.names / training.of)) : 0;
    const ring = node.querySelector(".ring");
    const around = Number(ring.getAttribute("stroke-dasharray"));
    ring.setAttribute("stroke-dashoffset", (around * (1 - part)).toFixed(1));
    node.classList.toggle("trained", Boolean(training?.finished) && !out);
    node.classList.toggle("lost", Boolean(out));
    say(node.querySelector(".letter"), out ? "✕" : training?.finished ? "✓" : pi.slice(0, 1).toUpperCase());
    say(node.querySelector(".note"), nodeNote(round, pi, training, out));
  }
  for (const line of svg.querySelectorAll(".share")) {
    line.classList.toggle("there", answered("share", line.getAttribute("data-from")));
    line.classList.toggle("now", current === "share");
  }
  for (const line of svg.querySelectorAll(".mask")) {
    const on = answered("share", line.getAttribute("data-a")) && answered("share", line.getAttribute("data-b"));
    line.classList.toggle("there", on && !round.contributors);
  }
  for (const line of svg.querySelectorAll(".part")) line.classList.toggle("there", answered("upload", line.getAttribute("data-of")));
  const sum = svg.querySelector(".sum");
  sum.classList.toggle("done", Boolean(round.contributors));
  sum.classList.toggle("failed", Boolean(round.given_up));
  const parts = `${handedIn.length} of ${round.participants.length}`;
  say(sum.querySelector(".count"), round.given_up ? "given up" : round.contributors ? `of ${round.contributors.length} Pis` : parts);
}

function nodeNote(round, pi, training, out) {
  if (out) return state.pis[pi]?.online === false ? "offline" : state.pis[pi]?.paused ? "paused" : "not in it";
  if (!training) return "";
  if (!training.finished) return `${Math.round(100 * Math.min(1, training.names / training.of))}%`;
  return training.loss === null ? "trained" : `loss ${training.loss.toFixed(2)}`;
}

function showSteps(round, done, current) {
  const words = WORDS[round.protocol] ?? { steps: {}, sentences: {} };
  const all = round.participants.length;
  const items = done.map(({ step, by }) => {
    const isNow = step === current;
    const kind = round.given_up && isNow ? "failed" : isNow ? "now" : by.length ? "done" : "";
    return h("li", { class: kind, "aria-current": isNow ? "step" : false }, h("span", {}, words.steps[step] ?? step), h("b", {}, `${by.length} of ${all}`));
  });
  const summed = round.contributors;
  items.push(h("li", { class: summed ? "done" : current === "sum" ? "now" : "" }, h("span", {}, "Sum"), h("b", {}, summed ? `${summed.length} of ${all}` : "–")));
  byId("steps").replaceChildren(...items);
  let text = words.sentences[current] ?? "";
  const gone = Object.keys(round.lost);
  if (round.given_up) text = round.given_up.reason.replace(/^./, (letter) => letter.toUpperCase());
  else if (state.run?.state === "stopped" && !summed) text = "The training has stopped here.";
  else if (gone.length && summed) text = `${text} It is without ${list(gone)}.`;
  else if (gone.length) text = `${list(gone)} cannot take part: ${round.lost[gone[0]].reason}`;
  say(byId("sentence"), text);
}

// Curves

function showCurves() {
  const { history = [], run, tests = {} } = state;
  const box = byId("curves");
  if (!history.length) {
    box.replaceChildren(h("p", { class: "quietly" }, "Loss and accuracy appear here after each round."));
    return;
  }
  const workers = [...new Set(history.flatMap((each) => Object.keys(each.by_worker)))];
  const rounds = Math.max(run?.rounds ?? 1, history.at(-1).round, 1);
  const series = (pick, ofPi) => [
    ...workers.map((pi) => ({ pi, points: history.filter((each) => each.by_worker[pi]).map((each) => [each.round, ofPi(each.by_worker[pi])]) })),
    { pi: null, points: history.map((each) => [each.round, pick(each)]) },
  ];
  const accuracy = series((each) => each.accuracy, ([value]) => value);
  const loss = series((each) => each.loss, ([, value]) => value);
  const top = Math.min(1, Math.max(0.1, Math.ceil(11 * Math.max(...values(accuracy))) / 10));
  const best = run?.best_round;
  const plots = [h("div", { class: "plot" }), h("div", { class: "plot" })];
  box.replaceChildren(
    ...plots,
    h("div", { class: "key" }, workers.map((pi) => h("span", { pi: place(pi) }, pi)), h("span", { class: "together" }, "together"), h("span", { class: "each" }, "each Pi, as its card")),
  );
  if (tests.after) {
    const before = tests.before ? `${percent(tests.before.accuracy)} before training, ` : "";
    box.append(h("p", { class: "note" }, `Test names, looked at once: ${before}${percent(tests.after.accuracy)} with the model of round ${tests.after.round}.`));
  }
  // Only now is it known how much space the plots have.
  const lossFrom = Math.floor(2 * Math.min(...values(loss))) / 2, lossTo = Math.ceil(2 * Math.max(...values(loss))) / 2;
  const [left, right] = plots.map(inLetters);
  plots[0].append(chart("Accuracy on names held out", left, accuracy, rounds, [0, top], (value) => `${Math.round(100 * value)}%`, percent, best));
  plots[1].append(chart("Loss", right, loss, rounds, [lossFrom, lossTo], (value) => value.toFixed(1), (value) => value.toFixed(2), best));
}

/** Width and height of an element, in units of which 17 are as high as the page's letters. */
function inLetters(element) {
  const unit = parseFloat(getComputedStyle(document.documentElement).fontSize) / 17;
  return [Math.max(200, element.clientWidth / unit), Math.max(100, element.clientHeight / unit)];
}

new ResizeObserver(() => state.history?.length && showCurves()).observe(byId("curves"));

const values = (series) => series.flatMap(({ points }) => points.map(([, value]) => value)).filter((value) => value !== null);

function chart(title, [wide, tall], series, rounds, [low, high], axis, value, best) {
  const left = 48, right = 112, top = 34, bottom = 26;
  const x = (round) => left + ((wide - left - right) * round) / rounds;
  const y = (each) => tall - bottom - ((tall - top - bottom) * (each - low)) / (high - low || 1);
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${wide} ${tall}`, role: "img" });
  svg.append(s("text", { class: "heading", x: 0, y: 16 }, title));
  for (const part of [0, 0.5, 1]) {
    const at = low + part * (high - low);
    svg.append(s("line", { class: "grid", x1: left, x2: wide - right, y1: y(at), y2: y(at) }));
    svg.append(s("text", { class: "axis", x: left - 8, y: y(at) + 5, "text-anchor": "end" }, axis(at)));
  }
  for (const round of new Set([0, Math.round(rounds / 2), rounds])) {
    svg.append(s("text", { class: "axis", x: x(round), y: tall - 4, "text-anchor": "middle" }, String(round)));
  }
  if (best !== undefined) svg.append(s("line", { class: "best", x1: x(best), x2: x(best), y1: top, y2: tall - bottom }, s("title", {}, `best: round ${best}`)));
  for (const { pi, points } of series) {
    const there = points.filter(([, each]) => each !== null);
    if (!there.length) continue;
    const d = there.map(([round, each], index) => `${index ? "L" : "M"}${x(round).toFixed(1)} ${y(each).toFixed(1)}`).join("");
    svg.append(s("path", { class: pi === null ? "together" : "of-pi", d, pi: pi === null ? null : place(pi) }, s("title", {}, pi ?? "together")));
    if (pi === null) {
      const [round, each] = there.at(-1);
      svg.append(s("circle", { class: "last", cx: x(round), cy: y(each), r: 6 }));
      svg.append(s("text", { class: "value", x: x(round) + 12, y: y(each) + 8 }, value(each)));
      svg.setAttribute("aria-label", `${title}: ${value(each)} after round ${round}`);
    }
  }
  return svg;
}

// Confusion

function showConfusion() {
  const matrix = state.confusion;
  const box = byId("confusion");
  document.body.setAttribute("data-no-matrix", "");
  if (!matrix) {
    box.replaceChildren(h("p", { class: "quietly" }, "How names of each language are guessed appears here."));
    return;
  }
  const { languages: names, rows } = matrix;
  if (rows.every((row) => row.every((each) => each === 0))) {
    const few = "No worker has enough of these names of any one language, and fewer tell nothing.";
    const later = matrix.part === "test" ? "" : " When the rounds are over, there are more names to test on.";
    box.replaceChildren(h("p", { class: "quietly" }, few + later));
    return;
  }
  document.body.removeAttribute("data-no-matrix");
  const short = shortened(names);
  const cells = [h("span"), ...names.map((language, index) => h("span", { class: "column", title: language }, short[index]))];
  names.forEach((language, row) => {
    const total = rows[row].reduce((sum, each) => sum + each, 0);
    cells.push(h("span", { class: "row" }, language));
    rows[row].forEach((guessed, column) => {
      const part = total ? guessed / total : 0;
      const is = total ? (row === column ? `on${part > 0.6 ? " strong" : ""}` : "") : "few";
      const title = guessed ? `${language} taken for ${names[column]}: ${guessed} of ${total} names` : null;
      const percents = total && row === column ? String(Math.round(100 * part)) : "";
      cells.push(h("span", { class: `cell ${is}`, title, style: { "--part": (guessed ? 0.05 + 0.95 * part : 0).toFixed(3) } }, h("b", {}, percents)));
    });
  });
  const when = matrix.part === "test" ? "test names" : `after round ${matrix.round}`;
  const what = "Names of each language, a row, by the language they were taken for, a column";
  box.replaceChildren(
    h("div", { class: "wide" }, h("div", { class: "cells", role: "img", "aria-label": what, style: { "--n": names.length } }, cells)),
    h("p", { class: "note" }, `Row: a name's language. Column: what it was taken for. On the diagonal: percent guessed (${when}, ${number(matrix.names)} names). Empty row: too few names to tell.`),
  );
}

// Everything

const SHOWN_BY = {
  classroom: [showHeader, showPis, showRound],
  run: [showHeader, showPis, showRound, showCurves],
  round: [showHeader, showPis, showRound],
  history: [showHeader, showCurves],
  confusion: [showConfusion],
  tests: [showHeader, showCurves],
  release: [showHeader, showPis],
};

function take(sections) {
  const show = new Set();
  for (const [name, value] of Object.entries(sections)) {
    if (name.startsWith("pi:")) {
      state.pis[name.slice(3)] = value;
      [showHeader, showPis, showRound].forEach((each) => show.add(each));
    } else {
      state[name] = value;
      (SHOWN_BY[name] ?? []).forEach((each) => show.add(each));
    }
  }
  show.forEach((each) => each());
}

// The connection

function heard() {
  lastHeard = Date.now();
  if (document.body.classList.contains("is-lost")) {
    document.body.classList.remove("is-lost");
    byId("lost").hidden = true;
  }
}

function lose() {
  source?.close();
  source = null;
  document.body.classList.add("is-lost");
  byId("lost").hidden = false;
  say(byId("lost-detail"), lastHeard ? `What you see is from ${clock(lastHeard / 1000)}. Trying again …` : "Trying again …");
}

async function connect() {
  let door;
  try {
    const answer = await fetch("enter");
    door = await answer.json();
  } catch {
    lose();
    setTimeout(connect, RETRY_MS);
    return;
  }
  if (!door.open) {
    askForToken("");
    return;
  }
  source = new EventSource("events");
  source.addEventListener("sections", (event) => {
    heard();
    take(JSON.parse(event.data));
  });
  source.addEventListener("beat", (event) => {
    serverAhead = Number(event.data) * 1000 - Date.now();
    heard();
    showHeader();
  });
  source.addEventListener("error", () => {
    lose();
    setTimeout(connect, RETRY_MS);
  });
  lastHeard = Date.now();
}

setInterval(() => {
  // A network that is gone closes nothing.
  if (source && Date.now() - lastHeard > SILENT_MS) {
    lose();
    setTimeout(connect, RETRY_MS);
  }
}, 1000);

// The door

async function enter(token) {
  const answer = await fetch("enter", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
  return answer.ok;
}

function askForToken(problem) {
  say(byId("door-problem"), problem);
  if (!byId("door").open) byId("door").showModal();
}

byId("door").addEventListener("cancel", (event) => event.preventDefault());
byId("door-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("token");
  try {
    if (await enter(field.value)) {
      field.value = "";
      byId("door").close();
      connect();
    } else askForToken("That is not the token.");
  } catch {
    askForToken("The instructor's machine cannot be reached.");
  }
});

// Layout: page.css tells what each is

const fits = matchMedia("(min-width: 1200px) and (min-height: 640px)");
const isLarge = matchMedia("(min-width: 1500px) and (min-height: 900px)");

function setLayout() {
  const isFew = (state.classroom?.pis.length ?? 0) <= MANY;
  document.body.dataset.layout = !fits.matches ? "scroll" : isLarge.matches && isFew ? "column" : "strip";
}

fits.addEventListener("change", setLayout);
isLarge.addEventListener("change", setLayout);

// Light and dark

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function setTheme() {
  document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (prefersDark.matches ? "dark" : "light");
}

prefersDark.addEventListener("change", setTheme);
byId("theme").addEventListener("click", () => {
  localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  setTheme();
});
setTheme();

// The token comes in the address's fragment, which no server sees, and leaves it before anybody reads it off a projector.

async function begin() {
  const token = decodeURIComponent(location.hash.slice(1));
  if (token) {
    history.replaceState(null, "", location.pathname);
    try {
      await enter(token);
    } catch {
      // connect() says what is wrong
    }
  }
  [showHeader, showPis, showRound, showCurves, showConfusion].forEach((each) => each());
  connect();
}

begin();
