// The page of a workflow: its graph as written, a form for its params, its text to edit, and its runs.

import { ask, at, get, repeat, start, visit, visitRun } from "./api.js";
import { bar, curl, startCode } from "./actions.js";
import { button, make, put, say } from "./dom.js";
import { Editor } from "./editor.js";
import { Graph } from "./graph.js";
import { runTable } from "./home.js";
import { over } from "./store.js";

// A field for a param, by the type of its value; `read` gives the value that is set. Lists and the like are JSON.
function field(name, value) {
  const type = { number: "number", boolean: "checkbox", string: "text" }[typeof value], id = `param-${name}`;
  const input = type ? make("input", { id, type, step: "any", checked: value === true, value: type !== "checkbox" && String(value) })
    : make("textarea", { id, rows: 1, spellcheck: "false" }, JSON.stringify(value));
  const read = () => {
    if (type === "checkbox" || type === "text") return type === "text" ? input.value : input.checked;
    try { return JSON.parse(input.value); }
    catch { throw new Error(`${name}: ${type ? "give a number" : "this is no JSON; a list is written [\"a\", 1]"}`); }
  };
  return { name, read, element: make("div", { class: "field" }, make("label", { for: id }, type ? name : `${name} (JSON)`), input) };
}

export async function flowPage(name) {
  let fields = [];
  const own = ["workflows", name], graph = new Graph(() => {}), runs = runTable();
  const form = make("form", { class: "params" }), plan = make("p", { role: "status" });
  const params = () => Object.fromEntries(fields.map((one) => [one.name, one.read()]));
  const download = (parts, query) => () => make("a", { href: at(parts, query), download: "" }).click();
  const show = ({ workflow }) => {
    fields = Object.entries(workflow.params || {}).map(([key, value]) => field(key, value));
    form.replaceChildren(...fields.map(({ element }) => element));
    graph.load([...own, "graph.svg"], { state: false });
  };
  const editor = new Editor(own, show), yaml = ["-H", "Content-Type: application/yaml", "--data-binary", `@${name}.yaml`];
  const run = async () => visitRun(await start({ workflow: name, params: params() }));
  const actions = bar("Actions of the workflow", [
    { name: "Run", look: "main", does: run, code: () => startCode(name, { params: params() }) },
    { name: "Dry run", code: () => startCode(name, { params: params(), dry_run: true }), does: async () => {
      const { jobs } = await start({ workflow: name, params: params(), dry_run: true });
      plan.textContent = `${jobs.length} jobs would run: ${jobs.join(", ")}`;
    } },
    { name: "Edit YAML", does: () => editor.open(), code: () => ({ curl: curl("PUT", own, null, ...yaml) }) },
    { name: "Download", does: download([...own, "archive"]), code: () => ({ curl: curl("GET", [...own, "archive"], null, "-OJ") }) },
    { name: "Download YAML", does: download(own, { format: "yaml" }), code: () => ({ curl: curl("GET", own, null, "-H", "Accept: application/yaml") }) },
    { name: "Delete", look: "danger", code: () => ({ CLI: `jupyter cc workflow delete --name=${name}`, curl: curl("DELETE", own) }), does: async () => {
      if (!confirm(`Remove workflow ${name} and its runs? YAML and scripts in your own folders stay.`)) return;
      await ask("DELETE", own);
      visit(document.baseURI);
    } },
  ]);
  form.addEventListener("submit", (event) => { event.preventDefault(); actions.element.firstChild.click(); });
  document.title = name;
  put(make("header", {}, make("h1", {}, name), form, actions.element, plan), editor.element,
    make("div", { class: "two" }, graph.element, make("section", {}, make("h2", {}, "Runs"), runs.element)));
  try { show(await get(own)); }
  catch (trouble) {
    if (!trouble.problems?.length) throw trouble;
    await editor.open(); // it was changed elsewhere, and is wrong now
    editor.tell(trouble);
  }
  await repeat(async () => {
    const { runs: all } = await get(["runs"], { workflow: name, limit: 200 });
    runs.draw(all);
    return all.some(({ state }) => !over(state));
  });
}
