// Shows what the address names: the start, a workflow or a run; with `view` behind it without the frame around it.

import { make, put } from "./dom.js";
import { flowPage } from "./flow.js";
import { homePage } from "./home.js";
import { runPage } from "./run.js";

const address = new URL(location.href), base = new URL(document.baseURI).pathname;
address.searchParams.delete("token"); // a login by URL has done its work, and is not to be seen or copied
history.replaceState(null, "", address);
const [kind, name, view] = address.pathname.slice(base.length).split("/").map(decodeURIComponent);
// `beside`: below a graph that has its own buttons
document.body.className = [view, address.searchParams.has("beside") && "beside"].filter(Boolean).join(" ");
const shown = { runs: runPage, workflows: flowPage }[kind] || homePage;
shown(name, view).catch((trouble) => {
  put(make("p", { class: "wrong", role: "alert" }, trouble.message, make("small", {}, trouble.hint || "")));
  if (trouble.status === undefined) throw trouble;
});
