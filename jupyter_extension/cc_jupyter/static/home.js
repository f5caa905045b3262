// The start: what workflows there are, how the newest runs go, and three ways to a new one. Nothing runs by itself.

import { ask, get, page, repeat, visit } from "./api.js";
import { button, doing, far, link, make, mark, moment, put } from "./dom.js";
import { over } from "./store.js";
import { Table } from "./table.js";

const MEDIA = { yaml: "application/yaml", yml: "application/yaml", zip: "application/zip", tar: "application/x-tar",
  gz: "application/gzip", tgz: "application/gzip" };
const TOLD = "or drop YAML, zip, tar or tar.gz here. It is code that will run as you, but an upload never runs by itself.";
const begun = (run) => run.slice(-21).replace(/^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d).*/, "$1-$2-$3T$4:$5:$6Z"); // see its id
export const runTable = () => new Table("Runs", [
  { title: "Id", value: ({ run }) => run, kind: "name", show: ({ run }) => link(run, page("runs", run)) },
  { title: "State", value: ({ state }) => state, show: ({ state }) => mark(state) },
  { title: "Progress", value: ({ progress }) => progress, also: ({ state }) => state, show: (row) => far(row.state, row.progress) },
  { title: "Begun", value: ({ run }) => begun(run), show: ({ run }) => moment(begun(run)) },
], ({ run }) => run, "no run yet");

export async function homePage() {
  let known = [];
  const make_ = async (options) => visit(page("workflows", (await (await ask("POST", ["workflows"], options)).json()).name));
  const free = (name, n = 1) => {
    const own = n > 1 ? `${name}-${n}` : name;
    return known.some((flow) => flow.name === own) ? free(name, n + 1) : own;
  };
  const example = doing(() => make_({ body: { template: "example" }, query: { name: free("example") } }));
  const upload = doing((file) => {
    const [, stem, ending] = file.name.match(/^(.*?)(?:\.tar)?\.([^.]*)$/) || [], media = MEDIA[ending?.toLowerCase()];
    if (!media) throw new Error(`${file.name}: give a .yaml, .zip, .tar or .tar.gz file`);
    return make_({ data: file, media, query: media === MEDIA.yaml ? { name: stem } : {} });
  });

  const file = make("input", { type: "file", class: "hidden", id: "file", onchange: () => upload(file.files[0]) });
  const path = make("input", { placeholder: "folder/workflow.yaml", "aria-label": "Path below the server's folder" });
  const open = doing(() => make_({ body: { path: path.value } }));
  const begin = make("section", { class: "begin" },
    make("div", {}, make("h2", {}, "Begin"), button("New from Example", example, { class: "main" }),
      make("small", {}, "ready to run: a few jobs with a loop")),
    make("div", {}, make("h2", {}, "Upload"), file, make("label", { for: "file", class: "button" }, "Choose a file"), make("small", {}, TOLD)),
    make("form", { onsubmit: (event) => { event.preventDefault(); open(); } }, make("h2", {}, "Open"), path, " ", make("button", {}, "Open"),
      make("small", {}, "a workflow file below the server's folder")));
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      begin.classList.toggle("over", type === "dragover");
      if (type === "drop" && event.dataTransfer.files.length) upload(event.dataTransfer.files[0]);
    });
  }

  const newest = ({ run, state }) => make("span", {}, mark(state), "  ", link(moment(begun(run)), page("runs", run)));
  const flows = new Table("Workflows", [
    { title: "Workflow", value: (row) => row.name, kind: "name", show: (row) => link(row.name, page("workflows", row.told)) },
    { title: "Path", value: (row) => row.path || "in the store", kind: "soft" },
    { title: "Newest run", value: (row) => row.run?.run || "", also: (row) => row.run?.state, show: (row) => (row.run ? newest(row.run) : "") },
  ], (row) => `${row.name}\0${row.path}`, "no workflow yet: begin with the example");
  const runs = runTable();
  put(make("h1", { class: "hidden" }, "cc-notebook"), begin, make("section", {}, make("h2", {}, "Workflows"), flows.element),
    make("section", {}, make("h2", {}, "Runs"), runs.element));
  await repeat(async () => {
    const [{ workflows }, { runs: all }] = await Promise.all([get(["workflows"]), get(["runs"], { limit: 200 })]);
    known = workflows;
    const twice = (name) => known.filter((flow) => flow.name === name).length > 1;
    flows.draw(known.map((flow) => ({ ...flow, told: (twice(flow.name) && flow.path) || flow.name,
      run: all.find(({ workflow }) => workflow === flow.name) })));
    runs.draw(all);
    return all.some(({ state }) => !over(state));
  });
}
