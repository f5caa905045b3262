// One job of a run, beside the page: its state and why, outputs, failing cell, log, files and the proof.

import { at, get, start, text, visitRun } from "./api.js";
import { bar, startCode, steerCode } from "./actions.js";
import { button, head, link, make, mark, moment, pairs, span, time } from "./dom.js";
import { looks } from "./store.js";

const TAIL = 65536; // bytes of a log
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)/g;
const below = (path) => new URL(`../files/${path.split("/").map(encodeURIComponent).join("/")}`, document.baseURI);

export class Details {
  constructor(store) {
    Object.assign(this, { store, name: "", why: make("div"), facts: make("div"), proof: make("pre") });
    this.files = make("ul", { class: "files" });
    this.which = make("select", { "aria-label": "Attempt", onchange: () => this.tail() });
    this.whole = link("whole log", "", { target: "_blank" });
    this.log = make("pre", { tabindex: "0", "aria-label": "Log" });
    this.follow = make("input", { type: "checkbox", checked: true });
    this.element = make("aside", { class: "drawer", "aria-label": "Job", hidden: true, tabindex: "-1",
      onkeydown: ({ key }) => key === "Escape" && this.show("") });
    setInterval(() => this.follow.checked && this.job?.state === "running" && this.tail(), 1000);
  }

  get job() { return this.store.jobs.get(this.name); }

  show(name) {
    if (!this.name) this.before = document.activeElement;
    Object.assign(this, { name, told: "", asked: "", parts: ["runs", this.store.id, "jobs", name] });
    this.element.hidden = !name;
    if (!name) return this.before?.focus();
    this.log.textContent = this.proof.textContent = "";
    this.site = link("open what it serves ↗", "", { target: "_blank", rel: "noreferrer", hidden: true });
    this.bar = this.actions(name);
    const close = button("×", () => this.show(""), "", { "aria-label": "Close" });
    const follow = make("label", {}, this.follow, " follow");
    this.which.replaceChildren();
    this.element.replaceChildren(head(make("h2", {}, name), close), this.bar.element, this.why, this.site,
      head(make("h3", {}, "Log"), make("span", { class: "top" }, this.which, follow, this.whole)), this.log, this.facts,
      make("h3", {}, "Files"), this.files, make("h3", {}, "Explanation"), this.proof);
    this.element.focus();
    return this.update();
  }

  actions(name) {
    const { id, head: { workflow }, params, nodes } = this.store, again = { params, from: name, new: true };
    const one = (label, verb, states, look) => ({ name: label, look, when: () => states.includes(this.job?.state),
      does: () => this.store.ask("jobs", name, verb), code: () => steerCode(id, verb, name) });
    return bar(`Actions of ${name}`, [
      one("Cancel job", "cancel", ["submitted", "running"], "danger"),
      one("Retry job", "retry", ["failed", "cancelled", "skipped", "done"]),
      { name: "Run from here", when: () => !nodes.get(name)?.group, code: () => startCode(workflow, again),
        does: async () => visitRun(await start({ workflow, ...again })) },
    ]);
  }

  // What the store knows of the job, if that has changed; what only the server knows after a change of state.
  update() {
    const job = this.name && this.store.shown.jobs.get(this.name), told = JSON.stringify(job);
    if (!job || told === this.told) return;
    const { error = {}, outputs, state, attempt } = job, waits = looks(job) === "waiting";
    const why = job.reason || (waits && `waits for ${job.waits.join(", ")}`);
    const source = make("pre", { class: "source" }, error.source), trace = (error.traceback || "").replace(ESCAPES, "");
    this.why.replaceChildren(make("p", { class: "why" }, mark(looks(job)), ` ${job.progress}%`, why && `  ·  ${why}`),
      ...(error.cell ? [make("h3", {}, `Cell ${error.cell} of ${error.cells}`), source, make("pre", {}, trace)] : []));
    this.facts.replaceChildren(
      pairs({ Attempt: attempt || "", Host: job.host, "Process or id": job.native_id || "", Cell: job.step,
        Submitted: moment(job.submitted), Started: moment(job.started), Ended: moment(job.ended),
        Took: span(time(job.ended) - time(job.started)), Ending: job.ending || "", "Exit code": job.code ?? "" }),
      ...(Object.keys(outputs).length ? [make("h3", {}, "Outputs"), pairs(outputs)] : []));
    const option = (_, n) => make("option", { value: n + 1, selected: n + 1 === attempt }, `attempt ${n + 1}`);
    if (this.which.length !== attempt) this.which.replaceChildren(...Array.from({ length: attempt }, option));
    this.bar.update();
    if (this.asked !== `${state} ${attempt}`) this.ask(this.name);
    Object.assign(this, { told, asked: `${state} ${attempt}` });
  }

  async ask(name) {
    const { parts } = this, all = [get(parts), get([...parts, "explanation"]), get([...parts, "files"])];
    const [{ serves }, { explanation = "" }, { files = [] }] = await Promise.all(all).catch(() => [{}, {}, {}]);
    if (name !== this.name) return;
    Object.assign(this.site, { hidden: !serves, href: new URL(`../${serves}`, document.baseURI) }); // while it runs
    this.proof.textContent = explanation;
    const place = (file) => (file.name.endsWith(".ipynb") ? at([...parts, "notebook"]) : file.path && below(file.path));
    const told = (file) => (place(file) ? link(file.name, place(file), { target: "_blank" }) : file.name);
    const size = (file) => make("small", {}, ` ${file.bytes.toLocaleString()} bytes`);
    this.files.replaceChildren(...files.map((file) => make("li", {}, told(file), size(file))));
    this.tail();
  }

  async tail() {
    const { name } = this, attempt = +this.which.value, query = { start: -TAIL, limit: TAIL, attempt };
    this.whole.href = at([...this.parts, "log"], { limit: 1 << 24, attempt });
    const plain = (await text([...this.parts, "log"], query).catch(() => "")).replace(ESCAPES, "");
    if (name !== this.name || attempt !== +this.which.value || plain === this.log.textContent) return;
    this.log.textContent = plain;
    if (this.follow.checked) this.log.scrollTop = this.log.scrollHeight;
  }
}
