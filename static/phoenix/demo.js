// The sandbox's public page: follows the board over its WebSocket as docs describe it, and sends events.
"use strict";

const facts = JSON.parse(document.getElementById("demo-facts").textContent);
const part = (name) => document.querySelector(`[data-part="${name}"]`);
const isStill = matchMedia("(prefers-reduced-motion: reduce)");
const SHOWN_AT_FIRST = 15;
const WIRE_LINES = 6;

const board = {
  rows: null,           // user_id -> entry; nothing before the first snapshot
  epoch: null,
  sequence: null,
  total: 0,
  me: null,
  endsAt: null,
  clockOffset: 0,       // server time minus ours, in ms
  isShownWhole: false,
};
let token = facts.token;
const waiting = new Map(); // user_id -> when its event was sent

// --- Connection ----------------------------------------------------------------------------------

let socket = null;
let attempts = 0;
let retry = 0;

function connect() {
  const url = new URL(`/v1/leaderboards/${facts.leaderboard_id}/ws`, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  if (board.epoch !== null) {
    url.searchParams.set("epoch", board.epoch);
    url.searchParams.set("since", board.sequence);
  }
  // The token goes as a subprotocol: a browser cannot set headers, and addresses end up in logs.
  socket = new WebSocket(url, ["phoenix.v1", `bearer.${token.token}`]);
  socket.onopen = () => { attempts = 0; showConnection("live", "Live"); };
  socket.onmessage = (event) => hear(JSON.parse(event.data), event.data.length);
  socket.onclose = (event) => comeBack(event.code);
}

async function comeBack(code) {
  socket = null;
  if (code === 4403 || code === 4404) {
    showConnection("ended", "Ended");
    return notice("This board is not shown any more.");
  }
  showConnection("connecting", navigator.onLine ? "Reconnecting" : "Offline");
  attempts += 1;
  if (attempts > 1 || code === 4401) await renewToken();
  if (attempts === 3) await explain();
  const pause = Math.min(15000, 400 * 2 ** attempts) * (0.5 + Math.random() / 2);
  retry = setTimeout(connect, pause);
}

// A browser does not learn why an upgrade was refused; the same question over HTTP tells.
async function explain() {
  try {
    const answer = await fetch(`/v1/leaderboards/${facts.leaderboard_id}?limit=1`, { headers: bearer() });
    if (answer.status === 404) notice("The sandbox board does not exist. Run manage.py seed_sandbox.");
    else if (!answer.ok) notice((await answer.json()).error);
  } catch {
    notice("Phoenix cannot be reached. This page comes back by itself.");
  }
}

async function renewToken() {
  try {
    const answer = await fetch(facts.token_url, { cache: "no-store" });
    if (answer.ok) { token = await answer.json(); showCurl(); }
  } catch { /* the next attempt asks again */ }
}

function say(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function hear(message, size) {
  showOnWire(message, size);
  const handler = handlers[message.type];
  if (handler) handler(message);
}

const handlers = {
  snapshot(message) {
    Object.assign(board, { epoch: message.epoch, sequence: message.sequence, total: message.total_entries });
    board.endsAt = message.window_end ? Date.parse(message.window_end) : null;
    board.clockOffset = Date.parse(message.timestamp) - Date.now();
    board.me = message.me;
    part("window").textContent = `Window ${message.window_key}`;
    part("notice").hidden = true;
    show(new Map(message.entries.map((entry) => [entry.user_id, entry])));
  },
  update(message) {
    if (message.epoch !== board.epoch || message.previous_sequence !== board.sequence) return say({ type: "resync" });
    board.sequence = message.sequence;
    board.total = message.total_entries;
    const rows = new Map(board.rows);
    for (const userId of message.left) rows.delete(userId);
    for (const entry of message.changes) rows.set(entry.user_id, entry);
    show(rows);
  },
  my_rank(message) { board.me = message; showOwn(); },
  window_changed() { board.rows = null; },
  async token_expiring() { await renewToken(); say({ type: "authenticate", token: token.token }); },
  error(message) { if (message.code !== "RATE_001") console.warn(message.code, message.error); },
};

// --- The board -----------------------------------------------------------------------------------

const items = new Map(); // user_id -> its element

function sorted() {
  // Ties share a rank under some policies: then by time reached, as the server lists them.
  return [...board.rows.values()].sort((a, b) =>
    a.rank - b.rank || Date.parse(a.reached_at) - Date.parse(b.reached_at) || (a.user_id < b.user_id ? -1 : 1));
}

function show(rows) {
  const before = board.rows;
  board.rows = rows;
  render();
  if (before === null) return;
  for (const entry of rows.values()) {
    const old = before.get(entry.user_id);
    if (old?.score !== entry.score) arrive(entry);
    if (old && old.rank !== entry.rank) move(entry, old.rank - entry.rank);
  }
}

function render() {
  const list = part("list");
  const all = sorted();
  const shown = board.isShownWhole ? all : all.slice(0, SHOWN_AT_FIRST);
  const tops = isStill.matches ? new Map() : new Map([...items].map(([id, item]) => [id, item.offsetTop]));
  const keep = new Set(shown.map((entry) => entry.user_id));
  for (const [id, item] of items) if (!keep.has(id)) { item.remove(); items.delete(id); }
  const best = Math.max(1, ...shown.map((entry) => entry.score));
  shown.forEach((entry, place) => {
    const item = items.get(entry.user_id) ?? newItem(entry);
    fill(item, entry, best);
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
  });
  slide(tops);
  showAround(all.length, shown.length);
  showOwn();
}

function newItem(entry) {
  const item = document.createElement("li");
  item.className = "row";
  item.append(make("span", "rank"), make("span", "who"), make("span", "score"));
  const badge = make("span", "badge", entry.user_id.replace(/[^\p{L}\p{N}]/gu, "").slice(0, 2).toUpperCase() || "?");
  badge.style.setProperty("--hue", hue(entry.user_id));
  badge.setAttribute("aria-hidden", "true");
  item.children[1].append(badge);
  item.children[1].append(make("span", "name", entry.display_name ?? entry.user_id));
  if (entry.user_id === facts.own_id) item.children[1].append(make("span", "you", "you"));
  items.set(entry.user_id, item);
  return item;
}

function fill(item, entry, best) {
  const [rank, , score] = item.children;
  if (rank.firstChild?.nodeValue !== String(entry.rank)) rank.replaceChildren(String(entry.rank));
  item.toggleAttribute("data-podium", entry.rank <= 3);
  item.style.setProperty("--share", Math.max(0, entry.score) / best);
  count(score, entry.score);
}

// Numbers run to their new value, so that the eye sees which one moved.
function count(element, value) {
  const from = Number(element.dataset.value ?? value);
  element.dataset.value = value;
  if (from === value || isStill.matches || document.hidden) { element.textContent = value.toLocaleString(); return; }
  const begun = performance.now();
  const digits = (String(value).split(".")[1] ?? "").length;
  const step = (now) => {
    if (Number(element.dataset.value) !== value) return;
    const share = Math.min(1, (now - begun) / 450);
    const eased = from + (value - from) * (1 - (1 - share) ** 3);
    element.textContent = (share < 1 ? Number(eased.toFixed(digits)) : value).toLocaleString();
    if (share < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

// A new score: light it up, and tell whoever sent the event how long it took.
function arrive(entry) {
  const sentAt = waiting.get(entry.user_id);
  if (sentAt !== undefined) {
    waiting.delete(entry.user_id);
    answer("good", `On the board after ${Math.max(1, Math.round(performance.now() - sentAt))} ms: ${entry.user_id} is number ${entry.rank}.`);
  }
  const item = items.get(entry.user_id);
  if (!item) return;
  item.removeAttribute("data-flash");
  void item.offsetWidth; // restarts the animation
  item.setAttribute("data-flash", "");
}

function move(entry, places) {
  const item = items.get(entry.user_id);
  if (!item) return;
  item.querySelector(".move")?.remove();
  const mark = make("span", "move", `${places > 0 ? "▲" : "▼"}${Math.abs(places)}`);
  mark.dataset.way = places > 0 ? "up" : "down";
  item.children[0].append(mark);
}

// Rows glide from where they were: measured before, moved back, then let go.
function slide(tops) {
  if (isStill.matches || document.hidden) return;
  for (const [id, item] of items) {
    const before = tops.get(id);
    const by = before === undefined ? null : before - item.offsetTop;
    if (by === 0) continue;
    const frames = by === null
      ? [{ opacity: 0, transform: "translateX(-8px)" }, { opacity: 1, transform: "none" }]
      : [{ transform: `translateY(${by}px)`, zIndex: by > 0 ? 2 : 1 }, { transform: "none", zIndex: by > 0 ? 2 : 1 }];
    item.animate(frames, { duration: 420, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
}

function showAround(loaded, shown) {
  part("empty").hidden = loaded > 0;
  part("list").hidden = loaded === 0;
  document.querySelector(".list-head").hidden = loaded === 0;
  part("players").textContent = board.total ? ` · ${board.total.toLocaleString()} ${board.total === 1 ? "player" : "players"}` : "";
  const more = part("more");
  more.hidden = loaded <= SHOWN_AT_FIRST;
  more.textContent = shown < loaded ? `Show all ${loaded}` : "Show fewer";
}

function showOwn() {
  const own = part("own");
  const isVisible = items.has(facts.own_id);
  own.hidden = isVisible || !board.me?.ranked;
  if (!own.hidden) own.textContent = `${facts.own_id} is number ${board.me.rank.toLocaleString()} of ${board.me.total_players.toLocaleString()} with ${board.me.score.toLocaleString()} points.`;
}

function showConnection(state, text) {
  const element = part("connection");
  if (element.dataset.state === state && part("connection-text").textContent === text) return;
  element.dataset.state = state;
  part("connection-text").textContent = text;
}

function notice(text) {
  part("notice").textContent = text;
  part("notice").hidden = false;
}

function tickClock() {
  const left = board.endsAt === null ? null : Math.max(0, board.endsAt - Date.now() - board.clockOffset);
  part("countdown").hidden = left === null;
  if (left === null) return;
  const seconds = Math.floor(left / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const days = Math.floor(seconds / 86400);
  part("clock").textContent = `${days ? `${days} d ` : ""}${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

function showOnWire(message, size) {
  const line = make("li");
  const text = make("span");
  text.append(make("b", "", message.type), ` ${describe(message)}`);
  line.append(text, make("span", "soft", size < 1000 ? `${size} B` : `${(size / 1000).toFixed(1)} kB`));
  const wire = part("wire");
  if (wire.firstElementChild?.classList.contains("soft")) wire.replaceChildren();
  wire.prepend(line);
  while (wire.children.length > WIRE_LINES) wire.lastElementChild.remove();
}

function describe(message) {
  if (message.type === "snapshot") return `at ${message.sequence}, ${plural(message.entries.length, "entry", "entries")}`;
  if (message.type === "update") return `${message.previous_sequence} → ${message.sequence}, ${plural(message.changes.length, "change", "changes")}`;
  if (message.type === "my_rank") return message.ranked ? `${message.previous_rank ?? "–"} → ${message.rank}` : "not ranked";
  if (message.type === "heartbeat" || message.type === "resumed") return `at ${message.sequence}`;
  return message.code ?? message.window_key ?? "";
}

const plural = (number, one, many) => `${number} ${number === 1 ? one : many}`;

function make(name, className = "", text = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function hue(text) {
  let sum = 0;
  for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

// --- Sending events ------------------------------------------------------------------------------

const form = part("form");
const bearer = () => ({ Authorization: `Bearer ${token.token}` });

function newEvent(userId, points) {
  const id = crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random().toString(16).slice(2)}`;
  return {
    event_id: `demo-${id}`,
    type: "game.completed",
    actor: { user_id: userId },
    occurred_at: new Date(Date.now() + board.clockOffset).toISOString(),
    attrs: { score_delta: points },
  };
}

async function send(userId, points) {
  waiting.set(userId, performance.now());
  try {
    const answered = await fetch("/v1/events", {
      method: "POST",
      headers: { ...bearer(), "Content-Type": "application/json" },
      body: JSON.stringify(newEvent(userId, points)),
    });
    const body = await answered.json();
    if (answered.ok) return null;
    waiting.delete(userId);
    if (answered.status === 401) await renewToken();
    return body.details?.[0] ? `${body.details[0].field}: ${body.details[0].message}` : body.error;
  } catch {
    waiting.delete(userId);
    return "Phoenix cannot be reached.";
  }
}

function answer(state, text) {
  part("answer").dataset.state = state;
  part("answer").textContent = text;
}

const chosenPlayer = () => form.elements.other.value.trim() || form.elements.player.value;
const chosenPoints = () => Number(form.elements.points.value);

async function sendChosen() {
  answer("", "Sending …");
  const fault = await send(chosenPlayer(), chosenPoints());
  if (fault) answer("bad", fault);
  else if (waiting.has(chosenPlayer())) answer("good", "Accepted: stored durably.");
}

form.addEventListener("submit", (event) => { event.preventDefault(); sendChosen(); });
form.addEventListener("input", showCurl);
part("first").addEventListener("click", sendChosen);

// A match: eight seconds of events for the players above.
let match = null;
part("match").addEventListener("click", () => (match ? endMatch() : beginMatch()));

function beginMatch() {
  const endsAt = performance.now() + 8000;
  part("match").setAttribute("aria-pressed", "true");
  part("match").textContent = "Stop";
  match = setInterval(async () => {
    if (performance.now() > endsAt) return endMatch();
    const userId = facts.players[Math.floor(Math.random() * facts.players.length)];
    const fault = await send(userId, 5 * (1 + Math.floor(Math.random() * 20)));
    if (fault) { answer("bad", fault); endMatch(); }
  }, 220);
}

function endMatch() {
  clearInterval(match);
  match = null;
  part("match").setAttribute("aria-pressed", "false");
  part("match").textContent = "Play a match";
}

// --- The curl line -------------------------------------------------------------------------------

function showCurl() {
  const quoted = JSON.stringify(newEvent(chosenPlayer(), chosenPoints())).replaceAll("'", "'\\''");
  part("curl").textContent = [
    `curl -X POST ${facts.base_url}/v1/events \\`,
    `  -H 'Authorization: Bearer ${token.token}' \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d '${quoted}'`,
  ].join("\n");
}

part("copy").addEventListener("click", async () => {
  showCurl(); // a fresh event id and time each time it is copied
  const text = part("curl").textContent;
  let isCopied = false;
  try {
    await navigator.clipboard.writeText(text);
    isCopied = true;
  } catch { // no clipboard without TLS on some hosts: select it instead
    const range = document.createRange();
    range.selectNodeContents(part("curl"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    isCopied = document.execCommand("copy");
  }
  part("copy").textContent = isCopied ? "Copied" : "Press Ctrl+C";
  setTimeout(() => { part("copy").textContent = "Copy"; }, 1600);
});

part("more").addEventListener("click", () => { board.isShownWhole = !board.isShownWhole; render(); });
addEventListener("online", () => { if (!socket) { attempts = 0; clearTimeout(retry); connect(); } });
setInterval(tickClock, 1000);
setInterval(renewToken, 30 * 60 * 1000); // the curl line keeps a live token
connect();
