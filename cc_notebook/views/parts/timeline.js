// The attempts of each job as bars over one time: waiting thin, running thick; the chain that took longest is marked.

import { button, clock, make, region, span, SYMBOLS, time } from "./dom.js";

const STATES = { start: "running", done: "done", fail: "failed", retry: "failed", cancel: "cancelled" };
const LANES = 300;

// The attempts of each job by its name. A job's own times count only if its clock is ours.
function attempts(events) {
  const found = new Map();
  for (const { type, at, job, attempt: number, host, started, ended, reason = "" } of events) {
    const own = found.get(job) || [], last = own.at(-1), here = last?.host === "local";
    if (type === "submit") found.set(job, [...own, { number, host, state: "submitted", from: at, reason }]);
    else if (STATES[type] && last?.number === number && !last.ended) {
      const begun = last.started || (here && started) || (type === "start" ? at : ""), stop = (here && ended) || at;
      Object.assign(last, { state: STATES[type], started: begun, ended: type === "start" ? "" : stop, reason });
    }
  }
  return found;
}

// The jobs on the critical path: back from what runs or ended last to what ended last before it, within groups too.
function critical(nodes, edges, jobs, now) {
  const before = Map.groupBy(edges, ([, child]) => child), within = Map.groupBy(nodes.values(), ({ group }) => group);
  const begin = (name) => time(jobs.get(name)?.started), path = new Set();
  const end = (name) => time(jobs.get(name)?.ended) || (begin(name) && now);
  const last = (names) => names.filter(end).sort((a, b) => end(a) - end(b) || begin(b) - begin(a)).at(-1);
  const members = (name) => last((within.get(name) || []).map((node) => node.name)), walk = [members(null)];
  while (walk.length) {
    const name = walk.pop(), parents = (before.get(name) || []).map(([parent]) => parent);
    if (name && !path.has(name)) walk.push(last(parents), members(name));
    path.add(name);
  }
  return path;
}

export class Timeline {
  constructor(pick) {
    this.pick = pick;
    this.note = make("p", { class: "soft" }, "no job has begun");
    this.lanes = make("div", { class: "lanes" });
    this.element = region("Timeline", "scroll", this.note, this.lanes);
  }

  draw(nodes, edges, { jobs, events, now }) {
    const ran = [...attempts(events)].filter(([name]) => jobs.has(name)), path = critical(nodes, edges, jobs, now);
    if (!ran.length) return this.lanes.replaceChildren();
    const tries = ran.flatMap(([, own]) => own), end = (one) => time(one.ended) || now;
    const from = Math.min(...tries.map((one) => time(one.from))), whole = Math.max(...tries.map(end), from + 1) - from;
    const place = (when) => (100 * Math.min(Math.max(when - from, 0), whole)) / whole;
    const rest = ran.length > LANES ? `, the first ${LANES} of ${ran.length} jobs` : "";
    this.note.textContent = `${span(whole)} from ${clock(from)}${rest}. ◆ marks the critical path.`;
    const lane = ([name, own]) => this.lane(path.has(name) ? `◆ ${name}` : name, name, own, place, end);
    return this.lanes.replaceChildren(...ran.slice(0, LANES).flatMap(lane));
  }

  lane(label, name, own, place, end) {
    const wide = (left, right) => ({ left: `${place(left)}%`, width: `${place(right) - place(left)}%` });
    const begin = (one) => time(one.started) || end(one), last = own.at(-1);
    const bars = own.flatMap((one) => {
      const [from, start, stop] = [time(one.from), begin(one), end(one)], why = one.reason && `: ${one.reason}`;
      const title = `attempt ${one.number} ${one.state}, waited ${span(start - from)}, ran ${span(stop - start)}${why}`;
      return [make("i", { class: `wait ${one.state}`, css: wide(from, start) }),
        make("i", { class: `ran ${one.state}`, role: "img", title, "aria-label": title, css: wide(start, stop) })];
    });
    const first = place(time(own[0].from)), far = place(end(last)), late = far > 80, left = `${late ? first : far}%`;
    const again = own.length > 1 ? `, attempt ${last.number}` : "", took = span(end(last) - begin(last));
    const text = `${SYMBOLS[last.state]} ${took}${again}`, look = late ? "told left" : "told";
    const told = (!late || first > 18) && make("span", { class: look, css: { left } }, text); // else there is no room
    return [button(label, () => this.pick(name), "lane", { title: name }),
      make("div", { class: label === name ? "track" : "track critical" }, ...bars, told)];
  }
}
