// The start: what workflows there are, how the newest runs go, and three ways to a new one. Nothing runs by itself.

import { ask, get, page, visit } from "./api.js";
import { bar, cc, flowCode, requestCode } from "./actions.js";
import { far, link, make, mark, moment, put } from "./dom.js";
import { doing, repeat } from "./say.js";
import { over } from "./store.js";
import { Table } from "./table.js";

const UPLOAD = "or drop YAML, zip, tar or tar.gz here. It is code to run as you, but an upload never runs by itself.";
const section = (title, ...inside) => make("section", {}, make("h2", {}, title), ...inside);
const way = (tag, title, hint, ...inside) => make(tag, {}, make("h2", {}, title), ...inside, make("small", {}, hint));

// When a run began, as its id tells.
const begun = ({ run }) => run.slice(-21).replace(/^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d).*/, "$1-$2-$3T$4:$5:$6Z");
export const runTable = () => new Table("Runs", "run", [
  { title: "Id", key: "run", kind: "name", show: ({ run }) => link(run, page("runs", run)) },
  { title: "State", key: "state", show: ({ state }) => mark(state) },
  { title: "Progress", key: "progress", also: ({ state }) => state, show: far },
  { title: "Begun", value: begun, show: (row) => moment(begun(row)), kind: "when" },
], "no run yet");

export async function homePage() {
  let known = [];
  const add = async (options) => {
    const { name } = await (await ask("POST", ["workflows"], options)).json();
    visit(page("workflows", name));
  };
  const free = (name, n = 1) => {
    const own = n > 1 ? `${name}-${n}` : name;
    return known.some((flow) => flow.name === own) ? free(name, n + 1) : own;
  };
  const own = ["workflows"], example = () => ({ body: { template: "example" }, query: { name: free("example") } });
  const upload = doing((file) => {
    const [, stem, ending] = file.name.match(/^(.*)\.(ya?ml|zip|tar|tgz|gz)$/i) || [], yaml = /^ya?ml$/i.test(ending);
    if (!ending) throw new Error(`${file.name}: give a .yaml, .zip, .tar or .tar.gz file`);
    return add({ data: file, media: `application/${yaml ? "yaml" : "zip"}`, query: yaml ? { name: stem } : {} });
  });
  const file = make("input", { type: "file", class: "hidden", id: "file", onchange: () => upload(file.files[0]) });
  const path = make("input", { placeholder: "folder/workflow.yaml", "aria-label": "Path below the server's folder" });
  const zip = { type: "application/zip", file: "workflow.zip" }, below = () => path.value || path.placeholder;
  const uploadCode = () => flowCode("POST", own, zip, `upload_workflow("${zip.file}")`, "service", "add", zip.file);
  const openCode = () => flowCode("POST", own, { body: { path: below() } }, "", "add", `--filename=${below()}`);
  const begins = (action, ...before) => bar(action.name, [action], ...before).element;
  const open = way("form", "Open", "a workflow file below the server's folder",
    begins({ name: "Open", code: openCode }, path, make("button", {}, "Open")));
  open.addEventListener("submit", (event) => { event.preventDefault(); doing(add)({ body: { path: path.value } }); });
  const begin = make("section", { class: "begin" },
    way("div", "Begin", "ready to run: a few jobs with a loop", 
      begins({ name: "New from Example", look: "main", does: () => add(example()),
        code: () => requestCode("POST", own, example(), { CLI: cc("new", "--template=example", free("example")) }) })),
    way("div", "Upload", UPLOAD, begins({ name: "Upload", code: uploadCode },
      file, make("label", { for: "file", class: "button" }, "Choose a file"))), open);
  const dragged = (event) => {
    event.preventDefault();
    begin.classList.toggle("over", event.type === "dragover");
    if (event.type === "drop" && event.dataTransfer.files.length) upload(event.dataTransfer.files[0]);
  };
  ["dragover", "dragleave", "drop"].forEach((type) => document.addEventListener(type, dragged));

  const newest = ({ newest: run }) =>
    make("span", {}, ...(run ? [mark(run.state), "  ", link(moment(begun(run)), page("runs", run.run))] : []));
  const flows = new Table("Workflows", "id", [
    { title: "Workflow", key: "name", kind: "name", show: ({ name, told }) => link(name, page("workflows", told)) },
    { title: "Path", key: "place", kind: "soft" },
    { title: "Newest run", value: ({ newest: run }) => (run ? run.run + run.state : ""), show: newest, kind: "when" },
  ], "no workflow yet: begin with the example");
  const runs = runTable();
  put(begin, section("Workflows", flows.element), section("Runs", runs.element));
  await repeat(async () => {
    const [{ workflows }, { runs: all }] = await Promise.all([get(["workflows"]), get(["runs"], { limit: 200 })]);
    const twice = (name) => workflows.filter((flow) => flow.name === name).length > 1;
    known = workflows;
    flows.draw(known.map(({ name, path: below }, id) => ({ id: `${id} ${name}`, name, place: below || "in the store",
      told: (twice(name) && below) || name, newest: all.find(({ workflow }) => workflow === name) })));
    runs.draw(all);
    return all.some(({ state }) => !over(state));
  });
}
