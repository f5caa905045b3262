// The report of a run: one page with everything in it. It is put together with the other parts by views/report.py.

import { canvas, clock, far, make, mark, moment, pairs, put, shares, span, time } from "./dom.js";
import { Table } from "./table.js";
import { Timeline } from "./timeline.js";

const run = JSON.parse(document.getElementById("data").textContent), written = time(run.written);
const section = (title, kind, ...inside) => make("section", { class: kind }, make("h2", {}, title), ...inside);
const taken = (job) => (job.started ? (time(job.ended) || written) - time(job.started) : "");

function overview() {
  const counts = Object.groupBy(run.jobs, ({ state }) => state);
  const over = ["done", "failed", "cancelled"].includes(run.state);
  const took = span((over ? time(run.stopped) : written) - time(run.started));
  return make("header", {}, make("div", { class: "top" }, make("h1", {}, run.workflow), mark(run.state, "badge")),
    make("p", { class: "soft" }, `${moment(run.started)}  ·  ${took}  ·  ${run.jobs.length} jobs, ${run.progress} %`),
    make("p", { class: "soft mono" }, run.run),
    ...shares((state) => counts[state]?.length),
    ...run.notes.map((note) => make("p", { class: "note" }, note)));
}

function graph() {
  const alt = "The graph of the workflow with the state of each job; the table below says the same";
  return canvas(make("img", { src: `data:image/svg+xml;base64,${run.picture}`, alt })).element;
}

function timeline() {
  const drawn = new Timeline(() => {}), named = (all) => new Map(all.map((job) => [job.name, job]));
  const shown = { jobs: named(run.jobs), events: run.events, state: run.state, now: written };
  drawn.draw(named(run.jobs), run.edges, shown);
  return section("Timeline", "", drawn.element);
}

function jobs() {
  const table = new Table("Jobs", "name", [
    { title: "#", key: "number", kind: "number" },
    { title: "Job", key: "name", kind: "name" },
    { title: "State", key: "state", show: (job) => mark(job.state) },
    { title: "Host", key: "host" },
    { title: "Progress", key: "progress", show: far },
    { title: "Started", key: "started", show: (job) => clock(job.started) },
    { title: "Duration", value: taken, show: (job) => span(taken(job) || NaN), kind: "number" },
    { title: "Attempt", key: "attempt", kind: "number" },
    { title: "Reason", key: "reason", kind: "why" },
  ]);
  table.limit = Infinity;
  table.draw(run.jobs);
  return section("Jobs", "jobs", table.element);
}

// Why one job failed; of a notebook the cell, its source and the traceback.
function fault({ name, error, reason }) {
  const cell = error.cell > 0 ? `Cell ${error.cell} of ${error.cells}  ·  ` : "";
  return make("div", { class: "fault" }, make("h3", {}, name),
    make("p", { class: "why" }, cell, error.name ? `${error.name}: ${error.message}` : reason),
    error.source && make("pre", { class: "source", tabindex: "0" }, error.source),
    error.traceback && make("pre", { tabindex: "0" }, error.traceback));
}

const failed = run.jobs.filter((job) => job.state === "failed");
const told = run.jobs.filter((job) => Object.keys(job.outputs).length);
const about = { Run: run.run, Created: moment(run.created), Started: moment(run.started), ...run.about };
document.title = `${run.workflow}: ${run.state}`;
put(overview(), failed.length && section("What failed", "faults", ...failed.map(fault)), run.picture && graph(),
  run.events.length && timeline(), jobs(),
  Object.keys(run.params).length && section("Params", "params", pairs(run.params)),
  told[0] && section("Outputs", "outputs", ...told.flatMap((job) => [make("h3", {}, job.name), pairs(job.outputs)])),
  section("About", "about", pairs(about)),
  make("footer", { class: "soft" }, `Written ${moment(run.written)}. Times are local to who reads this.`));
