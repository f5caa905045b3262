// The page of a run: its graph, jobs, timeline and results as they change, what can be done with it, and its past.

import { page, start, visitRun } from "./api.js";
import { bar, cc, download, removal, requestCode, runCode, startCode, steerCode } from "./actions.js";
import { Details } from "./details.js";
import { button, clock, far, link, make, mark, put, shares, SYMBOLS } from "./dom.js";
import { Graph } from "./graph.js";
import { Replay } from "./replay.js";
import { Results } from "./results.js";
import { back, say } from "./say.js";
import { looks, over, RunStore } from "./store.js";
import { Table } from "./table.js";
import { Timeline } from "./timeline.js";

export async function runPage(id, view) {
  const store = new RunStore(id, () => draw(), told), opened = new Set();
  await store.load();
  const { id: run, head: { workflow } } = store, own = ["runs", run];
  const group = (name) => store.nodes.get(name)?.members > 0, open = (name) => group(name) && String(opened.has(name));
  const toggle = (name) => { if (!opened.delete(name)) opened.add(name); draw(true); };
  const details = new Details(store), pick = (name) => details.show(name), replay = new Replay(store);
  const timeline = new Timeline(pick), results = new Results(store, pick);
  const graph = new Graph((name) => (group(name) ? toggle : pick)(name), open);

  const fold = (name) => button(opened.has(name) ? "▾" : "▸", () => toggle(name), "quiet",
    { "aria-expanded": open(name), "aria-label": `Members of ${name}` });
  const named = ({ name, deep }) => make("span", { css: { "--deep": deep } }, group(name) && fold(name),
    button(name, () => pick(name), "quiet plain"));
  const jobs = new Table("Jobs", "name", [
    { title: "#", key: "number", kind: "number soft" },
    { title: "Name", key: "name", also: ({ name }) => [group(name), open(name)], show: named, kind: "name" },
    { title: "Status", key: "state", show: ({ state }) => mark(state) },
    { title: "Host", key: "host" },
    { title: "Progress", key: "progress", also: ({ state, step }) => state + step, show: far },
    { title: "Script", key: "script", kind: "script" },
    { title: "Start", key: "started", show: ({ started }) => clock(started) },
    { title: "End", key: "ended", show: ({ ended }) => clock(ended) },
  ]);
  const look = () => { jobs.filter = filter.value; draw(); };
  const filter = make("input", { type: "search", placeholder: "Filter", "aria-label": "Filter jobs", oninput: look });
  const panels = { Jobs: make("div", {}, filter, jobs.element), Timeline: timeline.element, Results: results.element };
  const choose = (name) => {
    heads.forEach((head) => { head.ariaPressed = String(head.textContent === name); });
    Object.entries(panels).forEach(([other, panel]) => { panel.hidden = other !== name; });
    store.draw();
  };
  const heads = Object.keys(panels).map((name) => button(name, () => choose(name)));

  const steer = (verb) => async () => { await store.ask(verb); await store.load(); };
  const one = (name, verb, when, kind = "") =>
    ({ name, look: kind, when, does: steer(verb), code: () => steerCode(run, verb) });
  const again = () => ({ params: store.params, new: true }), allowed = () => globalThis.Notification?.permission;
  const failed = () => [...store.jobs.values()].some(({ state: how }) => ["failed", "cancelled"].includes(how));
  const gone = removal(own, `Remove run ${run} with its logs?`, page("workflows", workflow),
    requestCode("DELETE", own, {}, { CLI: cc("clean", run) }));
  const actions = bar("Actions of the run", [
    { name: "Run again", look: "main", when: () => over(store.state), code: () => startCode(workflow, again()),
      does: async () => visitRun(await start({ workflow, ...again() })) },
    one("Pause", "pause", () => store.state === "running"),
    one("Resume", "resume", () => store.state === "paused" || (!over(store.state) && store.head.note)),
    one("Retry failed", "retry", failed),
    one("Cancel", "cancel", () => !over(store.state), "danger"),
    download("Download", [...own, "archive"], {}, `${run}.zip`),
    download("Report", [...own, "report"], {}, `${run}.html`, runCode(run, "report")),
    { ...gone, when: () => over(store.state) },
    { name: "Notify me", when: () => !over(store.state) && allowed() === "default",
      does: () => Notification.requestPermission() },
  ]);
  function told(what) {
    stream.textContent = { reconnecting: "reconnecting…", gone: "this run was removed" }[what] || "";
    if (what === "live") back();
    if (what !== "end") return;
    say(`the run has ended: ${store.state}`);
    if (allowed() === "granted") new Notification(`${workflow}: ${store.state}`, { body: run }).onclick = () => focus();
  }

  const state = make("span", { "aria-live": "polite" }), stream = make("span", { class: "soft", role: "status" });
  const title = make("h1", {}, view ? workflow : link(workflow, page("workflows", workflow)));
  const away = view && link("Open in a tab", page("runs", run), { target: "_blank" });
  const counts = make("div"), note = make("p", { class: "note" }), name_ = make("span", { class: "soft mono" }, run);
  put(make("header", {}, make("div", { class: "top" }, title, state, stream, name_, away), counts, note,
    make("div", { class: "top" }, actions.element, replay.element)),
  make("div", { class: "two" }, graph.element,
    make("section", {}, make("div", { class: "choice" }, ...heads), ...Object.values(panels))), details.element);

  // A row for each job that is seen: groups with the progress of their members, members if their group is open.
  function rows({ jobs: statuses, groups }) {
    const above = (node) => (node?.group ? [node.group, ...above(store.nodes.get(node.group))] : []);
    const seen = (node) => filter.value || above(node).every((name) => opened.has(name));
    return [...store.nodes.values()].filter(seen).map((node) => {
      const job = statuses.get(node.name) || node, { sum, many, ended } = groups.get(node.name) || {};
      const whole = many ? { progress: Math.floor(sum / many), step: `${ended}/${many}` } : {};
      const { number, name, script } = node, deep = above(node).length, host = job.host || node.host;
      return { ...job, ...whole, number, name, script, deep, host, state: looks(job) };
    });
  }

  // Everything that the store shows; at most once in a frame.
  function draw(fresh = false) {
    const seen = store.shown, { all } = seen;
    document.title = `${SYMBOLS[seen.state] || "·"} ${workflow}: ${seen.state}`;
    if (state.textContent !== mark(seen.state).textContent) state.replaceChildren(mark(seen.state, "badge"));
    counts.replaceChildren(...shares((name) => seen.counts[name]));
    counts.lastChild.prepend(make("strong", {}, `${Math.round(all.sum / (all.many || 1))}% of ${all.many} jobs`));
    const why = over(store.state) && store.head.reason && `${store.state}: ${store.head.reason}`;
    note.textContent = seen.live ? [why, store.head.note].filter(Boolean).join("; ") : "";
    if (!panels.Jobs.hidden) jobs.draw(rows(seen));
    if (!panels.Timeline.hidden) timeline.draw(store.nodes, store.edges, seen);
    if (!panels.Results.hidden) results.draw();
    graph.paint(new Map([...seen.jobs].map(([name, job]) => [name, looks(job)])));
    const query = { open: [...opened].join("\n"), ...(!seen.live && { seq: seen.seq }) };
    const asked = JSON.stringify([query, seen.seq]);
    if (asked !== draw.asked) graph.load([...own, "graph.svg"], query, fresh || !draw.asked);
    draw.asked = asked;
    replay.draw(seen);
    actions.update();
    details.update();
  }
  choose("Jobs");
  setInterval(() => { if (!panels.Timeline.hidden && !over(store.state)) store.draw(); }, 1000);
  // A browser keeps six connections to a server: what nobody sees (an iframe scrolled away) gives up its own.
  let seen = true;
  const attend = () => ((seen && !document.hidden) || allowed() === "granted" ? store.listen() : store.source?.close());
  document.addEventListener("visibilitychange", attend);
  new IntersectionObserver(([{ isIntersecting }]) => { seen = isIntersecting; attend(); }).observe(document.body);
  const addressed = () => {
    const name = decodeURIComponent(location.hash.slice(1));
    if (store.nodes.has(name)) pick(name);
  };
  addEventListener("hashchange", addressed);
  addressed();
}
