// The page of a run: its graph, jobs, timeline and results as they change, what can be done with it, and its past.

import { ask, page, start, visitRun } from "./api.js";
import { bar, startCode, steerCode } from "./actions.js";
import { Details } from "./details.js";
import { button, choice, clock, far, link, make, mark, ORDER, put, say, SYMBOLS } from "./dom.js";
import { Graph } from "./graph.js";
import { Results } from "./results.js";
import { looks, over, RunStore } from "./store.js";
import { Table } from "./table.js";
import { Timeline } from "./timeline.js";

export async function runPage(id, view) {
  const store = new RunStore(id, () => draw(), told), opened = new Set();
  await store.load();
  const { id: run, head: { workflow } } = store, own = ["runs", run], grown = (name) => store.nodes.get(name)?.members;
  const toggle = (name) => { if (!opened.delete(name)) opened.add(name); draw(true); };
  const details = new Details(store), pick = (name) => details.show(name);
  const graph = new Graph((name) => (grown(name) ? toggle : pick)(name), (name) => (grown(name) ? opened.has(name) : undefined));
  const timeline = new Timeline(pick), results = new Results(store, pick);

  const named = ({ name, members, deep }) => make("span", { css: { "--deep": deep } },
    members > 0 && button(opened.has(name) ? "▾" : "▸", () => toggle(name),
      { class: "quiet", "aria-expanded": String(opened.has(name)), "aria-label": `Members of ${name}` }),
    button(name, () => pick(name), { class: "quiet plain" }));
  const jobs = new Table("Jobs", [
    { title: "#", value: (row) => row.number, kind: "number soft" },
    { title: "Name", value: (row) => row.name, also: (row) => row.members && opened.has(row.name), show: named, kind: "name" },
    { title: "Status", value: (row) => row.state, show: (row) => mark(row.state) },
    { title: "Host", value: (row) => row.host },
    { title: "Progress", value: (row) => row.progress, also: (row) => row.state + row.step,
      show: ({ state, progress, step }) => far(state, progress, step && ` (${step.replace("/", " of ")})`) },
    { title: "Script", value: (row) => row.script, kind: "script" },
    { title: "Start", value: (row) => row.started, show: (row) => clock(row.started) },
    { title: "End", value: (row) => row.ended, show: (row) => clock(row.ended) },
  ], (row) => row.name);
  const filter = make("input", { type: "search", placeholder: "Filter", "aria-label": "Filter jobs", oninput: () => draw() });
  const panels = { Jobs: make("div", {}, filter, jobs.element), Timeline: timeline.element, Results: results.element };
  const views = choice(panels, () => store.draw());

  const steer = (verb) => async () => { await ask("POST", [...own, verb]); await store.load(); store.look(100); };
  const one = (name, verb, when, look) => ({ name, look, when, does: steer(verb), code: () => steerCode(run, verb) });
  const again = () => ({ params: store.params, new: true }), allowed = () => globalThis.Notification?.permission;
  const actions = bar("Actions of the run", [
    { name: "Run again", look: "main", when: () => over(store.state), code: () => startCode(workflow, again()),
      does: async () => visitRun(await start({ workflow, ...again() })) },
    one("Pause", "pause", () => store.state === "running"),
    one("Resume", "resume", () => store.state === "paused" || (!over(store.state) && store.head.note)),
    one("Retry failed", "retry", () => [...store.jobs.values()].some((job) => ["failed", "cancelled"].includes(job.state))),
    one("Cancel", "cancel", () => !over(store.state), "danger"),
    { name: "Notify me", when: () => !over(store.state) && allowed() === "default", does: () => Notification.requestPermission() },
  ]);
  function told(what) {
    stream.textContent = what === "reconnecting" ? "reconnecting…" : "";
    if (what === "end") say(`the run has ended: ${store.state}`);
    if (what === "end" && allowed() === "granted") new Notification(`${workflow}: ${store.state}`, { body: run });
  }

  const slider = make("input", { type: "range", min: 0, "aria-label": "Replay", oninput: () => jump(slider.valueAsNumber) });
  const when = make("output"), now = button("Now", () => jump(null), { class: "quiet" });
  let player = 0;
  const jump = (count) => { clearInterval(player); store.replay(count); };
  const play = button("▶ Replay", () => {
    jump(slider.valueAsNumber < store.events.length ? slider.valueAsNumber : 0);
    player = setInterval(() => {
      if (store.at === null || store.at >= store.events.length) clearInterval(player);
      else store.replay(Math.min(store.events.length, store.at + Math.ceil(store.events.length / 200)));
    }, 120);
  }, { class: "quiet" });

  const state = make("span", { "aria-live": "polite" }), stream = make("span", { class: "soft", role: "status" });
  const counts = make("p", { class: "counts" }), note = make("p", { class: "note" });
  const share = make("div", { class: "share", role: "progressbar", "aria-label": "Progress" });
  const away = view && link("Open in a tab", page("runs", run), { target: "_blank" });
  const title = make("h1", {}, view ? workflow : link(workflow, page("workflows", workflow)));
  put(make("header", {}, make("div", { class: "top" }, title, state, stream, make("span", { class: "soft mono" }, run), away),
    share, counts, note, make("div", { class: "top" }, actions.element,
      make("div", { class: "replay" }, play, slider, when, now))),
  make("div", { class: "two" }, graph.element, make("section", {}, views, ...Object.values(panels))), details.element);

  // A row for each job that is seen: groups with the progress of their members, members if theirs is open.
  function rows({ jobs: statuses, groups }) {
    const above = (node) => (node?.group ? [node.group, ...above(store.nodes.get(node.group))] : []);
    const seen = [...store.nodes.values()].filter((node) => filter.value || above(node).every((name) => opened.has(name)));
    return seen.map((node) => {
      const job = statuses.get(node.name) || node, { sum, many, ended } = groups.get(node.name) || {};
      const whole = many ? { progress: Math.floor(sum / many), step: `${ended}/${many}` } : {};
      const { number, name, script, members } = node, deep = above(node).length;
      return { ...job, ...whole, number, name, script, members, deep, state: looks(job), host: job.host || node.host };
    });
  }

  // Everything that the store shows; at most once in a frame.
  function draw(fresh = false) {
    const seen = store.shown, there = ORDER.filter((name) => seen.counts[name]), far_ = seen.all.sum / (seen.all.many || 1);
    document.title = `${SYMBOLS[seen.state] || "·"} ${workflow}: ${seen.state}`;
    if (state.textContent !== mark(seen.state).textContent) state.replaceChildren(mark(seen.state, "badge"));
    share.replaceChildren(...there.map((name) => make("i", { class: name, css: { flex: seen.counts[name] } })));
    share.ariaValueNow = Math.round(far_);
    counts.replaceChildren(make("strong", {}, `${Math.round(far_)}% of ${seen.all.many} jobs`),
      ...there.map((name) => mark(name, "", `${seen.counts[name]} `)));
    note.textContent = seen.live ? [store.head.reason, store.head.note].filter(Boolean).join("; ") : "";
    jobs.filter = filter.value;
    if (!panels.Jobs.hidden) jobs.draw(rows(seen));
    if (!panels.Timeline.hidden) timeline.draw(store.nodes, store.edges, seen);
    if (!panels.Results.hidden) results.draw();
    graph.paint(new Map([...seen.jobs].map(([name, job]) => [name, looks(job)])));
    const query = { open: [...opened].join("\n"), ...(!seen.live && { seq: seen.seq }) }, asked = JSON.stringify([query, seen.seq]);
    if (asked !== draw.asked) graph.load([...own, "graph.svg"], query, fresh || !draw.asked);
    draw.asked = asked;
    slider.max = store.events.length;
    slider.value = store.at ?? store.events.length;
    when.textContent = seen.live ? "" : `the past: ${clock(seen.events.at(-1)?.at)} event ${store.at} of ${store.events.length}`;
    now.hidden = seen.live;
    actions.update();
    details.update();
  }
  setInterval(() => { if (!panels.Timeline.hidden && !over(store.state)) store.draw(); }, 1000);
  store.listen();
}
