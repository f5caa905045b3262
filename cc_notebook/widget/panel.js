// The browser's part of the widget: title, buttons, progress and details. Everything that comes from data is set as text.
// A button asks the Jupyter server where its extension knows the run, else the kernel, which answers when it is free.

const make = (tag, className, props = {}, ...parts) => {
  const found = Object.assign(document.createElement(tag), { className, ...props });
  found.append(...parts);
  return found;
};

// Of JupyterLab or Notebook; elsewhere the kernel is all there is, as on a server without our extension (`ccApi`).
const settings = () => JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "{}");

const theme = () => {
  const told = document.body.dataset.jpThemeLight;
  return (told ? told === "false" : document.body.classList.contains("vscode-dark")) ? "dark" : "light";
};

// A colour with its own hue in another lightness; white has none.
const tone = (color, light) => {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const [most, least] = [Math.max(red, green, blue), Math.min(red, green, blue)];
  if (most - least < 20) return `hsl(210, 8%, ${light}%)`;
  const span = most - least;
  const part = { [blue]: 4 + (red - green) / span, [green]: 2 + (blue - red) / span, [red]: (green - blue) / span };
  return `hsl(${Math.round(60 * part[most] + 360) % 360}, 45%, ${light}%)`;
};

// Once for each theme: every call adds rules, which stay.
const paint = (cy, dark) => {
  if (cy.scratch("_dark") === dark) return;
  cy.scratch("_dark", dark);
  const fill = (node) => (dark ? tone(node.data("fill"), 23) : node.data("fill"));
  const line = dark ? "#6b7681" : "#8793a0";
  const edge = (node) => tone(node.data("fill"), dark ? 52 : 48);
  cy.style().selector("node").style({ color: dark ? "#e6edf3" : "#1b232b", "background-color": fill, "border-color": edge })
    .selector("edge").style({ "line-color": line, "target-arrow-color": line })
    .selector("node:active").style({ "overlay-opacity": 0.08 }).update();
};

async function ask(method, path, body) {
  const { baseUrl, token, ccApi } = settings();
  if (!ccApi) return null;
  const cookie = document.cookie.split("; ").find((one) => one.startsWith("_xsrf="));
  const headers = { "Idempotency-Key": crypto.randomUUID?.() ?? `${Math.random()}`.slice(2) };
  if (cookie) headers["X-XSRFToken"] = cookie.slice(6);
  if (token) headers.Authorization = `token ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  try {
    return await fetch(`${baseUrl}cc/${path}`, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    return null; // the server is away
  }
}

const UNAPPLIED = "The YAML below has changes that are not applied: Apply or Reload it first.";
const EDIT = "Change jobs, dependencies and YAML";
const EXTENSION = "needs the server extension: jupyter cc doctor";
const KERNEL = "Live here: widget yes, server pages no (buttons wait for the kernel); what helps: jupyter cc doctor";
const LIVE = ["running", "paused", "cancelling"];
const BUTTONS = [
  // verb, sign, text, when it can be used
  ["run", "▶", (told) => (told.resumes ? "Resume" : "Run"),
    (told) => told.resumes || (told.starts && !LIVE.includes(told.state))],
  ["pause", "❚❚", () => "Pause", (told) => told.state === "running"],
  ["cancel", "■", () => "Cancel", (told) => LIVE.includes(told.state)],
  ["retry", "↻", () => "Retry failed",
    (told) => told.counts.some(([state]) => state === "failed" || state === "cancelled")],
];

class Panel {
  constructor(model, el) {
    this.model = model;
    this.http = false;
    this.open = ""; // "", "run" or "edit": which page is shown below the graph
    this.title = make("span", "cc-title");
    this.state = make("span", "cc-state");
    const onchange = () => this.tell({ pick: this.runs.value });
    this.runs = make("select", "cc-runs", { title: "The run that is shown", onchange });
    this.buttons = BUTTONS.map(([verb, sign, text, usable]) =>
      ({ button: make("button", `cc-button cc-${verb}`, { onclick: () => this.act(verb) }), sign, text, usable }));
    this.more = this.page("run", "Details", "Table, log, timeline and events of this run");
    this.edit = this.page("edit", "Edit", EDIT);
    this.back = make("button", "cc-button cc-back", { onclick: () => this.tell({ back: true }) });
    const title = "Show the whole graph (zoom with Ctrl and the wheel)";
    const fit = make("button", "cc-button cc-fit", { title, onclick: () => this.adapt() }, "⤢");
    this.fill = make("div", "cc-fill");
    this.bar = make("div", "cc-bar", { role: "progressbar" }, this.fill);
    this.counts = make("span", "cc-counts");
    this.percent = make("span", "cc-percent");
    this.line = make("div", "cc-line", { role: "status" });
    const keys = make("span", "cc-keys", {}, ...this.buttons.map((one) => one.button));
    const right = make("span", "cc-keys cc-right", {}, this.back, fit, this.more, this.edit);
    this.top = make("div", "cc-top cc-live", {}, make("div", "cc-row", {}, this.title, this.state, this.runs, keys),
      make("div", "cc-row", {}, this.bar, this.percent, this.counts, right), this.line);
    this.text = make("pre", "cc-text");
    this.frame = make("iframe", "cc-frame", { title: "The run's page" });
    this.below = make("div", "cc-below", {}, this.text, this.frame);
    el.classList.add("cc-panel");
    el.append(this.top, this.below);
    const look = new MutationObserver(() => this.themed());
    look.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
    this.changed = () => this.show();
    model.on("change:told", this.changed);
    this.sized = new ResizeObserver(() => this.adapt());
    this.grown = new MutationObserver(() => this.adapt());
    this.observers = [look, this.sized, this.grown];
    const wait = (times) => (el.parentElement?.querySelector(".cc-graph") || !times
      ? this.attached(el.parentElement) : requestAnimationFrame(() => wait(times - 1)));
    wait(200);
    this.show();
    this.themed();
  }

  page(kind, text, title) {
    const onclick = () => {
      if (this.unapplied) return this.say(UNAPPLIED);
      this.open = this.open === kind ? "" : kind;
      this.frames();
    };
    return make("button", `cc-button cc-page cc-page-${kind}`, { title, onclick }, text);
  }

  // Is there text in the editor below that would be lost, or not be what runs?
  get unapplied() { return this.frame.contentDocument?.body?.classList.contains("unapplied"); }

  // The graphs, from where cytoscape keeps each: at its element. ipycytoscape hands them to nobody; no other line knows.
  graphs() {
    return [...(this.graph?.querySelectorAll(".custom-widget") ?? [])].map((box) => box._cyreg?.cy).filter(Boolean);
  }

  // A graph is drawn before its place has its size, places change, and the theme does: adapt it to them.
  adapt() {
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      for (const cy of this.graphs()) {
        const { w, h } = cy.elements().boundingBox();
        if (!w) continue;
        const high = h * Math.min(1.2, this.graph.clientWidth / w) + 32;
        this.graph.style.height = `${Math.round(Math.min(520, Math.max(130, high)))}px`;
        paint(cy, this.theme === "dark");
        const chosen = ({ target }) => target.data("job") && this.choose(target.data("job"));
        if (!cy.scratch("_tap")) cy.scratch("_tap", cy.on("tap", "node", chosen));
        cy.resize();
        cy.fit(undefined, 14);
      }
    }, 60);
  }

  attached(parent) {
    this.graph = parent?.querySelector(".cc-graph");
    if (!this.graph) return;
    const stop = (event) => event.ctrlKey || event.metaKey || event.stopPropagation(); // the wheel scrolls the notebook
    parent.addEventListener("wheel", stop, { capture: true, passive: true });
    this.graph.addEventListener("pointerenter", () => this.graphs().forEach((cy) => cy.resize())); // it may have moved
    this.sized.observe(this.graph);
    this.grown.observe(this.graph, { childList: true, subtree: true });
    this.adapt();
  }

  // A click on a job opens its page at once, for the kernel may be busy; it hears of the click as well.
  choose(job) {
    this.chosen = job;
    if (job && this.http) this.open = "run";
    this.frames();
  }

  tell(content) {
    try {
      this.model.send(content);
    } catch {
      this.say("The kernel has gone: run the cell again. Details are still live, where they are offered.");
    }
  }

  themed() {
    const now = theme();
    if (now === this.theme) return;
    this.theme = now;
    this.top.dataset.theme = this.below.dataset.theme = now;
    this.adapt();
    this.frames();
  }

  // Does the server know what is shown? A name of several workflows is told apart by the path of its file.
  async find() {
    const { run, path } = this.told;
    const wanted = `${run}\n${path}`;
    if (this.found === wanted) return;
    this.found = wanted;
    const known = await ask("GET", "api/workflows");
    const all = known?.ok ? (await known.json()).workflows : [];
    const here = all.filter((one) => one.path && path.endsWith(`/${one.path}`));
    const same = here.sort((one, two) => two.path.length - one.path.length)[0];
    const asked = run && (!path || known);
    const knows = asked ? (await ask("HEAD", `api/runs/${encodeURIComponent(run)}`))?.ok : Boolean(same);
    if (this.found !== wanted) return;
    const alone = all.filter((one) => one.name === same?.name).length === 1;
    this.file = same && (alone ? same.name : same.path);
    this.http = Boolean(knows);
    this.server = Boolean(known?.ok);
    this.top.dataset.by = this.http ? "server" : "kernel";
    this.tell({ pages: this.http });
    this.show();
  }

  show() {
    const told = (this.told = { counts: [], runs: [], ...this.model.get("told") });
    this.title.textContent = `${told.title ?? ""}${told.unsaved ? " (not saved)" : ""}`;
    this.state.textContent = told.state ?? "";
    this.state.dataset.state = told.state ?? "";
    const wanted = JSON.stringify([told.runs, told.run]);
    if (wanted !== this.listed) {
      this.listed = wanted;
      this.runs.replaceChildren(...told.runs.map(([id, text]) => new Option(text, id, false, id === told.run)));
    }
    this.runs.hidden = told.runs.length < 2;
    for (const { button, sign, text, usable } of this.buttons) {
      const words = `${sign} ${text(told)}`;
      if (button.textContent !== words) button.textContent = words;
      button.disabled = !usable(told);
    }
    this.back.textContent = `‹ ${told.opened ?? ""}`;
    this.back.hidden = !told.opened;
    this.fill.style.width = `${told.progress ?? 0}%`;
    this.bar.ariaValueNow = told.progress ?? 0;
    this.bar.dataset.state = told.state ?? "";
    this.percent.textContent = told.run ? `${Math.round(told.progress)} %` : "";
    const chip = ([state, symbol, number]) => make("span", "cc-chip", {}, `${symbol} ${number} ${state}`);
    this.counts.replaceChildren(...told.counts.map(chip));
    this.say(told.message || (this.server === false ? KERNEL : ""));
    if (told.selected !== this.heard) this.choose(this.heard = told.selected);
    this.find();
    this.frames();
  }

  say(text) { if (this.line.textContent !== text) this.line.textContent = text; }

  frames() {
    const { told: { run, text }, file, chosen } = this;
    this.more.hidden = !(this.http && run);
    this.edit.hidden = !this.told.starts;
    this.edit.disabled = !file;
    const lacks = this.server ? "save() the workflow in a folder of this Jupyter server" : EXTENSION;
    this.edit.title = file ? EDIT : lacks;
    const kind = this.http && ((this.open === "run" && run) || (this.open === "edit" && file)) ? this.open : "";
    this.more.ariaPressed = kind === "run";
    this.edit.ariaPressed = kind === "edit";
    const place = kind === "edit" ? `workflows/${encodeURIComponent(file)}` : `runs/${encodeURIComponent(run)}`;
    const job = kind === "run" && chosen ? `#${encodeURIComponent(chosen)}` : "";
    const look = `view?theme=${this.theme ?? theme()}&beside${job}`;
    const source = kind ? `${settings().baseUrl}cc/${place}/${look}` : "about:blank";
    if (this.source !== source) this.frame.src = this.source = source;
    this.frame.hidden = !kind;
    this.text.textContent = text ?? "";
    this.text.hidden = Boolean(kind) || !text;
  }

  async act(verb) {
    const { told: { run, resumes, unsaved }, file } = this;
    const again = verb === "run" && !resumes;
    if (again && this.unapplied) return this.say(UNAPPLIED);
    const path = again ? "api/runs" : `api/runs/${encodeURIComponent(run)}/${verb === "run" ? "resume" : verb}`;
    const byPage = this.http && (again ? file && !unsaved : run);
    const answer = byPage ? await ask("POST", path, again ? { workflow: file } : undefined) : null;
    if (answer?.ok) return;
    const told = answer && answer.status !== 404 ? await answer.json().catch(() => null) : null;
    if (told?.message) return this.say([told.message, told.hint].filter(Boolean).join("; "));
    this.say("The kernel has been asked; it answers when no cell computes.");
    this.tell({ verb });
  }

  close() {
    this.observers.forEach((one) => one.disconnect());
    clearTimeout(this.later);
    this.model.off("change:told", this.changed);
  }
}

export default {
  render({ model, el }) {
    const panel = new Panel(model, el);
    return () => panel.close();
  },
};
