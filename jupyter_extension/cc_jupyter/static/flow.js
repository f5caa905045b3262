// The page of a workflow: its graph as written, a form for its params, its text to edit, and its runs.

import { get, start, visitRun } from "./api.js";
import { bar, download, fileOf, flowCode, python, removal, startCode, textCode } from "./actions.js";
import { make, put } from "./dom.js";
import { Editor } from "./editor.js";
import { Form } from "./form.js";
import { Graph } from "./graph.js";
import { runTable } from "./home.js";
import { doing, repeat } from "./say.js";
import { Source } from "./source.js";
import { over } from "./store.js";

// A field for a param, by the type of its value; `read` gives the value that is set. Lists and the like are JSON.
function field(name, value) {
  const type = { number: "number", boolean: "checkbox", string: "text" }[typeof value], id = `param-${name}`;
  const input = type ? make("input", { id, type, step: "any", checked: value === true, value: String(value) })
    : make("textarea", { id, rows: 1, spellcheck: "false" }, JSON.stringify(value));
  const read = () => {
    if (type === "checkbox" || type === "text") return type === "text" ? input.value : input.checked;
    try { return JSON.parse(input.value); }
    catch { throw new Error(`${name}: ${type ? "give a number" : "this is no JSON; a list is written [\"a\", 1]"}`); }
  };
  const label = make("label", { for: id }, type ? name : `${name} (JSON)`);
  return { name, read, element: make("div", { class: "field" }, label, input) };
}

export async function flowPage(name) {
  let fields = [], asked;
  const own = ["workflows", name], zip = fileOf(name).replace(/yaml$/, "zip");
  const graph = new Graph((job) => doing(() => author.open(job))()), runs = runTable();
  const form = make("form", { class: "params" }), plan = make("p", { role: "status" });
  const params = () => Object.fromEntries(fields.map((one) => [one.name, one.read()]));
  const source = new Source(own, ({ workflow }) => {
    if (asked !== (asked = JSON.stringify(workflow.params || {}))) {
      fields = Object.entries(workflow.params || {}).map(([key, value]) => field(key, value));
      form.replaceChildren(...fields.map(({ element }) => element));
    }
    graph.load([...own, "graph.svg"], { state: false });
    editor.follow();
    author.update();
  });
  const editor = new Editor(source), author = new Form(source);
  const begin = async (more) => {
    if (editor.unapplied) await editor.apply(); // what is seen is what runs
    return start({ workflow: name, params: params(), ...more });
  };
  const dry = async () => {
    const { jobs } = await begin({ dry_run: true });
    plan.textContent = `${jobs.length} jobs would run: ${jobs.join(", ")}`;
  };
  const question = `Remove workflow ${name} and its runs? YAML and scripts in your own folders stay.`;
  const actions = bar("Actions of the workflow", [
    { name: "Run", look: "main", does: async () => visitRun(await begin()),
      code: () => startCode(name, { params: params() }) },
    { name: "Dry run", does: dry, code: () => startCode(name, { params: params(), dry_run: true }) },
    { name: "Edit YAML", code: () => textCode(own),
      does: async () => { if (!editor.unapplied) await editor.open(); editor.jump(1, 1); } },
    download("Download", [...own, "archive"], {}, zip),
    { ...download("Download with state", [...own, "archive"], { state: true }, zip), when: () => runs.rows.length },
    download("Download YAML", own, { format: "yaml" }, fileOf(name)),
    removal(own, question, document.baseURI,
      flowCode("DELETE", own, {}, `delete_workflow(${python(name)})`, "delete", `--name=${name}`)),
  ]);
  form.addEventListener("submit", (event) => { event.preventDefault(); actions.element.firstChild.click(); });
  document.title = name;
  put(make("header", {}, make("h1", {}, name), form, actions.element, plan), author.element, editor.element,
    make("div", { class: "two" }, graph.element, make("section", {}, make("h2", {}, "Runs"), runs.element)),
    author.drawer);
  try {
    await source.load();
    if (document.body.classList.contains("beside")) await editor.open(); // all that there is to see here
  }
  catch (trouble) {
    if (!trouble.problems?.length) throw trouble;
    await editor.open(); // it was changed elsewhere, and is wrong now
    editor.tell(trouble.problems);
  }
  await repeat(async () => {
    const { runs: all } = await get(["runs"], { workflow: name, limit: 200 });
    runs.draw(all);
    actions.update();
    return all.some(({ state }) => !over(state));
  });
}
