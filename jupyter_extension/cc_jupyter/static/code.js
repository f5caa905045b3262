// What the page asks for, as code to take along: texts by kind, Python, CLI, YAML and curl.

import { at } from "./api.js";

// The file of a workflow that is named, or told apart by a path.
export const fileOf = (name) => `${name.split("/").at(-1).replace(/\.ya?ml$/, "")}.yaml`;
const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${String(text).replaceAll("'", `'\\''`)}'`);
const words = (...all) => all.map(shell).join(" ");
export const cc = (...all) => words("jupyter", "cc", ...all);
export function python(value) {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (value === null || typeof value === "boolean") return { null: "None", true: "True", false: "False" }[value];
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([key, own]) => `${python(key)}: ${python(own)}`).join(", ")}}`;
}
const setting = ([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`;
const rest = (call) => `from cc_notebook.client import RESTWorkflow\n\n${call}`;

// A request as code; `more` has kinds that say it shorter. It may send a `body` as JSON or a `file` of a media type, and
// keep the answer as the file `into`, which no error may overwrite.
export function requestCode(method, parts, { query, body, type, file, into } = {}, more = {}) {
  const url = at(parts, query).href, kind = body ? "application/json" : type, path = (name) => `Path(${python(name)})`;
  const data = [...(kind ? ["-H", `Content-Type: ${kind}`] : []), ...(body ? ["-d", JSON.stringify(body)] : []),
    ...(file ? ["--data-binary", `@${file}`] : []), ...(into ? ["-fo", into] : [])];
  const sent = body ? `json=${python(body)}, ` : file ? `data=${path(file)}.read_bytes(), ` : "";
  const Python = `import os\n${file || into ? "from pathlib import Path\n" : ""}\nimport requests\n\n` +
    `headers = {"Authorization": "token " + os.environ["TOKEN"]${kind ? `, "Content-Type": ${python(kind)}` : ""}}\n` +
    `answer = requests.request(${python(method)}, ${python(url)}, ${sent}headers=headers, timeout=90)\n` +
    `answer.raise_for_status()\n${into ? `${path(into)}.write_bytes(answer.content)\n` : ""}`;
  return { Python, ...more, curl: `curl -X ${method} -H "Authorization: token $TOKEN" ${words(...data, url)}` };
}

// A start as code: `options` are those of POST runs.
export function startCode(workflow, { params, from, ...flags }) {
  const given = Object.entries(params).flatMap((pair) => ["--param", setting(pair)]);
  const set = Object.entries({ params, ...flags }).map(([key, value]) => `${key}=${python(value)}`);
  const called = [python(workflow), ...set, ...(from ? [`**${python({ from })}`] : [])].join(", ");
  const more = [...(from ? ["--from", from] : []), ...Object.keys(flags).map((flag) => `--${flag.replace("_", "-")}`)];
  return requestCode("POST", ["runs"], { body: { workflow, params, ...(from && { from }), ...flags } }, {
    Python: rest(`run = RESTWorkflow().run_workflow(${called})`),
    CLI: cc("run", workflow, ...given, ...more),
    YAML: "# as a job of another workflow\nworkflow:\n  nodes:\n" +
      `    again: {workflow: ${JSON.stringify(fileOf(workflow))}, params: ${JSON.stringify(params)}}`,
  });
}
// What is asked of a run, or of a job in it, as code.
export const runCode = (run, verb, ...given) => ({
  Python: `from cc_notebook import runs\n\nruns.find(${python(run)}).${verb}(${given.map(python).join(", ")})`,
  CLI: cc(verb, run, ...given),
});
export const steerCode = (run, verb, ...job) =>
  requestCode("POST", ["runs", run, ...job.flatMap((name) => ["jobs", name]), verb], {}, runCode(run, verb, ...job));

// What is asked of a workflow: by a `call` of RESTWorkflow, if it has one, and `given` to `jupyter cc workflow`.
export const flowCode = (method, parts, sent, call, ...given) => requestCode(method, parts, sent,
  { ...(call && { Python: rest(`RESTWorkflow().${call}`) }), ...(given[0] && { CLI: cc("workflow", ...given) }) });
// A text for a workflow, from a file.
export const textCode = (own) => requestCode("PUT", own, { type: "application/yaml", file: fileOf(own.at(-1)) });
// A job of a workflow, written with the attributes of `body` or removed; REST alone gives it another name.
export function jobCode([, flow], method, [, old], body) {
  const { name = old, ...attributes } = JSON.parse(JSON.stringify(body || {})), parts = ["workflows", flow, "jobs"];
  const whose = `${python(flow)}, ${python(name)}`, which = [`--name=${flow}`, `--job=${name}`];
  const call = body ? `add_job(${whose}, **${python(attributes)})` : `delete_workflow(${whose})`;
  const given = body ? ["add", ...which, ...Object.entries(attributes).map(setting)] : ["delete", ...which];
  return flowCode(method, old ? [...parts, old] : parts, { body }, ...((old || name) === name ? [call, ...given] : []));
}
