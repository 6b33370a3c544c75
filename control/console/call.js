// One session: its two legs, and what flows between them in both directions.
import {Rate, Rows, Spark, arrow, byId, count, duration, el, rate, say, show} from "./view.js";

/** Facts of a leg as [name, value, class, key]; a value of null is not shown. */
function factsOf(leg) {
  const facts = [
    ["Interface", leg.interface],
    ["Remote end", leg.remote ?? "none yet, or held"],
    ["Our address", leg.local],
    ["Encryption", leg.keying === "plain" ? "none: plain RTP" : `${leg.suite}, keys by ${leg.keying}`],
  ];
  if (leg.ice) {
    const bad = leg.ice.state === "failed" || leg.ice.state === "disconnected";
    facts.push(["ICE", `${leg.ice.state}, ${leg.ice.role}`, bad ? "bad" : ""]);
    facts.push(["Consent", leg.ice.consent_seconds_left === null
      ? null : `${Math.ceil(leg.ice.consent_seconds_left)} s left`]);
  }
  if (leg.dtls) {
    const failure = leg.dtls.last_failure;
    facts.push(["DTLS", failure ? `${leg.dtls.state}: ${failure.meaning}` : leg.dtls.state,
                failure ? "bad" : ""]);
  }
  facts.push(["Last packet", leg.last_packet_age_seconds === null
    ? "none" : `${duration(leg.last_packet_age_seconds)} ago`]);
  if (leg.source_moves > 0) facts.push(["Moved", `${leg.source_moves} times`]);
  if (leg.round_trip_ms) facts.push(["Round trip", `${leg.round_trip_ms.toFixed(0)} ms`]);
  for (const [way, verdict] of Object.entries(leg.verdicts ?? {})) {
    if (verdict.weight === "fine") continue;
    const kind = verdict.weight === "fault" ? "bad" : "warn";
    facts.push([`Verdict, ${way}`, [verdict.meaning, verdict.evidence, verdict.remedy]
      .filter(text => text).join(" · "), kind]);
  }
  for (const drop of leg.drops) {
    facts.push(["Dropped", `${count(drop.packets)} ${drop.reason}: ${drop.meaning}`, "bad",
                drop.reason]);
  }
  return facts.filter(([, value]) => value !== null && value !== undefined);
}

function factRows(list) {
  return new Rows(list, () => {
    const name = el("dt");
    const value = el("dd");
    const element = el("div", {class: "fact"}, name, value);
    return {element, update([label, text, kind]) {
      say(name, label);
      say(value, text);
      value.className = kind ?? "";
    }};
  });
}

class Flow {
  constructor(from, to, right) {
    this.received = new Rate();
    this.sent = new Rate();
    this.lost = new Rate();
    this.spark = new Spark();
    this.lossSpark = new Spark("lossy");
    this.rate = el("div", {class: "rate"});
    this.detail = el("div", {class: "dim"});
    this.loss = el("span");
    this.jitter = el("div", {class: "dim"});
    this.element = el("div", {class: `flow ${right ? "ab" : "ba"}`},
      el("div", {class: "dim"}, `${from} to ${to}`), this.rate, arrow(right), this.detail,
      el("div", {}, this.spark.element), el("div", {}, this.lossSpark.element, this.loss),
      this.jitter);
  }

  update(from, to, at) {
    const received = this.received.of(from.packets_received, at);
    const sent = this.sent.of(to.packets_sent, at);
    const lost = this.lost.of(from.streams.reduce((sum, one) => sum + one.packets_lost, 0), at);
    const percent = lost > 0 ? 100 * lost / (lost + received) : 0;
    say(this.rate, `${rate(received)} packets/s`);
    say(this.detail, `${rate(sent)} sent on · ${count(from.packets_received)} in all`);
    const heard = from.streams.filter(one =>
      one.last_packet_age_seconds !== null && one.last_packet_age_seconds < 5);
    const quality = heard.map(one => one.quality?.average).find(one => one);
    say(this.jitter, heard.length === 0 ? "" : quality
      ? `jitter ${quality.jitter_ms.toFixed(1)} ms · MOS ${quality.mos.toFixed(1)}`
      : `jitter ${count(heard[0].jitter_timestamp_units)} timestamp units`);
    say(this.loss, `loss ${percent.toFixed(1)} %`);
    this.loss.className = percent > 1 ? "bad" : "dim";
    this.spark.add(received);
    this.lossSpark.add(percent);
    this.element.classList.toggle("silent", received === 0);
  }
}

export class CallView {
  constructor(id) {
    this.id = id;
    this.legs = ["a", "b"].map(side => {
      const list = el("dl");
      return {side, rows: factRows(list), element: el("section",
        {class: `leg ${side}`, "aria-label": `Leg ${side.toUpperCase()}`},
        el("h3", {}, side === "a" ? "Leg A, who made the offer" : "Leg B"), list)};
    });
    this.flows = [new Flow("A", "B", true), new Flow("B", "A", false)];
    byId("legs").replaceChildren(this.legs[0].element, el("div", {class: "flows"},
      this.flows[0].element, this.flows[1].element), this.legs[1].element);
    say(byId("call-title"), "Call");
    say(byId("call-facts"), "");
    show(byId("call-gone"), false);
    show(byId("call"), true);
  }

  update(session, at) {
    say(byId("call-title"), session.call_id);
    const answered = session.answered ? "answered" : "not answered yet";
    say(byId("call-facts"), `${session.kind} · ${answered}`
      + ` · ${duration(session.age_seconds)} · from-tag ${session.from_tag}`
      + (session.to_tag ? ` · to-tag ${session.to_tag}` : "") + ` · session ${session.id}`);
    const {a, b} = session.legs;
    const keyOf = ([name, , , key]) => key ?? name;
    this.legs[0].rows.update(factsOf(a), keyOf);
    this.legs[1].rows.update(factsOf(b), keyOf);
    this.flows[0].update(a, b, at);
    this.flows[1].update(b, a, at);
  }

  ended() {
    show(byId("call-gone"), true);
  }
}
