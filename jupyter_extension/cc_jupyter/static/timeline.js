// The attempts of each job as bars over one time: waiting thin, running thick; the chain that took longest is marked.

import { clock, make, span, SYMBOLS, time } from "./dom.js";

const STATES = { start: "running", done: "done", fail: "failed", retry: "failed", cancel: "cancelled" };
const LANES = 300;

// The attempts of each job by its name. A job's own times count only if its clock is ours.
function attempts(events) {
  const found = new Map();
  for (const { type, at, job, attempt, host, started, ended, reason = "" } of events) {
    const own = found.get(job) || [], last = own.at(-1), here = last?.host === "local";
    if (type === "submit") {
      found.set(job, [...own, { number: attempt, host, state: "submitted", from: at, started: "", ended: "", reason }]);
    } else if (STATES[type] && last?.number === attempt && !last.ended) {
      const begun = last.started || (here && started) || (type === "start" ? at : "");
      const over = type === "start" ? "" : (here && ended) || at;
      Object.assign(last, { state: STATES[type], started: begun, ended: over, reason });
    }
  }
  return found;
}

// The jobs on the critical path: from the last that ended back to what ended last before it, within groups too.
function critical(nodes, edges, jobs) {
  const before = Map.groupBy(edges, ([, child]) => child), within = Map.groupBy(nodes.values(), ({ group }) => group);
  const end = (name) => time(jobs.get(name)?.ended), path = new Set();
  const last = (names) => names.filter((name) => end(name)).sort((a, b) => end(a) - end(b)).at(-1);
  const members = (name) => last((within.get(name) || []).map((node) => node.name)), walk = [members(null)];
  while (walk.length) {
    const name = walk.pop();
    if (!name || path.has(name)) continue;
    path.add(name);
    walk.push(last((before.get(name) || []).map(([parent]) => parent)), members(name));
  }
  return path;
}

export class Timeline {
  constructor(pick) {
    this.pick = pick;
    this.note = make("p", { class: "soft" }, "no job has begun");
    this.lanes = make("div", { class: "lanes" });
    this.element = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Timeline" }, this.note, this.lanes);
  }

  draw(nodes, edges, { jobs, events, state, live }) {
    const ran = [...attempts(events)].filter(([name]) => jobs.has(name)), path = critical(nodes, edges, jobs);
    if (!ran.length) return this.lanes.replaceChildren();
    const tries = ran.flatMap(([, own]) => own), now = live ? Date.now() : time(events.at(-1).at);
    const end = (one) => time(one.ended) || now, begin = (one) => time(one.started) || end(one);
    const from = Math.min(...tries.map((one) => time(one.from))), whole = Math.max(...tries.map(end), from + 1) - from;
    const place = (when) => (100 * Math.min(Math.max(when - from, 0), whole)) / whole;
    const rest = ran.length > LANES ? `, the first ${LANES} of ${ran.length} jobs` : "";
    this.note.textContent = `${clock(from)}, ${span(whole)}${state === "running" ? " so far" : ""}${rest}. ◆ marks the critical path.`;
    const lane = ([name, own]) => this.lane(name, own, path.has(name), place, begin, end);
    return this.lanes.replaceChildren(...ran.slice(0, LANES).flatMap(lane));
  }

  lane(name, own, marked, place, begin, end) {
    const wide = (left, right) => ({ left: `${place(left)}%`, width: `${place(right) - place(left)}%` });
    const bars = own.flatMap((one) => {
      const [from, start, stop] = [time(one.from), begin(one), end(one)], why = one.reason && `: ${one.reason}`;
      const title = `${name}, attempt ${one.number}: ${one.state}, waited ${span(start - from)}, ran ${span(stop - start)}${why}`;
      return [make("i", { class: `wait ${one.state}`, css: wide(from, start) }),
        make("i", { class: `ran ${one.state}`, role: "img", title, "aria-label": title, css: wide(start, stop) })];
    });
    const last = own.at(-1), first = place(time(own[0].from)), late = place(end(last)) > 80;
    const words = `${SYMBOLS[last.state]} ${span(end(last) - begin(last))}${own.length > 1 ? `, attempt ${last.number}` : ""}`;
    const place_ = { left: `${late ? first : place(end(last))}%` }, room = !late || first > 18;
    return [make("button", { type: "button", class: "lane", title: name, onclick: () => this.pick(name) }, marked ? `◆ ${name}` : name),
      make("div", { class: marked ? "track critical" : "track" }, ...bars,
        room && make("span", { class: late ? "told left" : "told", css: place_ }, words))];
  }
}
