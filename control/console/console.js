// The console: asks once a second while it is looked at, and shows what comes.
import {Refused, ask, forgetToken, hasToken, keepToken} from "./api.js";
import {CallView} from "./call.js";
import {Rate, Rows, Spark, byId, count, duration, el, rate, say, show} from "./view.js";

const PAGE = 25;
const EVERY_MS = 1000;
const RETRY_MS = 3000;

const state = {offset: 0, call: null, opener: null, timer: null, failed: false, loggedOut: false};

// -- overview ---------------------------------------------------------------------------------

function tile(name) {
  const value = el("span", {class: "value"});
  const more = el("span", {class: "name"});
  byId("tiles").append(el("div", {class: "tile"}, el("span", {class: "name"}, name), value, more));
  return (text, detail = "") => {
    say(value, text);
    say(more, detail);
  };
}

const tiles = {calls: tile("Calls"), sessions: tile("Sessions"), packets: tile("Packets/s"),
               drops: tile("Dropped/s")};

const shardRows = new Rows(byId("shards").tBodies[0], key => {
  const rates = {packets: new Rate(), bytes: new Rate(), cpu: new Rate()};
  const cells = [el("td"), el("td"), el("td"), el("td")];
  const spark = new Spark();
  const packets = el("span");
  const meter = el("meter", {min: "0", max: "100", low: "70", high: "90", optimum: "0",
                             "aria-label": `load of shard ${key}`});
  const load = el("span");
  cells[0].append(String(key));
  cells[1].append(spark.element, packets);
  cells[3].append(meter, load);
  const row = {element: el("tr", {}, ...cells), packets: 0, update({shard, at}) {
    row.packets = rates.packets.of(shard.packets_received, at);
    const percent = Math.min(100, rates.cpu.of(shard.cpu_seconds, at) * 100);
    spark.add(row.packets);
    say(packets, rate(row.packets));
    say(cells[2], (rates.bytes.of(shard.bytes_forwarded, at) * 8 / 1e6).toFixed(2));
    meter.value = percent;
    say(load, `${percent.toFixed(0)} %`);
  }};
  return row;
});

const dropRows = new Rows(byId("drops").tBodies[0], reason => {
  const growth = new Rate();
  const spark = new Spark("lossy");
  const now = el("span");
  const total = el("td");
  const meaning = el("div", {class: "dim"});
  const row = {element: el("tr", {}, el("td", {}, reason, meaning),
    el("td", {}, spark.element, now), total), rate: 0, update({drop, at}) {
    row.rate = growth.of(drop.packets, at);
    spark.add(row.rate);
    say(now, rate(row.rate));
    now.className = row.rate > 0 ? "bad" : "";
    say(total, count(drop.packets));
    say(meaning, drop.meaning);
  }};
  return row;
});

const sum = (rows, name) => [...rows.byKey.values()].reduce((all, row) => all + row[name], 0);

function showStatus(status, at) {
  say(byId("node"), status.name);
  document.title = `${status.name} · Turnpike`;
  say(byId("facts"), `${status.version} · ${status.role} · up ${duration(status.uptime_seconds)}`
    + (status.state === "draining" ? " · DRAINING: new calls are refused" : ""));
  byId("facts").className = status.state === "draining" ? "warn" : "";
  shardRows.update(status.shards.map((shard, index) => ({shard, index, at})), one => one.index);
  dropRows.update(status.drops.map(drop => ({drop, at})), one => one.drop.reason);
  show(byId("drops"), status.drops.length > 0);
  show(byId("no-drops"), status.drops.length === 0);
  tiles.calls(count(status.calls), `of ${count(status.calls_max)} at most`);
  tiles.sessions(count(status.sessions), `of ${count(status.sessions_max)} at most`);
  tiles.packets(rate(sum(shardRows, "packets")),
    `${count(status.ports.in_use)} of ${count(status.ports.total)} ports in use`);
  const dropped = sum(dropRows, "rate");
  tiles.drops(rate(dropped), dropped > 0 ? "reasons stand below" : "none now");
}

// -- sessions ---------------------------------------------------------------------------------

function direction() {
  const received = new Rate();
  const spark = new Spark();
  const text = el("span");
  return {nodes: [spark.element, text], update(leg, at) {
    const now = received.of(leg.packets_received, at);
    spark.add(now);
    say(text, `${rate(now)}/s`);
    return now;
  }};
}

const sessionRows = new Rows(byId("sessions").tBodies[0], id => {
  const name = el("button", {type: "button", class: "call"});
  const ways = [direction(), direction()];
  const lost = new Rate();
  const loss = {spark: new Spark("lossy"), text: el("span")};
  const drops = new Rate();
  const cell = (label, ...nodes) => el("td", {"data-name": label}, ...nodes);
  const cells = {kind: cell("Media"), age: cell("Age"), dropped: cell("Dropped")};
  const element = el("tr", {}, el("td", {}, name), cells.kind, cells.age,
    cell("A→B", ...ways[0].nodes), cell("B→A", ...ways[1].nodes),
    cell("Loss", loss.spark.element, loss.text), cells.dropped);
  name.addEventListener("click", () => open(id, name));
  return {element, update({session, at}) {
    say(name, session.call_id);
    say(cells.kind, session.kind + (session.answered ? "" : ", ringing"));
    say(cells.age, duration(session.age_seconds));
    if (state.call?.id === id) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
    if (!session.legs) return;
    const {a, b} = session.legs;
    const heard = ways[0].update(a, at) + ways[1].update(b, at);
    const gone = lost.of(a.packets_lost + b.packets_lost, at);
    const percent = gone > 0 ? 100 * gone / (gone + heard) : 0;
    loss.spark.add(percent);
    say(loss.text, `${percent.toFixed(1)} %`);
    loss.text.className = percent > 1 ? "bad" : "";
    const dropped = a.packets_dropped + b.packets_dropped;
    cells.dropped.className = drops.of(dropped, at) > 0 ? "bad" : "";
    say(cells.dropped, count(dropped));
  }};
});

function showSessions(list, at) {
  if (list.matching > 0 && state.offset >= list.matching) {
    state.offset = Math.floor((list.matching - 1) / PAGE) * PAGE;
  }
  sessionRows.update(list.sessions.map(session => ({session, at})), one => one.session.id);
  const some = list.matching > 0;
  show(byId("sessions-scroll"), some);
  show(byId("no-sessions"), !some);
  say(byId("no-sessions"), list.total === 0
    ? "No calls at the moment. They appear here as soon as the SIP server asks for media."
    : "No session matches the search.");
  say(byId("count"), list.matching === list.total ? `${count(list.total)} sessions`
    : `${count(list.matching)} of ${count(list.total)} sessions`);
  show(byId("pages"), list.matching > PAGE);
  say(byId("page"), `${state.offset + 1}–${state.offset + list.sessions.length}`);
  byId("previous").disabled = state.offset === 0;
  byId("next").disabled = state.offset + PAGE >= list.matching;
}

function open(id, opener) {
  state.call = new CallView(id);
  state.opener = opener;
  byId("call-title").focus();
  byId("call").scrollIntoView({block: "nearest"});
  look();
}

function close() {
  show(byId("call"), false);
  state.call = null;
  (state.opener?.isConnected ? state.opener : byId("search")).focus();
}

// -- zones ------------------------------------------------------------------------------------

function zoneOf(name) {
  const title = el("h3");
  const body = el("tbody");
  const peers = new Rows(body, peer => {
    const cells = [el("td", {}, peer), el("td"), el("td"), el("td")];
    return {element: el("tr", {}, ...cells), update(one) {
      say(cells[1], one.state);
      cells[1].className = one.state === "up" ? "good" : "bad";
      say(cells[2], `${one.connections.filter(link => link.state === "up").length} of `
        + `${one.connections.length} connections`);
      say(cells[3], one.flows.length === 0 ? "no flows" : `${one.flows.filter(flow =>
        flow.state === "bound").length} of ${one.flows.length} flows bound`);
    }};
  });
  const element = el("div", {class: "zone"}, title, el("table", {}, el("thead", {}, el("tr", {},
    ...["Peer", "State", "Signalling", "Media"].map(text => el("th", {scope: "col"}, text)))),
    body));
  return {element, update(zone) {
    say(title, `${name}: ${zone.state}, ${zone.role}`
      + (zone.certificate ? `, certificate for ${Math.floor(zone.certificate.expires_in_days)}`
        + " more days" : ""));
    title.className = zone.state === "up" ? "" : "bad";
    peers.update(zone.peers, peer => peer.name);
  }};
}

const zoneRows = new Rows(byId("zone-list"), zoneOf);

// -- asking -----------------------------------------------------------------------------------

function notice(text, bad = false) {
  show(byId("notice"), text !== "");
  say(byId("notice"), text);
  byId("notice").classList.toggle("bad", bad);
}

function askForToken(why) {
  state.loggedOut = true;
  forgetToken();
  show(byId("figures"), false);
  show(byId("logout"), false);
  show(byId("login"), true);
  say(byId("link"), "");
  if (why !== "") say(byId("login-why"), why);
  byId("token").focus();
}

async function lookOnce() {
  const at = performance.now();
  const status = await ask("/v1/status");
  if (state.loggedOut) return;
  show(byId("login"), false);
  show(byId("figures"), true);
  show(byId("logout"), hasToken());
  showStatus(status, at);
  showSessions(await ask("/v1/sessions", {
    limit: PAGE, offset: state.offset, sort: byId("sort").value, search: byId("search").value.trim(),
    figures: true}), at);
  if (state.call !== null) await lookAtCall(state.call, at);
  show(byId("zones"), status.role !== "single");
  if (status.role !== "single") {
    zoneRows.update((await ask("/v1/zones")).zones, zone => zone.name);
  }
}

async function lookAtCall(call, at) {
  try {
    const session = await ask(`/v1/sessions/${encodeURIComponent(call.id)}`);
    if (call === state.call) call.update(session, at);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) throw error;
    if (call === state.call) call.ended();
  }
}

function onFailure(error) {
  if (error instanceof Refused && error.status === 401) {
    const had = hasToken();
    return askForToken(had ? "That token is not known, or no longer. Paste another one." : "");
  }
  state.failed = true;
  byId("figures").classList.add("stale");
  say(byId("link"), error instanceof Refused ? "refused" : "no answer");
  byId("link").className = "bad";
  notice(error instanceof Refused ? `The daemon refuses: ${error.message}`
    : "The daemon does not answer. It may have stopped or be restarting; this page keeps asking."
      + " The figures below are the last ones.", true);
}

function onSuccess() {
  say(byId("link"), "live");
  byId("link").className = "good";
  if (!state.failed) return;
  state.failed = false;
  byId("figures").classList.remove("stale");
  notice("");
}

let looking = false;
async function look() {
  clearTimeout(state.timer);
  if (looking || state.loggedOut) return;
  looking = true;
  const begin = performance.now();
  try {
    await lookOnce();
    if (!state.loggedOut) onSuccess();
  } catch (error) {
    onFailure(error);
  }
  looking = false;
  // Nobody looks at a page in the background: nothing is asked for it.
  if (state.loggedOut || document.hidden) return;
  const pause = state.failed ? RETRY_MS : EVERY_MS - (performance.now() - begin);
  state.timer = setTimeout(look, Math.max(pause, 100));
}

function again() {
  state.offset = 0;
  look();
}

byId("login").addEventListener("submit", event => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  if (!/^[A-Za-z0-9._~+/=-]+$/.test(token)) {
    return askForToken("A token has only letters, digits and the signs - . _ ~ + / =");
  }
  keepToken(token);
  state.loggedOut = false;
  notice("");
  look();
});
byId("logout").addEventListener("click", () => askForToken("The token is forgotten."));
byId("search").addEventListener("input", again);
byId("sort").addEventListener("change", again);
byId("previous").addEventListener("click", () => {
  state.offset = Math.max(0, state.offset - PAGE);
  look();
});
byId("next").addEventListener("click", () => {
  state.offset += PAGE;
  look();
});
byId("close").addEventListener("click", close);
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && state.call !== null) close();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look();
});
look();
