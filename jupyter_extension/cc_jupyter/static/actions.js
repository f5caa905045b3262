// What can be asked of a workflow, a run or a job: a button that asks it, and the same as code to take along.
// An action: name, does (what a click does), code (texts by kind), look (class), when (is it offered now).

import { ask, at, visit } from "./api.js";
import { button, head, link, make } from "./dom.js";
import { doing, say } from "./say.js";

const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${String(text).replaceAll("'", `'\\''`)}'`);
export const words = (...all) => all.map(shell).join(" ");
function python(value) {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (value === null || typeof value === "boolean") return { null: "None", true: "True", false: "False" }[value];
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([key, own]) => `${python(key)}: ${python(own)}`).join(", ")}}`;
}
const setting = ([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`;
const rest = (call) => `from cc_notebook.client import RESTWorkflow\n\n${call}`;

// A request as code; `more` has kinds that say it shorter. It may send a `body` as JSON, a `text` or a `file`, and keep
// the answer as the file `into`.
export function requestCode(method, parts, { query, body, type, text, file, into } = {}, more = {}) {
  const url = at(parts, query).href, path = (name) => `Path(${python(name)})`, media = body ? "application/json" : type;
  const data = body ? ["-d", JSON.stringify(body)] : file ? ["--data-binary", `@${file}`]
    : text ? ["--data-raw", text] : [];
  const own = words(...(media ? ["-H", `Content-Type: ${media}`] : []), ...data, ...(into ? ["-o", into] : []), url);
  const sent = body ? `json=${python(body)}, ` : file ? `data=${path(file)}.read_bytes(), `
    : text ? `data=${python(text)}.encode(), ` : "";
  const kind = type ? `, "Content-Type": ${python(type)}` : "";
  const Python = `import os\n${file || into ? "from pathlib import Path\n" : ""}\nimport requests\n\n` +
    `headers = {"Authorization": "token " + os.environ["TOKEN"]${kind}}\n` +
    `answer = requests.request(${python(method)}, ${python(url)}, ${sent}headers=headers, timeout=90)\n` +
    `answer.raise_for_status()\n${into ? `${path(into)}.write_bytes(answer.content)\n` : ""}`;
  return { Python, ...more, curl: `curl -X ${method} -H "Authorization: token $TOKEN" ${own}` };
}

// A start as code: `options` are those of POST runs.
export function startCode(workflow, { params, from, ...flags }) {
  const options = { params, ...(from && { from }), ...flags };
  const given = Object.entries(params).flatMap((pair) => ["--param", setting(pair)]);
  const set = Object.entries({ params, ...flags }).map(([key, value]) => `${key}=${python(value)}`);
  const called = [python(workflow), ...set, ...(from ? [`**${python({ from })}`] : [])].join(", ");
  const more = [...(from ? ["--from", from] : []), ...Object.keys(flags).map((flag) => `--${flag.replace("_", "-")}`)];
  return requestCode("POST", ["runs"], { body: { workflow, ...options } }, {
    Python: rest(`run = RESTWorkflow().run_workflow(${called})`),
    CLI: words("jupyter", "cc", "run", workflow, ...given, ...more),
    YAML: "# as a job of another workflow\nworkflow:\n  nodes:\n" +
      `    again: {workflow: ${JSON.stringify(`${workflow}.yaml`)}, params: ${JSON.stringify(params)}}`,
  });
}
// What is asked of a run, or of a job in it, as code.
export const runCode = (run, verb, ...given) => ({
  Python: `from cc_notebook import runs\n\nruns.find(${python(run)}).${verb}(${given.map(python).join(", ")})`,
  CLI: words("jupyter", "cc", verb, run, ...given),
});
export const steerCode = (run, verb, ...job) =>
  requestCode("POST", ["runs", run, ...job.flatMap((name) => ["jobs", name]), verb], {}, runCode(run, verb, ...job));

// The removal of what has the route `own`, after a question; then `next` is shown.
export const removal = (own, question, next, code) => ({
  name: "Delete", look: "danger", code: () => requestCode("DELETE", own, {}, code),
  does: async () => {
    if (!confirm(question)) return;
    await ask("DELETE", own);
    visit(next);
  },
});

// A download; an answer that is attached says its own name.
export function download(name, parts, query, into, code) {
  const file = link("", at(parts, query), { download: into });
  return { name, does: () => file.click(), code: () => requestCode("GET", parts, { query, into }, code) };
}

async function copy(text, block) {
  try { await navigator.clipboard.writeText(text); say("copied"); }
  catch { getSelection().selectAllChildren(block); say("marked: copy it by your keyboard"); } // without https
}
function dialog(actions) {
  const blocks = make("div"), which = make("select", { id: "which", onchange: () => show() },
    ...actions.map(({ name }, n) => make("option", { value: n }, name)));
  const block = ([kind, text]) => {
    const code = make("pre", { tabindex: "0" }, text);
    const own = button("Copy", () => copy(text, code), "quiet", { "aria-label": `Copy ${kind}` });
    return make("figure", {}, make("figcaption", {}, kind, own), code);
  };
  const show = () => blocks.replaceChildren(...Object.entries(actions[which.value].code()).map(block));
  const close = button("×", () => box.close(), "", { "aria-label": "Close" });
  const box = make("dialog", { "aria-label": "Copy as code", onclose: () => box.remove() },
    head(make("label", { for: "which" }, "Copy ", which, " as code"), close), blocks);
  show();
  document.body.append(box);
  box.showModal();
}

// A row of buttons for what is offered now; `update()` looks again.
export function bar(label, actions) {
  const buttons = actions.map(({ name, does, look = "" }) => button(name, doing(does), look));
  const offered = () => actions.filter(({ when = () => true }) => when());
  const code = button("</>", doing(() => dialog(offered().filter(({ code: own }) => own))), "",
    { title: "Copy as Python, YAML, CLI or curl", "aria-label": "Copy as code" });
  const update = () => {
    const now = offered();
    actions.forEach((action, n) => { buttons[n].hidden = !now.includes(action); });
  };
  update();
  return { element: make("div", { class: "actions", role: "group", "aria-label": label }, ...buttons, code), update };
}
