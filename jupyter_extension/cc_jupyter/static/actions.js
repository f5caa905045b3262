// What can be asked of a workflow, a run or a job: a button that asks it, and the same as code to take along.
// An action: name, does (what a click does), code (texts by kind), look (class), when (is it offered now).

import { ask, at, visit } from "./api.js";
import { button, head, make } from "./dom.js";
import { doing, say } from "./say.js";

const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${String(text).replaceAll("'", `'\\''`)}'`);
const words = (...all) => all.map(shell).join(" ");
function python(value) {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (value === null || typeof value === "boolean") return { null: "None", true: "True", false: "False" }[value];
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([key, own]) => `${python(key)}: ${python(own)}`).join(", ")}}`;
}
export function curl(method, parts, body, ...more) {
  const json = body ? ["-H", "Content-Type: application/json", "-d", JSON.stringify(body)] : [];
  return `curl -X ${method} -H "Authorization: token $TOKEN" ${words(...json, ...more, at(parts).href)}`;
}

// A start as code: `options` are those of POST runs.
export function startCode(workflow, { params, from, ...flags }) {
  const options = { params, ...(from && { from }), ...flags };
  const given = Object.entries(params).flatMap(([key, value]) =>
    ["--param", `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`]);
  const set = Object.entries({ params, ...flags }).map(([key, value]) => `${key}=${python(value)}`);
  const called = [python(workflow), ...set, ...(from ? [`**${python({ from })}`] : [])].join(", ");
  const more = [...(from ? ["--from", from] : []), ...Object.keys(flags).map((flag) => `--${flag.replace("_", "-")}`)];
  return {
    Python: "from cc_notebook.client import RESTWorkflow\n\n" +
      `run = RESTWorkflow().run_workflow(${called})`,
    CLI: words("jupyter", "cc", "run", workflow, ...given, ...more),
    YAML: "# as a job of another workflow\nworkflow:\n  nodes:\n" +
      `    again: {workflow: ${JSON.stringify(`${workflow}.yaml`)}, params: ${JSON.stringify(params)}}`,
    curl: curl("POST", ["runs"], { workflow, ...options }),
  };
}
// What is asked of a run, or of a job in it, as code.
export const steerCode = (run, verb, job) => ({
  Python: `from cc_notebook import runs\n\nruns.find(${python(run)}).${verb}(${job ? python(job) : ""})`,
  CLI: words("jupyter", "cc", verb, run, ...(job ? [job] : [])),
  curl: curl("POST", ["runs", run, ...(job ? ["jobs", job] : []), verb]),
});

// The removal of what has the route `own`, after a question; then `next` is shown.
export const removal = (own, question, next, CLI) => ({
  name: "Delete", look: "danger", code: () => ({ CLI, curl: curl("DELETE", own) }),
  does: async () => {
    if (!confirm(question)) return;
    await ask("DELETE", own);
    visit(next);
  },
});

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
