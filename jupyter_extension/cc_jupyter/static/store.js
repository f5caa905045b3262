// What a run is at this moment: a snapshot, then one event after the other in the words of cc_notebook/state.py.
// It only reads, and knows no element of the page.

import { ask, at, get } from "./api.js";

const NEW = { state: "ready", progress: 0, attempt: 0, host: "", outputs: {}, step: "", error: {}, reason: "",
  submitted: "", started: "", ended: "" };
const ENDS = { done: "done", take: "done", fail: "failed", retry: "ready", cancel: "cancelled", skip: "skipped" };
const RUN = { pause: "paused", resume: "running", cancel_run: "cancelling", reset: "running", mark: "running" };
const WHOLE = ["submit", "start", "progress", "done", "retry", "engine"]; // all that they mean is in the event itself

export const over = (state) => ["done", "failed", "cancelled"].includes(state);
// What is seen as the state of a job as it is `shown`: of one that is to come also why it has not begun.
export const looks = ({ state, waiting, waits = [] }) =>
  (state !== "ready" ? state : waiting === "blocked" ? waiting : waits.length ? "waiting" : state);

// The status of a job after an event; what is no event of a job changes nothing.
function apply(old, event) {
  const outputs = { ...old.outputs, ...event.outputs }, step = event.step || old.step, { at: when, attempt } = event;
  const progress = Math.max(old.progress, event.progress || 0), started = event.started || old.started;
  const reason = event.reason || "", running = { ...old, state: "running", progress: Math.max(1, progress) };
  const state = ENDS[event.type] || event.state, reached = { done: 100, ready: 0 }[state] ?? progress;
  switch (event.type) {
    case "submit": return { ...NEW, state: "submitted", attempt, host: event.host || "", submitted: when, reason };
    case "start": return { ...running, started: event.started || when, native_id: event.native_id };
    case "grow": return { ...running, started: started || when };
    case "progress": return { ...old, progress, outputs, step };
    case "reset": return { ...NEW, attempt: old.attempt };
    case "mark": return { ...old, state, progress: reached, reason: "set by hand", ended: when };
    default: return !ENDS[event.type] ? old : { ...old, state, progress: reached, outputs, step, started,
      reason: reason || (state === "done" ? old.reason : ""), error: event.error || {}, ending: event.ending || "",
      code: event.code, ended: event.ended || when };
  }
}

// Takes an event into the statuses by name; returns the state of the run.
function feed(jobs, state, event) {
  const { type, job, gone = [], outputs } = event;
  for (const name of event.jobs || (job ? [job] : [])) {
    jobs.set(name, apply(jobs.get(name) || NEW, type === "take" ? { ...event, outputs: outputs[name] } : event));
  }
  gone.forEach((name) => jobs.set(name, apply(jobs.get(name) || NEW, { type: "reset" })));
  return type === "end" ? event.state : event.nodes ? "running" : RUN[type] || state;
}

export class RunStore {
  // `changed()` is called at most once in a frame, `told(what)` when the stream comes, breaks or tells the end, and
  // when the run is gone.
  constructor(id, changed, told) {
    Object.assign(this, { id, changed, told, events: [], seq: 0, at: null, jobs: new Map(), nodes: new Map() });
  }

  async load() {
    const run = await get(["runs", this.id]), names = Object.keys(run.jobs).join("\n");
    const graph = names !== this.names && await get(["runs", this.id, "graph.json"]); // younger than the statuses
    if (run.seq < this.seq) return this.later(); // it was on its way while events came
    const ends = this.state && !over(this.state) && over(run.state); // told here, if before the event of it
    Object.assign(this, { id: run.run, head: run, seq: run.seq, state: run.state, names });
    this.jobs = new Map(Object.entries(run.jobs));
    if (ends) this.told("end");
    if (graph) {
      const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
      const before = Map.groupBy(graph.edges, ([, child]) => child);
      Object.assign(this, { nodes, before, edges: graph.edges, params: graph.params });
    }
    return this.draw();
  }

  get last() { return this.events.at(-1)?.seq || 0; }

  // Follow the events, from the first: those before the snapshot are the past, for the timeline and the replay.
  listen() {
    this.source?.close();
    const source = this.source = new EventSource(at(["runs", this.id, "events"], { after: this.last }));
    source.onopen = () => this.told("live");
    source.onmessage = ({ data }) => this.take(JSON.parse(data));
    source.onerror = () => {
      if (!over(this.state)) this.told("reconnecting"); // the browser does, with Last-Event-ID
      if (source.readyState === EventSource.CLOSED) this.look(2000); // no more to tell, or a proxy's no
    };
  }

  // Look whether there are events again: of a run that has ended, for somebody may retry it.
  look(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const query = { wait: 0, after: this.last };
      const lost = ({ status }) => ({ gone: status === 404 });
      const told = document.hidden ? {} : await get(["runs", this.id, "events"], query).catch(lost);
      if (told.gone) this.told("gone"); // and nobody asks again
      else if (told.events?.length || told.ended === false) this.listen();
      else this.look(over(this.state) ? 8000 : 2000);
    }, pause);
  }

  // Ask for something; what comes of it is looked for at once.
  async ask(...parts) {
    await ask("POST", ["runs", this.id, ...parts]);
    this.look(100);
  }

  take(event) {
    if (event.seq <= this.last) return;
    this.events.push(event);
    if (event.seq > this.seq) {
      Object.assign(this, { seq: event.seq, state: feed(this.jobs, this.state, event) });
      if (!WHOLE.includes(event.type)) this.later();
      if (event.type === "end") this.told("end");
    }
    this.draw();
  }

  // What an event does not tell (who is blocked, new members) comes with a new snapshot: soon, but not often.
  later() {
    const lost = ({ status }) => (status === 404 ? this.told("gone") : this.later());
    const load = () => { this.pending = 0; this.load().catch(lost); };
    this.pending ||= setTimeout(load, 250 + this.jobs.size);
  }

  // Have it shown in the next frame; what takes long is shown less often, so that the reader's clicks have their turn.
  draw() {
    const show = () => {
      const begun = performance.now();
      this.frame = 0;
      this.changed();
      this.cost = performance.now() - begun;
    };
    this.frame ||= setTimeout(() => requestAnimationFrame(show), this.cost > 20 ? 3 * this.cost : 0);
  }

  // Show the run as it was after `count` events; null: as it is.
  replay(count) { this.at = count; this.draw(); }

  // What to show: the run as it is, or as it was. Groups have the progress of their members.
  get shown() {
    let { jobs, events, state } = this;
    if (this.at !== null) {
      jobs = new Map([...this.nodes.keys()].map((name) => [name, NEW]));
      events = events.slice(0, this.at);
      state = events.reduce((old, event) => feed(jobs, old, event), "running");
    }
    const ended = ({ state: how } = NEW) => over(how) || how === "skipped";
    const waits = (name) => (this.before.get(name) || []).flatMap(([one]) => (ended(jobs.get(one)) ? [] : one));
    jobs = new Map([...jobs].map(([name, job]) => [name, { ...job, waits: waits(name) }]));
    const counts = {}, groups = new Map(), all = { sum: 0, many: 0, ended: 0 };
    for (const [name, job] of jobs) {
      const node = this.nodes.get(name), far = job.state === "skipped" ? 100 : job.progress;
      if (node?.members) continue;
      counts[looks(job)] = (counts[looks(job)] || 0) + 1;
      for (let group = node?.group, own = all; own; group = this.nodes.get(group)?.group) {
        own.sum += far;
        own.many += 1;
        own.ended += ended(job);
        own = group && (groups.get(group) || groups.set(group, { sum: 0, many: 0, ended: 0 }).get(group));
      }
    }
    const seq = this.at === null ? this.seq : events.at(-1)?.seq || 0;
    const now = this.at === null ? Date.now() : new Date(events.at(-1)?.at).getTime();
    return { jobs, events, state, counts, groups, all, seq, now, live: this.at === null };
  }
}
